//! y = the largest number of each window of f(conv(x, w) + b): a convolution and the pooling after it.
//!
//! x, w, b as in [`Conv`], windows that tile its outputs; y `[N, PH, PW, F]`. The functions that fuse
//! into a convolution never fall, so `max f(v) = f(max v)`: the maximum is taken first, of fewer
//! numbers. The gradient goes to the first output, in row-major order, that holds the maximum, as in
//! [`MaxPool`]; which one that was is noted down in the forward pass, which goes by tiles
//! (`kernels/winograd`) where the sizes make that the faster way.
//!
//! Gradients: only the outputs that are a maximum and have a gradient are visited; the kernel's sums
//! go over fixed shards of images, then over the shards.

use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::conv::pooled::{ByTiles, Images, Pooled, words_in};
use crate::kernels::gemm::Start;
use crate::kernels::pieces::{for_chunks_with, for_pieces_with};
use crate::kernels::sum;
use crate::ops::conv::{Conv, row_parts};
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::ops::max_pool::MaxPool;
use crate::shape::Shape;

/// Tasks that sum a kernel's gradient: shards of images, times parts of the filters.
const TASKS: usize = 16;

/// Most numbers of all shards' sums.
const SHARD_NUMBERS: usize = 1 << 22;

/// Fewest filters of a part.
const PART_FILTERS: usize = 16;

/// A convolution with its function, and the pooling that follows.
#[derive(Clone, Debug)]
pub struct ConvPool {
    conv: Conv,
    pool: MaxPool,
    /// A function that came after the pooling, where the convolution has none.
    f: Option<Arc<dyn Function>>,
    p: Arc<Pooled>,
}

impl ConvPool {
    /// `None` where the windows do not tile the convolution's outputs.
    pub fn join(conv: &Conv, pool: &MaxPool) -> Option<ConvPool> {
        let p = Pooled::new(&conv.plain_geometry(), pool.tiles()?, pool.output_size())?;
        Some(ConvPool { conv: conv.clone(), pool: pool.clone(), f: None, p: Arc::new(p) })
    }

    fn function(&self) -> Option<&Arc<dyn Function>> {
        self.conv.function().or(self.f.as_ref())
    }

    fn filters(&self) -> usize {
        self.p.pooled_row() / self.p.windows[1]
    }

    /// Numbers of an image's notes.
    fn notes(&self) -> usize {
        self.p.windows[0] * self.p.notes_row()
    }

    /// Parts of the filters.
    fn parts(&self) -> usize {
        if self.p.is_small() {
            return 1;
        }
        let even =
            |parts: &usize| self.filters().is_multiple_of(*parts) && self.filters() / parts >= PART_FILTERS;
        (2..=4).rev().find(even).unwrap_or(1)
    }

    /// Shards that `n` images are dealt to: depends on no number of threads, so the bits do not either.
    fn shards(&self, n: usize) -> usize {
        (SHARD_NUMBERS / self.p.kernel_len()).clamp(1, TASKS / self.parts()).min(n)
    }

    /// Numbers in which an image's live outputs are noted, as bits.
    fn live(&self) -> usize {
        self.p.words() * size_of::<u64>() / size_of::<f32>()
    }

    /// The same of those that the kernel's gradient asks for.
    fn kept_live(&self) -> usize {
        if self.p.is_small() { 0 } else { self.live() }
    }

    fn forward_scratch(&self) -> Scratch {
        let (fixed, per_thread) = match self.p.by_tiles() {
            Some(tiles) => (tiles.winograd.kernel_len(), tiles.scratch_len()),
            None => (0, round_up(self.p.forward_scratch())),
        };
        Scratch { per_sample: 0, fixed, per_thread }
    }

    /// The function, in place.
    fn activate(&self, y: &mut [f32]) {
        if let Some(f) = self.function() {
            f.apply_in_place(y);
        }
    }

    fn backward_scratch(&self) -> Scratch {
        let shards = self.shards(TASKS);
        Scratch {
            // Live outputs and the bias's gradient by image.
            per_sample: self.kept_live() + self.filters(),
            // The kernel by filter, and its gradient by shard.
            fixed: round_up(self.p.kernel_len()) + round_up(shards * self.p.kernel_len()),
            per_thread: self.thread_scratch(),
        }
    }

    fn thread_scratch(&self) -> usize {
        self.live() + round_up(self.p.gradient_scratch())
    }
}

