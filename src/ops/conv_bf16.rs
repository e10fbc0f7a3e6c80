//! [`Conv`] with its operands rounded to bfloat16 and its sums in f32: all three products. Shapes,
//! bias and function are those of `Conv`; weights stay f32, and are rounded in each step.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::bf16::{Pair, as_pairs, conv::Convolution};
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::pieces::{for_chunks_with, for_pieces_with};
use crate::kernels::sum;
use crate::ops::conv::{Conv, row_parts};
use crate::shape::Shape;

/// Most shards of images that sum a kernel's gradient.
const SHARDS: usize = 16;

/// Most numbers of all shards' sums.
const SHARD_NUMBERS: usize = 1 << 22;

/// A convolution in bfloat16.
#[derive(Clone, Debug)]
pub struct ConvBf16 {
    conv: Conv,
    products: Convolution,
}

/// How a batch is dealt to the sums of the kernel's gradient: depends on no number of threads.
#[derive(Clone, Copy)]
struct Shards {
    count: usize,
    images: usize,
}

impl ConvBf16 {
    pub fn new(conv: Conv) -> ConvBf16 {
        ConvBf16 { products: Convolution::new(&conv.g), conv }
    }

    /// Of whole pairs of images, all but the last.
    fn shards(&self, n: usize) -> Shards {
        let most = (SHARD_NUMBERS / self.products.kernel_len()).clamp(1, SHARDS);
        let images = 2 * n.div_ceil(2 * most).max(1);
        Shards { count: n.div_ceil(images), images }
    }

    fn most_sums(&self) -> usize {
        (SHARD_NUMBERS / self.products.kernel_len()).clamp(1, SHARDS) * self.products.kernel_len()
    }

    fn backward_per_thread(&self) -> usize {
        let c = &self.products;
        round_up(c.kernel_gradient_scratch().max(c.input_gradient_scratch()))
    }

    fn forward_per_thread(&self) -> usize {
        round_up(self.products.forward_scratch())
    }
}

