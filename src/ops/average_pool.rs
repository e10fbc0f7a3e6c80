//! y = the mean of each window over its cells inside the image. x `[N, H, W, C]`, y `[N, H', W', C]`.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::number::{Bf16, Number, Storage};
use crate::ops::pooling::{Cells, Pooling, load, over_channels, store};
use crate::shape::{Shape, Window};

/// The mean of each window.
#[derive(Clone, Debug)]
pub struct AveragePool {
    pooling: Pooling,
}

impl AveragePool {
    /// For images of `[H, W, C]` and windows along rows and columns that fit at least once.
    pub fn new(dims: [usize; 3], windows: [Window; 2]) -> AveragePool {
        AveragePool { pooling: Pooling::new(dims, windows) }
    }
}

/// What a cell counts in the mean.
#[inline(always)]
fn share(cells: &Cells) -> f32 {
    1.0 / (cells.rows * cells.columns) as f32
}

#[inline(always)]
fn forward_block<const L: usize>(x: &[impl Number], cells: &Cells, share: f32, y: &mut [f32], at: usize) {
    let mut sum = [0.0; L];
    for row in 0..cells.rows {
        for column in 0..cells.columns {
            let x = load::<L>(x, cells.start + row * cells.down + column * cells.right + at);
            sum = std::array::from_fn(|i| sum[i] + x[i]);
        }
    }
    store(y, at, sum.map(|s| s * share));
}

simd! {
    /// One output row.
    fn forward_row<T: Number>(pooling: &Pooling, x: &[T], row: usize, y: &mut [f32]) {
        let channels = pooling.channels();
        for (cells, y) in pooling.windows(row).zip(y.chunks_exact_mut(channels)) {
            let share = share(&cells);
            over_channels!(channels, forward_block(x, &cells, share, y));
        }
    }
}

#[inline(always)]
fn backward_block<const L: usize, const ADD: bool>(
    cells: &Cells,
    share: f32,
    dy: &[f32],
    dx: &mut [impl Number],
    at: usize,
) {
    let given = load::<L>(dy, at).map(|dy| dy * share);
    for row in 0..cells.rows {
        for column in 0..cells.columns {
            let cell = cells.start + row * cells.down + column * cells.right + at;
            let before = if ADD { load::<L>(dx, cell) } else { [0.0; L] };
            store(dx, cell, std::array::from_fn::<f32, L, _>(|i| before[i] + given[i]));
        }
    }
}

simd! {
    /// One output row; `add` as `Pooling::for_images` says.
    fn backward_row<T: Number>(pooling: &Pooling, row: usize, dy: &[f32], dx: &mut [T], add: bool) {
        let channels = pooling.channels();
        for (cells, dy) in pooling.windows(row).zip(dy.chunks_exact(channels)) {
            let share = share(&cells);
            if add {
                over_channels!(channels, backward_block::<true>(&cells, share, dy, dx));
            } else {
                over_channels!(channels, backward_block::<false>(&cells, share, dy, dx));
            }
        }
    }
}

impl Op for AveragePool {
    fn name(&self) -> &'static str {
        "average_pool"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let input = self.pooling.input();
        if x[0].dims != input {
            return Err(Mismatch::new(format!("pooling of {input:?} got {}", x[0])));
        }
        let mut signature = Signature::new(self.pooling.output()).differentiable(&[0]);
        // Where windows overlap, gradients are added up in dx, and would be rounded each time.
        if self.pooling.tiles().is_some() {
            signature.narrow.x = Bits::first(1);
        }
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.forward_from::<f32>(io, cx),
            Storage::Bf16 => self.forward_from::<Bf16>(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        match io.dx.storage(0) {
            Storage::F32 => self.backward_into::<f32>(io, cx),
            Storage::Bf16 => self.backward_into::<Bf16>(io, cx),
        }
    }

    fn flops(&self, _: &[&Shape], y: &[&Shape]) -> f64 {
        (self.pooling.window_size() * y[0].size()) as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![crate::ops::pooling::twin(&self.pooling, &x[0], |cells| {
            cells.iter().sum::<f64>() / cells.len() as f64
        })]
    }
}

impl AveragePool {
    fn forward_from<T: Number>(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let pooling = &self.pooling;
        pooling.for_rows(cx.pool, io.x_as::<T>(0), io.y(0), |x, row, y| forward_row(pooling, x, row, y));
    }

    fn backward_into<T: Number>(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx_as::<T>(0) else { return };
        let (dy, pooling) = (&*io.dy0(), &self.pooling);
        pooling.for_images(cx.pool, dx.buf, |n, dx, add| {
            for (r, dy) in dy[pooling.output_image(n)].chunks_exact(pooling.output_row()).enumerate() {
                backward_row(pooling, r, dy, dx, add);
            }
        });
    }
}
