//! y = f(conv(x, w) + b): cross-correlation, as the field means by convolution.
//!
//! x `[N, H, W, C]`, w `[KH, KW, C / groups, F]`, b `[F]` (optional), y `[N, OH, OW, F]`:
//! `y[o, p, f] = b[f] + sum over i, j, c of x[o * stride + i * dilation, ...][c] * w[i, j, c, f]` with
//! zeros outside of x. One dimension is H = 1; its kernel may come as `[KW, C / groups, F]`.
//!
//! Gradients: of w the products of inputs and output gradients, summed over fixed shards of images
//! and then over the shards; of x the products with the reversed kernel. Each of the three passes goes
//! by tiles (`kernels/winograd`) where the sizes make that the faster way.

use std::any::Any;
use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::axis::Axis;
use crate::kernels::conv::Geometry;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::pieces::{for_chunks_with, for_pieces_with};
use crate::kernels::sum;
use crate::kernels::winograd::{Winograd, WinogradGradient};
use crate::ops::conv_pool::ConvPool;
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::ops::max_pool::MaxPool;
use crate::shape::{Shape, Window};

/// Most shards of images that sum a kernel's gradient.
const SHARDS: usize = 16;

/// Most numbers of all shards' sums.
const SHARD_NUMBERS: usize = 1 << 22;

/// A convolution, with the function that was fused into it.
#[derive(Clone, Debug)]
pub struct Conv {
    windows: [Window; 2],
    size: [usize; 2],
    pub(super) g: Geometry,
    pub(super) f: Option<Arc<dyn Function>>,
}

impl Conv {
    /// Over images of `size` rows and columns with `channels`; `filters` and `channels` are multiples
    /// of `groups`, and the windows fit.
    pub fn new(
        windows: [Window; 2],
        size: [usize; 2],
        channels: usize,
        filters: usize,
        groups: usize,
    ) -> Conv {
        Conv { windows, size, g: Geometry::new(&windows, size, channels, filters, groups), f: None }
    }

    /// The function that was fused into it.
    pub(super) fn function(&self) -> Option<&Arc<dyn Function>> {
        self.f.as_ref()
    }

    /// Sizes in which rows are rows: a kernel of 1 x 1 takes narrow images as one long row.
    pub(super) fn plain_geometry(&self) -> Geometry {
        let [rows, columns] = [0, 1].map(|i| Axis::new(&self.windows[i], self.size[i]));
        Geometry { rows, columns, ..self.g }
    }

    fn output_size(&self) -> [usize; 2] {
        [0, 1].map(|i| self.windows[i].output(self.size[i]))
    }

    /// Shards that `n` images are dealt to: depends on no number of threads, so the bits do not either.
    fn shards(&self, n: usize) -> usize {
        (SHARD_NUMBERS / self.g.kernel_len()).clamp(1, SHARDS).min(n)
    }

    /// Numbers of the kernel's sums by shard.
    fn shard_sums(&self, n: usize) -> usize {
        self.shards(n) * self.g.kernel_len()
    }

    fn backward_scratch(&self) -> Scratch {
        Scratch {
            // The bias's gradient by image.
            per_sample: self.g.filters,
            // The kernel's gradient by shard, and the reversed kernel, also as tiles need it.
            fixed: round_up(self.shard_sums(SHARDS))
                + round_up(self.g.kernel_len())
                + Winograd::of_input_gradient(&self.g).map_or(0, |w| w.kernel_len()),
            per_thread: self.thread_scratch(),
        }
    }

    fn thread_scratch(&self) -> usize {
        let g = &self.g;
        let input = Winograd::of_input_gradient(g).map_or(g.input_gradient_scratch(), |w| w.scratch_len());
        let kernel = WinogradGradient::new(g).map_or(g.kernel_gradient_scratch(), |w| w.scratch_len());
        round_up(input.max(kernel))
    }

    fn forward_scratch(&self) -> Scratch {
        match Winograd::of_outputs(&self.g) {
            Some(w) => Scratch { per_sample: 0, fixed: w.kernel_len(), per_thread: w.scratch_len() },
            None => Scratch { per_thread: round_up(self.g.padded_len()), ..Scratch::default() },
        }
    }

    /// The fused function, in place.
    fn activate(&self, y: &mut [f32]) {
        match &self.f {
            Some(f) => f.apply_in_place(y),
            None => as_is(y),
        }
    }
}