impl Op for ConvBf16 {
    fn name(&self) -> &'static str {
        "conv_bf16"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = self.conv.infer(x)?;
        let c = &self.products;
        signature.forward_scratch =
            Scratch { per_sample: 0, fixed: round_up(c.packed_len()), per_thread: self.forward_per_thread() };
        signature.backward_scratch = Scratch {
            // The bias's gradient by image.
            per_sample: c.all_filters(),
            // The kernel's gradient by shard, and the reversed kernel.
            fixed: round_up(self.most_sums()) + round_up(c.reversed_len()),
            per_thread: self.backward_per_thread(),
        };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (c, g, x) = (&self.products, &self.conv.g, io.x(0));
        let bias = (io.x.count() == 3).then(|| io.x(2));
        let (packed, scratch) = io.scratch().split_at_mut(round_up(c.packed_len()));
        let packed = &mut as_pairs(packed)[..c.packed_len()];
        c.pack_kernel(cx.pool, io.x(1), packed);
        let packed = &*packed;
        let parts = row_parts(g.rows.output, cx.batch, cx.pool.threads());
        let rows = g.rows.output / parts;
        let work = (cx.batch * parts, cx.batch * g.work());
        for_pieces_with(cx.pool, work, [io.y(0)], scratch, self.forward_per_thread(), |task, [y], own| {
            let image = &x[task / parts * c.image_len()..][..c.image_len()];
            let first = task % parts * rows;
            let activate = |row: &mut [f32]| match &self.conv.f {
                Some(f) => f.apply_in_place(row),
                None => as_is(row),
            };
            c.forward(image, packed, bias, first..first + rows, (y, as_pairs(own)), &activate);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (c, n) = (&self.products, cx.batch);
        let (reversed, scratch) = io.scratch().split_at_mut(round_up(c.reversed_len()));
        let (sums, scratch) = scratch.split_at_mut(round_up(self.most_sums()));
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * c.all_filters());
        let (dx, db) = (io.dx(0), if io.dx.count() == 3 { io.dx(2) } else { None });
        let start = if dx.as_ref().is_some_and(|dx| dx.add) { Start::Add } else { Start::Zero };
        let dx = dx.map_or(&mut [][..], |dx| dx.buf);
        let reversed = &mut as_pairs(reversed)[..c.reversed_len()];
        if !dx.is_empty() {
            c.reverse_kernel(cx.pool, io.x(1), reversed);
        }
        let y = self.conv.f.as_ref().map(|f| (f, io.y(0)));
        // What one image needs besides the kernel's gradient.
        let reversed = &*reversed;
        let one = |i: usize, dy: &mut [f32], dx: &mut [f32], db: &mut [f32], own: &mut [Pair]| {
            if let Some((f, y)) = y {
                f.gradient_in_place(&y[i * c.output_len()..][..c.output_len()], dy);
            }
            if !db.is_empty() {
                sum::rows(dy, db);
            }
            if !dx.is_empty() {
                c.input_gradient(dy, reversed, (dx, own), start);
            }
        };
        let dw = io.dx(1);
        let db_sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let (dy, shards) = (io.dy0(), self.shards(n));
        let kernel_sums = &mut sums[..shards.count * c.kernel_len()];
        let together = dw.is_some() && shards.count >= 2 * cx.pool.threads();
        if together {
            self.by_shard(cx, io.x(0), (dy, dx, db_sums), kernel_sums, scratch, one);
        } else {
            let data = [&mut *dy, dx, db_sums];
            let work = (n, n * self.conv.g.work());
            let per_thread = self.backward_per_thread();
            for_pieces_with(cx.pool, work, data, scratch, per_thread, |i, [dy, dx, db], own| {
                one(i, dy, dx, db, as_pairs(own));
            });
            if dw.is_some() {
                self.kernel_gradient(cx, io.x(0), dy, kernel_sums, scratch);
            }
        }
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        if let Some(dw) = dw {
            sum::parts(cx.pool, kernel_sums, dw.buf, dw.add);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let conv = self.conv.absorb(next)?;
        let conv = (conv as Box<dyn std::any::Any>).downcast::<Conv>().ok()?;
        Some(Box::new(ConvBf16 { conv: *conv, ..*self }))
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        self.conv.flops(x, y)
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        self.conv.twin(x, cx)
    }
}

impl ConvBf16 {
    /// Everything of a shard's images while they are in cache: `one` for each, and the kernel's
    /// gradient into the shard's sums.
    fn by_shard(
        &self,
        cx: &Ctx<'_>,
        x: &[f32],
        (dy, dx, db): (&mut [f32], &mut [f32], &mut [f32]),
        sums: &mut [f32],
        scratch: &mut [f32],
        one: impl Fn(usize, &mut [f32], &mut [f32], &mut [f32], &mut [Pair]) + Sync,
    ) {
        let (c, shards) = (&self.products, self.shards(cx.batch));
        let (x_len, dy_len) = (c.image_len(), c.output_len());
        let dx_len = if dx.is_empty() { 0 } else { x_len };
        let db_len = if db.is_empty() { 0 } else { c.all_filters() };
        let cut = |len: usize| shards.images * len;
        let data = [(cut(dy_len), dy), (cut(dx_len), dx), (cut(db_len), db), (c.kernel_len(), sums)];
        let work = (shards.count, cx.batch * self.conv.g.work());
        let per_thread = self.backward_per_thread();
        for_chunks_with(cx.pool, work, data, scratch, per_thread, |s, [dy, dx, db, sums], own| {
            let own = as_pairs(own);
            let x = &x[s * cut(x_len)..];
            for (i, dy) in dy.chunks_mut(c.chunk() * dy_len).enumerate() {
                let first = i * c.chunk();
                for (j, dy) in dy.chunks_exact_mut(dy_len).enumerate() {
                    let at = first + j;
                    let dx = &mut dx[at * dx_len..(at + 1) * dx_len];
                    let db = &mut db[at * db_len..(at + 1) * db_len];
                    one(s * shards.images + at, dy, dx, db, own);
                }
                let images = first..first + dy.len() / dy_len;
                let x = &x[images.start * x_len..images.end * x_len];
                let start = if i == 0 { Start::Zero } else { Start::Add };
                c.kernel_gradient(x, dy, (0, sums), start, own);
            }
        });
    }

    /// The kernel's gradient by shard, into `sums`, each kernel row for itself: for few images.
    fn kernel_gradient(&self, cx: &Ctx<'_>, x: &[f32], dy: &[f32], sums: &mut [f32], scratch: &mut [f32]) {
        let (c, shards, rows) = (&self.products, self.shards(cx.batch), self.conv.g.rows.kernel);
        let (x_len, dy_len) = (c.image_len(), c.output_len());
        let work = (shards.count * rows, cx.batch * self.conv.g.work());
        let per_thread = self.backward_per_thread();
        for_pieces_with(cx.pool, work, [sums], scratch, per_thread, |task, [sums], own| {
            let (shard, row) = (task / rows, task % rows);
            let images = shard * shards.images..((shard + 1) * shards.images).min(cx.batch);
            let x = &x[images.start * x_len..images.end * x_len];
            let dy = &dy[images.start * dy_len..images.end * dy_len];
            let chunks = x.chunks(c.chunk() * x_len).zip(dy.chunks(c.chunk() * dy_len));
            for (i, (x, dy)) in chunks.enumerate() {
                let start = if i == 0 { Start::Zero } else { Start::Add };
                c.kernel_gradient(x, dy, (row, sums), start, as_pairs(own));
            }
        });
    }
}