impl Op for ConvPool {
    fn name(&self) -> &'static str {
        "conv+max_pool"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let conv = self.conv.infer(x)?;
        let pool = self.pool.infer(&[&conv.y[0]])?;
        let mut signature = Signature { y: pool.y, notes: self.notes(), ..conv };
        if self.function().is_some() {
            signature = signature.keep_y(&[0]);
        }
        signature.forward_scratch = self.forward_scratch();
        signature.backward_scratch = self.backward_scratch();
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match self.p.by_tiles() {
            Some(tiles) => self.forward_by_tiles(tiles, io, cx),
            None => self.forward_directly(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (p, n, filters) = (&*self.p, cx.batch, self.filters());
        let (scratch, dy, notes) = (io.scratch(), io.dy0(), io.notes());
        // On cache lines all but the last.
        let (by_filter, scratch) = scratch.split_at_mut(round_up(p.kernel_len()));
        let (shard_sums, scratch) = scratch.split_at_mut(round_up(self.shards(TASKS) * p.kernel_len()));
        let (live, scratch) = scratch.split_at_mut(n * self.kept_live());
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * filters);
        let per_thread = self.thread_scratch();

        let (dx, db) = (io.dx(0), if io.dx.count() == 3 { io.dx(2) } else { None });
        let add = dx.as_ref().is_some_and(|dx| dx.add);
        let dx = dx.map_or(&mut [][..], |dx| dx.buf);
        let by_filter = &mut by_filter[..p.kernel_len()];
        if !dx.is_empty() {
            p.kernel_by_filter(cx.pool, io.x(1), by_filter);
        }
        let by_filter = &*by_filter;
        let sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let y = self.function().map(|f| (f, io.y(0)));
        let data = [&mut *dy, dx, sums, &mut *live];
        let work = (n, n * p.work());
        for_pieces_with(cx.pool, work, data, scratch, per_thread, |i, [dy, dx, sums, live], own| {
            if let Some((f, y)) = y {
                f.gradient_in_place(&y[i * dy.len()..][..dy.len()], dy);
            }
            if !sums.is_empty() {
                sum::rows(dy, sums);
            }
            if live.is_empty() && dx.is_empty() {
                return;
            }
            let (outputs, own) = own.split_at_mut(self.live());
            let outputs = words_in(outputs);
            p.live_outputs(dy, &notes[i * self.notes()..][..self.notes()], outputs);
            p.live_filters(outputs, words_in(live));
            if !dx.is_empty() {
                p.input_gradient(dy, outputs, by_filter, (dx, add), own);
            }
        });
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        if let Some(dw) = io.dx(1) {
            let sums = &mut shard_sums[..self.shards(n) * p.kernel_len()];
            let images = Images { x: io.x(0), dy, notes, live: words_in(live) };
            self.kernel_gradient(cx, &images, sums, (scratch, per_thread));
            p.fold_shards(cx.pool, sums, dw.buf, dw.add);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let f = to_fuse(next).filter(|_| self.function().is_none())?;
        Some(Box::new(ConvPool { f: Some(f), ..self.clone() }))
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        self.conv.flops(x, &[])
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let y = self.pool.twin(&self.conv.twin(x, cx), cx);
        y.into_iter().map(|y| self.f.as_ref().map_or(y.clone(), |f| y.mapv(|v| f.twin(v)))).collect()
    }
}

impl ConvPool {
    fn forward_directly(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (p, x, w) = (&*self.p, io.x(0), io.x(1));
        let bias = (io.x.count() == 3).then(|| io.x(2));
        let parts = row_parts(p.windows[0], cx.batch, cx.pool.threads());
        let rows = p.windows[0] / parts;
        let image = x.len() / cx.batch.max(1);
        let per_thread = round_up(p.forward_scratch());
        let scratch = if per_thread > 0 { io.scratch() } else { &mut [] };
        let data = [io.y(0), io.notes().unwrap_or_default()];
        let work = (cx.batch * parts, cx.batch * p.work());
        for_pieces_with(cx.pool, work, data, scratch, per_thread, |task, [y, notes], own| {
            let image = &x[task / parts * image..][..image];
            let first = task % parts * rows;
            let own = &mut own[..p.forward_scratch()];
            p.forward(image, w, bias, first..first + rows, (y, notes, own), &|band| self.activate(band));
        });
    }

    fn forward_by_tiles(&self, tiles: ByTiles<'_>, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (p, x, n, threads) = (&*self.p, io.x(0), cx.batch, cx.pool.threads());
        let start = if io.x.count() == 3 { Start::Bias(io.x(2)) } else { Start::Zero };
        let (kernel, scratch) = io.scratch().split_at_mut(tiles.winograd.kernel_len());
        tiles.winograd.transform_kernel(cx.pool, io.x(1), kernel);
        let kernel = &*kernel;
        // Pooled rows of one task: of some images, or of a part of one.
        let images = tiles.winograd.images_per_task(n, threads);
        let rows = images * p.windows[0] / row_parts(tiles.parts(), n, threads);
        let all = n * p.windows[0];
        let data = [(rows * p.pooled_row(), io.y(0)), (rows * p.notes_row(), io.notes().unwrap_or_default())];
        let work = (all.div_ceil(rows), n * p.work());
        for_chunks_with(cx.pool, work, data, scratch, tiles.scratch_len(), |task, [y, notes], own| {
            let rows = task * rows..((task + 1) * rows).min(all);
            tiles.forward((x, kernel), start, rows, (y, notes, own), &|band| self.activate(band));
        });
    }

    /// The kernel's gradient by shard, and in each by part of the filters, into `sums`.
    fn kernel_gradient(
        &self,
        cx: &Ctx<'_>,
        all: &Images<'_>,
        sums: &mut [f32],
        (scratch, per_thread): (&mut [f32], usize),
    ) {
        let (p, n) = (&*self.p, cx.batch);
        let (shards, parts) = (self.shards(n), self.parts());
        let filters = self.filters() / parts;
        let work = (shards * parts, n * p.work());
        for_pieces_with(cx.pool, work, [sums], scratch, per_thread, |task, [sums], own| {
            let (shard, part) = (task / parts, task % parts);
            let (from, to) = (shard * n / shards, (shard + 1) * n / shards);
            let images = Images {
                x: &all.x[all.x.len() / n * from..all.x.len() / n * to],
                dy: &all.dy[p.pooled_len() * from..p.pooled_len() * to],
                notes: &all.notes[self.notes() * from..self.notes() * to],
                live: &all.live[all.live.len() / n * from..all.live.len() / n * to],
            };
            p.kernel_gradient(&images, part * filters..(part + 1) * filters, sums, own);
        });
    }
}

#[cfg(test)]
mod tests;
