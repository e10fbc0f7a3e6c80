//! [`Conv`] with its operands rounded to bfloat16 and its sums in f32: all three products. Shapes,
//! bias and function are those of `Conv`; weights stay f32, and are rounded in each step. What it reads
//! and what it makes may be stored as bfloat16.

use std::any::Any;

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Narrow, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::bf16::{Operand, Pair, along, as_pairs, conv::Convolution, pairs_of};
use crate::kernels::conv::Geometry;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::number::{self, Bf16, Number, Storage, widen};
use crate::kernels::pieces::{for_chunks_with, for_pieces_with};
use crate::kernels::sum;
use crate::ops::conv::{Conv, row_parts};
use crate::ops::function::slope_in_place;
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

    /// Working space of a thread: of the products, and for rows that are rounded when they are finished.
    fn backward_per_thread(&self) -> [usize; 2] {
        let c = &self.products;
        let products = c.kernel_gradient_scratch().max(c.input_gradient_scratch()).max(c.output_len());
        [round_up(products), round_up(c.gradient_rows_scratch())]
    }

    fn forward_per_thread(&self) -> [usize; 2] {
        let c = &self.products;
        [round_up(c.forward_scratch()), round_up(c.rows_scratch(self.conv.g.rows.output))]
    }
}

impl Op for ConvBf16 {
    fn name(&self) -> &'static str {
        "conv_bf16"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = self.conv.infer(x)?;
        let c = &self.products;
        signature.forward_scratch = Scratch {
            per_sample: 0,
            fixed: round_up(c.packed_len()),
            per_thread: self.forward_per_thread().iter().sum(),
        };
        signature.backward_scratch = Scratch {
            // The bias's gradient by image.
            per_sample: c.all_filters(),
            // The kernel's gradient by shard, and the reversed kernel.
            fixed: round_up(self.most_sums()) + round_up(c.reversed_len()),
            per_thread: self.backward_per_thread().iter().sum(),
        };
        signature.narrow = Narrow { x: Bits::first(1), y: Bits::first(1), together: false, rounds: true };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.forward_from::<f32>(io, cx),
            Storage::Bf16 => self.forward_from::<Bf16>(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        match (io.x.storage(0), io.dy.storage(0)) {
            (Storage::F32, Storage::F32) => self.backward_as::<f32, f32>(io, cx),
            (Storage::F32, Storage::Bf16) => self.backward_as::<f32, Bf16>(io, cx),
            (Storage::Bf16, Storage::F32) => self.backward_as::<Bf16, f32>(io, cx),
            (Storage::Bf16, Storage::Bf16) => self.backward_as::<Bf16, Bf16>(io, cx),
        }
    }

    /// With pooling it becomes what f32 makes of both: most outputs are dead then, and to visit the live ones
    /// alone is faster than all in bfloat16.
    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let joined = self.conv.absorb(next)?;
        match (&*joined as &dyn Any).downcast_ref::<Conv>() {
            Some(conv) => Some(Box::new(ConvBf16 { conv: conv.clone(), ..*self })),
            None => Some(joined),
        }
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

/// What a shard's images are read from and written to: words of the latter, as they are cut.
struct Operands<'a, X> {
    x: &'a [X],
    dy: &'a mut [f32],
    dx: &'a mut [f32],
    db: &'a mut [f32],
}

impl ConvBf16 {
    fn forward_from<X: Operand>(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (c, g, x) = (&self.products, &self.conv.g, io.x_as::<X>(0));
        let bias = (io.x.count() == 3).then(|| io.x(2));
        let (packed, scratch) = io.scratch().split_at_mut(round_up(c.packed_len()));
        let packed = &mut as_pairs(packed)[..c.packed_len()];
        c.pack_kernel(cx.pool, io.x(1), packed);
        let packed = &*packed;
        let parts = row_parts(g.rows.output, cx.batch, cx.pool.threads());
        let rows = g.rows.output / parts;
        let work = (cx.batch * parts, cx.batch * g.work());
        let [products, finished] = self.forward_per_thread();
        let narrow = io.y.storage(0) == Storage::Bf16;
        let y = io.y.write(0).expect("every output has a buffer");
        for_pieces_with(cx.pool, work, [y], scratch, products + finished, |task, [y], own| {
            let image = &x[task / parts * c.image_len()..][..c.image_len()];
            let outputs = task % parts * rows..(task % parts + 1) * rows;
            let activate = |row: &mut [f32]| match &self.conv.f {
                Some(f) => f.apply_in_place(row),
                None => as_is(row),
            };
            let (own, finished) = own.split_at_mut(products);
            let own = as_pairs(own);
            if narrow {
                let finished = &mut finished[..c.rows_scratch(rows)];
                let mut lines = as_pairs(y).chunks_exact_mut(y_line(g));
                c.forward(image, packed, bias, outputs, (finished, own), &mut |row| {
                    activate(row);
                    along(row, lines.next().expect("a line for every row"));
                });
            } else {
                c.forward(image, packed, bias, outputs, (y, own), &mut |row| activate(row));
            }
        });
    }