/// Tasks of one image's forward pass: its rows in as few equal parts as keep all threads busy.
pub(super) fn row_parts(rows: usize, images: usize, threads: usize) -> usize {
    let wanted = if images >= 2 * threads { 1 } else { (4 * threads).div_ceil(images.max(1)) };
    (1..=rows).find(|parts| rows.is_multiple_of(*parts) && *parts >= wanted).unwrap_or(rows)
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let (g, [h, w]) = (&self.g, self.size);
        let kernel = [self.windows[0].kernel, self.windows[1].kernel, g.channels / g.groups, g.filters];
        let fits = x[1].dims == kernel || kernel[0] == 1 && x[1].dims == kernel[1..];
        if x[0].dims != [h, w, g.channels] || !fits {
            let message = format!("cannot convolve {} with a kernel of shape {}", x[0], x[1]);
            return Err(Mismatch::new(message));
        }
        if let Some(bias) = x.get(2).filter(|b| b.dims != [g.filters]) {
            return Err(Mismatch::new(format!("bias {bias} does not fit {} filters", g.filters)));
        }
        let [oh, ow] = self.output_size();
        let mut signature = Signature::new(Shape::batch([oh, ow, g.filters]))
            .differentiable(&[0, 1, 2][..x.len()])
            .keep_x(&[0, 1]);
        if self.f.is_some() {
            signature = signature.keep_y(&[0]);
        }
        signature.forward_scratch = self.forward_scratch();
        signature.backward_scratch = self.backward_scratch();
        signature.adds = true;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match Winograd::of_outputs(&self.g) {
            Some(w) => self.forward_by_tiles(&w, io, cx),
            None => self.forward_directly(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (g, n) = (&self.g, cx.batch);
        let (scratch, dy) = (io.scratch(), io.dy0());
        // On cache lines all but the last.
        let (reversed, scratch) = scratch.split_at_mut(round_up(g.kernel_len()));
        let by_tiles = Winograd::of_input_gradient(g);
        let (transformed, scratch) = scratch.split_at_mut(by_tiles.map_or(0, |w| w.kernel_len()));
        let (shard_sums, scratch) = scratch.split_at_mut(round_up(self.shard_sums(SHARDS)));
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * g.filters);
        let per_thread = self.thread_scratch();

        let (dx, db) = (io.dx(0), if io.dx.count() == 3 { io.dx(2) } else { None });
        let start = |add: bool| if add { Start::Add } else { Start::Zero };
        let dx_start = start(dx.as_ref().is_some_and(|dx| dx.add));
        let dx = dx.map_or(&mut [][..], |dx| dx.buf);
        if !dx.is_empty() {
            let reversed = &mut reversed[..g.kernel_len()];
            g.reverse_kernel(cx.pool, io.x(1), reversed);
            if let Some(w) = by_tiles {
                w.transform_kernel(cx.pool, reversed, transformed);
            }
        }
        let (reversed, transformed) = (&*reversed, &*transformed);
        let sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let y = self.f.as_ref().map(|f| (f, io.y(0)));
        let images = by_tiles.map_or(1, |w| w.images_per_task(n, cx.pool.threads()));
        let lens = [g.output_len(), g.image_len(), g.filters].map(|len| images * len);
        let data = [(lens[0], &mut *dy), (lens[1], dx), (lens[2], sums)];
        let work = (n.div_ceil(images), n * g.work());
        for_chunks_with(cx.pool, work, data, scratch, per_thread, |task, [dy, dx, sums], own| {
            if let Some((f, y)) = y {
                f.gradient_in_place(&y[task * lens[0]..][..dy.len()], dy);
            }
            for (dy, sums) in dy.chunks_exact(g.output_len()).zip(sums.chunks_exact_mut(g.filters)) {
                sum::rows(dy, sums);
            }
            match by_tiles {
                _ if dx.is_empty() => {}
                Some(w) => {
                    let rows = 0..dx.len() / w.output_row();
                    w.run(dy, transformed, dx_start, rows, (dx, own), &as_is);
                }
                None => g.input_gradient(dy, reversed, (dx, own), dx_start),
            }
        });
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        if let Some(dw) = io.dx(1) {
            let sums = &mut shard_sums[..self.shard_sums(n)];
            self.kernel_gradient(cx, io.x(0), dy, sums, (scratch, per_thread));
            sum::parts(cx.pool, sums, dw.buf, dw.add);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        if let Some(pool) = (next as &dyn Any).downcast_ref::<MaxPool>() {
            return Some(Box::new(ConvPool::join(self, pool)?));
        }
        let f = to_fuse(next).filter(|_| self.f.is_none())?;
        Some(Box::new(Conv { f: Some(f), ..*self }))
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        2.0 * self.g.work() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        let (channels, filters) = (self.g.channels / self.g.groups, self.g.filters);
        let [rows, columns] = self.windows;
        let (oh, ow) = (rows.output(self.size[0]), columns.output(self.size[1]));
        let kernel = [rows.kernel, columns.kernel, channels, filters];
        let w = x[1].clone().into_shape_with_order(IxDyn(&kernel)).unwrap();
        let y = ArrayD::from_shape_fn(IxDyn(&[x[0].shape()[0], oh, ow, filters]), |at| {
            let group = at[3] / (filters / self.g.groups);
            let mut sum = x.get(2).map_or(0.0, |b| b[at[3]]);
            for i in 0..rows.kernel {
                for j in 0..columns.kernel {
                    let row =
                        (at[1] * rows.stride + i * rows.dilation).wrapping_sub(rows.pads(self.size[0]).0);
                    let column = (at[2] * columns.stride + j * columns.dilation)
                        .wrapping_sub(columns.pads(self.size[1]).0);
                    for c in 0..channels {
                        let pixel = x[0].get([at[0], row, column, group * channels + c]);
                        sum += pixel.unwrap_or(&0.0) * w[[i, j, c, at[3]]];
                    }
                }
            }
            self.f.as_ref().map_or(sum, |f| f.twin(sum))
        });
        vec![y]
    }
}

impl Conv {
    fn forward_directly(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (g, x, w) = (&self.g, io.x(0), io.x(1));
        let bias = (io.x.count() == 3).then(|| io.x(2));
        let per_thread = round_up(g.padded_len());
        let scratch = if per_thread > 0 { io.scratch() } else { &mut [] };
        let parts = row_parts(g.rows.output, cx.batch, cx.pool.threads());
        let rows = g.rows.output / parts;
        let work = (cx.batch * parts, cx.batch * g.work());
        for_pieces_with(cx.pool, work, [io.y(0)], scratch, per_thread, |task, [y], scratch| {
            let image = &x[task / parts * g.image_len()..][..g.image_len()];
            let first = task % parts * rows;
            let finish = |row: &mut [f32]| self.activate(row);
            g.forward(image, w, bias, first..first + rows, (y, scratch), &finish);
        });
    }

    fn forward_by_tiles(&self, w: &Winograd, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (g, x, n) = (&self.g, io.x(0), cx.batch);
        let start = if io.x.count() == 3 { Start::Bias(io.x(2)) } else { Start::Zero };
        let (kernel, scratch) = io.scratch().split_at_mut(w.kernel_len());
        w.transform_kernel(cx.pool, io.x(1), kernel);
        let kernel = &*kernel;
        let threads = cx.pool.threads();
        // Rows of one task: of some images, or of a part of one.
        let rows = w.images_per_task(n, threads) * g.rows.output / row_parts(w.parts(), n, threads);
        let work = ((n * g.rows.output).div_ceil(rows), n * g.work());
        let y = [(rows * g.output_row(), io.y(0))];
        for_chunks_with(cx.pool, work, y, scratch, w.scratch_len(), |task, [y], own| {
            let outputs = task * rows..task * rows + y.len() / g.output_row();
            w.run(x, kernel, start, outputs, (y, own), &|row| self.activate(row));
        });
    }

    /// The kernel's gradient by shard, into `sums`.
    fn kernel_gradient(
        &self,
        cx: &Ctx<'_>,
        x: &[f32],
        dy: &[f32],
        sums: &mut [f32],
        (scratch, per_thread): (&mut [f32], usize),
    ) {
        let (g, n) = (&self.g, cx.batch);
        let shards = self.shards(n);
        let of_shard = |shard: usize| {
            let images = shard * n / shards..(shard + 1) * n / shards;
            let x = &x[images.start * g.image_len()..images.end * g.image_len()];
            (x, &dy[images.start * g.output_len()..images.end * g.output_len()])
        };
        if let Some(w) = WinogradGradient::new(g) {
            let work = (shards, n * g.work());
            for_pieces_with(cx.pool, work, [sums], scratch, per_thread, |shard, [sums], own| {
                let (x, dy) = of_shard(shard);
                w.run(x, dy, sums, own);
            });
            return;
        }
        // Each tap is summed for itself, so how they are dealt to tasks changes no bit.
        let parts = if shards >= 4 * cx.pool.threads() { 1 } else { g.taps() };
        let taps = g.taps() / parts;
        let work = (shards * parts, n * g.work());
        for_pieces_with(cx.pool, work, [sums], scratch, per_thread, |task, [sums], own| {
            let (x, dy) = of_shard(task / parts);
            g.kernel_gradient(x, dy, (task % parts * taps, taps), sums, own);
        });
    }
}

#[cfg(test)]
mod tests;
