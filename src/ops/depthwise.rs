//! y = f(x conv w + b), every channel for itself.
//!
//! x `[N, H, W, C]`, w `[KH, KW, C, M]`, b `[C * M]` (optional), y `[N, OH, OW, C * M]`: output
//! channel `c * M + m` is the convolution of input channel c with `w[.., .., c, m]`. One dimension is
//! H = 1; its kernel may come as `[KW, C, M]`. Keras: `ops.depthwise_conv`.

use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::axis::Axis;
use crate::kernels::depthwise::Geometry;
use crate::kernels::pieces::for_pieces_with;
use crate::kernels::sum;
use crate::ops::conv::row_parts;
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::shape::{Shape, Window};

/// Most shards of images that sum the kernel's gradient.
const SHARDS: usize = 16;

/// A depthwise convolution, with the function that was fused into it.
#[derive(Clone, Debug)]
pub struct DepthwiseConv {
    g: Geometry,
    f: Option<Arc<dyn Function>>,
}

impl DepthwiseConv {
    /// Over images of `size` rows and columns with `channels`; the windows fit.
    pub fn new(windows: [Window; 2], size: [usize; 2], channels: usize, multiplier: usize) -> DepthwiseConv {
        let [rows, columns] = [0, 1].map(|i| Axis::new(&windows[i], size[i]));
        DepthwiseConv { g: Geometry { rows, columns, inputs: channels, multiplier }, f: None }
    }

    fn thread_scratch(&self) -> usize {
        round_up(self.g.padded_len().max(self.g.gradient_scratch()))
    }
}

impl Op for DepthwiseConv {
    fn name(&self) -> &'static str {
        "depthwise_conv"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let g = &self.g;
        let kernel = [g.rows.kernel, g.columns.kernel, g.inputs, g.multiplier];
        let fits = x[1].dims == kernel || kernel[0] == 1 && x[1].dims == kernel[1..];
        if x[0].dims != [g.rows.input, g.columns.input, g.inputs] || !fits {
            let message = format!("cannot convolve {} with a depthwise kernel of shape {}", x[0], x[1]);
            return Err(Mismatch::new(message));
        }
        if let Some(bias) = x.get(2).filter(|b| b.dims != [g.channels()]) {
            return Err(Mismatch::new(format!("bias {bias} does not fit {} channels", g.channels())));
        }
        let y = Shape::batch([g.rows.output, g.columns.output, g.channels()]);
        let mut signature = Signature::new(y).differentiable(&[0, 1, 2][..x.len()]).keep_x(&[0, 1]);
        if self.f.is_some() {
            signature = signature.keep_y(&[0]);
        }
        signature.forward_scratch.per_thread = round_up(g.padded_len());
        signature.backward_scratch = Scratch {
            // The bias's gradient by image.
            per_sample: g.channels(),
            // The kernel's gradient by shard, and the reversed kernel.
            fixed: round_up(g.kernel_len()) + round_up(SHARDS * g.kernel_len()),
            per_thread: self.thread_scratch(),
        };
        signature.adds = true;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (g, x, w) = (&self.g, io.x(0), io.x(1));
        let bias = if io.x.count() == 3 { io.x(2) } else { &[] };
        let per_thread = round_up(g.padded_len());
        let scratch = if per_thread > 0 { io.scratch() } else { &mut [] };
        let parts = row_parts(g.rows.output, cx.batch, cx.pool.threads());
        let rows = g.rows.output / parts;
        let work = (cx.batch * parts, cx.batch * g.work());
        for_pieces_with(cx.pool, work, [io.y(0)], scratch, per_thread, |task, [y], scratch| {
            let image = &x[task / parts * g.image_len()..][..g.image_len()];
            let first = task % parts * rows;
            g.forward(image, w, bias, first..first + rows, (y, scratch));
            if let Some(f) = &self.f {
                f.apply_in_place(y);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (g, n) = (&self.g, cx.batch);
        let (scratch, dy) = (io.scratch(), io.dy0());
        // On cache lines all but the last.
        let (reversed, scratch) = scratch.split_at_mut(round_up(g.kernel_len()));
        let (shard_sums, scratch) = scratch.split_at_mut(round_up(SHARDS * g.kernel_len()));
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * g.channels());
        let per_thread = self.thread_scratch();

        let (dx, db) = (io.dx(0), if io.dx.count() == 3 { io.dx(2) } else { None });
        let add = dx.as_ref().is_some_and(|dx| dx.add);
        let dx = dx.map_or(&mut [][..], |dx| dx.buf);
        g.reverse_kernel(io.x(1), reversed);
        let reversed = &*reversed;
        let sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let y = self.f.as_ref().map(|f| (f, io.y(0)));
        let data = [&mut *dy, dx, sums];
        for_pieces_with(cx.pool, (n, n * g.work()), data, scratch, per_thread, |i, [dy, dx, sums], own| {
            if let Some((f, y)) = y {
                f.gradient_in_place(&y[i * g.output_len()..][..g.output_len()], dy);
            }
            if !sums.is_empty() {
                sum::rows(dy, sums);
            }
            if !dx.is_empty() {
                g.input_gradient(dy, reversed, dx, add, own);
            }
        });
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        let Some(dw) = io.dx(1) else { return };
        let (x, dy) = (io.x(0), &*dy);
        let shards = SHARDS.min(n);
        let sums = &mut shard_sums[..shards * g.kernel_len()];
        let work = (shards, n * g.work());
        for_pieces_with(cx.pool, work, [&mut *sums], scratch, per_thread, |shard, [sums], own| {
            let images = shard * n / shards..(shard + 1) * n / shards;
            for image in images.clone() {
                let x = g.padded(&x[image * g.image_len()..][..g.image_len()], 0..g.rows.output, own);
                let dy = &dy[image * g.output_len()..][..g.output_len()];
                g.kernel_gradient(x, dy, sums, image > images.start);
            }
        });
        sum::parts(cx.pool, sums, dw.buf, dw.add);
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let f = to_fuse(next).filter(|_| self.f.is_none())?;
        Some(Box::new(DepthwiseConv { f: Some(f), ..*self }))
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        2.0 * self.g.work() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        let (rows, columns) = (&self.g.rows, &self.g.columns);
        let full = [x[0].shape()[0], rows.output, columns.output, self.g.channels()];
        let kernel = [rows.kernel, columns.kernel, self.g.inputs, self.g.multiplier];
        let w = x[1].clone().into_shape_with_order(IxDyn(&kernel)).unwrap();
        let y = ArrayD::from_shape_fn(IxDyn(&full), |at| {
            let (channel, m) = (at[3] / self.g.multiplier, at[3] % self.g.multiplier);
            let mut sum = x.get(2).map_or(0.0, |b| b[at[3]]);
            for i in 0..rows.kernel {
                for j in 0..columns.kernel {
                    let row = (at[1] * rows.stride + i * rows.dilation).wrapping_sub(rows.before);
                    let column = (at[2] * columns.stride + j * columns.dilation).wrapping_sub(columns.before);
                    let pixel = x[0].get([at[0], row, column, channel]);
                    sum += pixel.unwrap_or(&0.0) * w[[i, j, channel, m]];
                }
            }
            self.f.as_ref().map_or(sum, |f| f.twin(sum))
        });
        vec![y]
    }
}