    fn backward_as<X: Operand, Y: Operand>(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (c, n) = (&self.products, cx.batch);
        let (reversed, scratch) = io.scratch().split_at_mut(round_up(c.reversed_len()));
        let (sums, scratch) = scratch.split_at_mut(round_up(self.most_sums()));
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * c.all_filters());
        let db = if io.dx.count() == 3 { io.dx(2) } else { None };
        let add = io.add.has(0);
        let dx = io.dx.write(0).unwrap_or_default();
        let reversed = &mut as_pairs(reversed)[..c.reversed_len()];
        if !dx.is_empty() {
            c.reverse_kernel(cx.pool, io.x(1), reversed);
        }
        let y = self.conv.f.as_ref().map(|f| (f, io.y_as::<Y>(0)));
        // What one image needs besides the kernel's gradient.
        let reversed = &*reversed;
        let one = |i: usize, dy: &mut [f32], dx: &mut [f32], db: &mut [f32], own: &mut [f32]| {
            if let Some((f, y)) = y {
                slope_in_place(&**f, &y[i * c.output_len()..][..c.output_len()], Y::of_mut(dy));
            }
            let dy = Y::of(dy);
            if !db.is_empty() {
                let wide = &mut own[..dy.len()];
                widen(dy, wide);
                sum::rows(wide, db);
            }
            if !dx.is_empty() {
                self.input_gradient::<X, Y>(dy, reversed, dx, add, own);
            }
        };
        let dw = io.dx(1);
        let db_sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let (x, shards) = (io.x_as::<X>(0), self.shards(n));
        let dy = io.dy.write(0).expect("backward runs only if an output has a gradient");
        let kernel_sums = &mut sums[..shards.count * c.kernel_len()];
        let together = dw.is_some() && shards.count >= 2 * cx.pool.threads();
        if together {
            let data = Operands { x, dy, dx, db: db_sums };
            self.by_shard::<X, Y>(cx, data, kernel_sums, scratch, one);
        } else {
            let data = [&mut *dy, dx, db_sums];
            let work = (n, n * self.conv.g.work());
            let per_thread = self.backward_per_thread().iter().sum();
            for_pieces_with(cx.pool, work, data, scratch, per_thread, |i, [dy, dx, db], own| {
                one(i, dy, dx, db, own);
            });
            if dw.is_some() {
                self.kernel_gradient(cx, x, Y::of(dy), kernel_sums, scratch);
            }
        }
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        if let Some(dw) = dw {
            sum::parts(cx.pool, kernel_sums, dw.buf, dw.add);
        }
    }

    /// Of one image, into or onto `dx`.
    fn input_gradient<X: Operand, Y: Operand>(
        &self,
        dy: &[Y],
        reversed: &[Pair],
        dx: &mut [f32],
        add: bool,
        own: &mut [f32],
    ) {
        let c = &self.products;
        let (own, finished) = own.split_at_mut(self.backward_per_thread()[0]);
        let own = as_pairs(own);
        if X::STORAGE == Storage::F32 {
            let start = if add { Start::Add } else { Start::Zero };
            return c.input_gradient(dy, reversed, (dx, own), start, &mut |_| {});
        }
        let finished = &mut finished[..c.gradient_rows_scratch()];
        let mut lines = dx.chunks_exact_mut(x_line(&self.conv.g));
        c.input_gradient(dy, reversed, (finished, own), Start::Zero, &mut |row| {
            let line = lines.next().expect("a line for every row");
            if add { number::add(row, Bf16::of_mut(line)) } else { along(row, as_pairs(line)) }
        });
    }

    /// Everything of a shard's images while they are in cache: `one` for each, and the kernel's
    /// gradient into the shard's sums.
    fn by_shard<X: Operand, Y: Operand>(
        &self,
        cx: &Ctx<'_>,
        Operands { x, dy, dx, db }: Operands<'_, X>,
        sums: &mut [f32],
        scratch: &mut [f32],
        one: impl Fn(usize, &mut [f32], &mut [f32], &mut [f32], &mut [f32]) + Sync,
    ) {
        let (c, shards) = (&self.products, self.shards(cx.batch));
        let (x_len, dy_len) = (c.image_len(), Y::STORAGE.words(c.output_len()));
        let dx_len = if dx.is_empty() { 0 } else { X::STORAGE.words(x_len) };
        let db_len = if db.is_empty() { 0 } else { c.all_filters() };
        let cut = |len: usize| shards.images * len;
        let data = [(cut(dy_len), dy), (cut(dx_len), dx), (cut(db_len), db), (c.kernel_len(), sums)];
        let work = (shards.count, cx.batch * self.conv.g.work());
        let per_thread = self.backward_per_thread().iter().sum();
        for_chunks_with(cx.pool, work, data, scratch, per_thread, |s, [dy, dx, db, sums], own| {
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
                c.kernel_gradient(x, Y::of(dy), (0, sums), start, as_pairs(own));
            }
        });
    }

    /// The kernel's gradient by shard, into `sums`, each kernel row for itself: for few images.
    fn kernel_gradient<X: Operand, Y: Operand>(
        &self,
        cx: &Ctx<'_>,
        x: &[X],
        dy: &[Y],
        sums: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (c, shards, rows) = (&self.products, self.shards(cx.batch), self.conv.g.rows.kernel);
        let (x_len, dy_len) = (c.image_len(), c.output_len());
        let work = (shards.count * rows, cx.batch * self.conv.g.work());
        let per_thread = self.backward_per_thread().iter().sum();
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

/// Pairs of an output row, and of an input row.
fn y_line(g: &Geometry) -> usize {
    pairs_of(g.columns.output * g.filters)
}

fn x_line(g: &Geometry) -> usize {
    pairs_of(g.columns.input * g.channels)
}
