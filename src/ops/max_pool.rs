//! y = the largest number of each window. x `[N, H, W, C]`, y `[N, H', W', C]`.
//!
//! The gradient goes to the first cell, in row-major order, that holds the largest number, as in
//! TensorFlow; it is found again from x and y, so that no index is stored.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::ops::pooling::{Cells, Pooling, load, over_channels, store};
use crate::shape::{Shape, Window};

/// The largest number of each window.
#[derive(Clone, Debug)]
pub struct MaxPool {
    pooling: Pooling,
}

impl MaxPool {
    /// For images of `[H, W, C]` and windows along rows and columns that fit at least once.
    pub fn new(dims: [usize; 3], windows: [Window; 2]) -> MaxPool {
        MaxPool { pooling: Pooling::new(dims, windows) }
    }

    /// Rows and columns of a window, where windows lie one after another from the first cell on.
    pub(super) fn tiles(&self) -> Option<[usize; 2]> {
        self.pooling.tiles()
    }

    /// Windows along rows and columns.
    pub(super) fn output_size(&self) -> [usize; 2] {
        self.pooling.output_size()
    }
}

/// The larger number; NaN if one is: a maximum must not hide a divergence.
#[inline(always)]
fn larger<const L: usize>(a: [f32; L], b: [f32; L]) -> [f32; L] {
    std::array::from_fn(|i| if b[i] > a[i] || b[i].is_nan() { b[i] } else { a[i] })
}

/// Stores one window's maximum. The cells are a loop for 2 x 2 windows too: spelt out, they kept the
/// compiler from using vectors (backward 18 times slower at 26 x 26 x 32).
#[inline(always)]
fn forward_block<const L: usize>(x: &[f32], cells: &Cells, y: &mut [f32], at: usize) {
    let mut best = load::<L>(x, cells.start + at);
    for row in 0..cells.rows {
        for column in 0..cells.columns {
            best = larger(best, load(x, cells.start + row * cells.down + column * cells.right + at));
        }
    }
    store(y, at, best);
}

simd! {
    /// One output row.
    fn forward_row(pooling: &Pooling, x: &[f32], row: usize, y: &mut [f32]) {
        let channels = pooling.channels();
        for (cells, y) in pooling.windows(row).zip(y.chunks_exact_mut(channels)) {
            over_channels!(channels, forward_block(x, &cells, y));
        }
    }
}

/// One cell's share of the gradient that is `left`: all of it if the cell holds the maximum.
#[inline(always)]
fn give<const L: usize>(x: &[f32], y: [f32; L], left: &mut [f32; L], at: usize) -> [f32; L] {
    let x = load::<L>(x, at);
    let given = std::array::from_fn(|i| if x[i] == y[i] { left[i] } else { 0.0 });
    *left = std::array::from_fn(|i| if x[i] == y[i] { 0.0 } else { left[i] });
    given
}

/// Hands one window's gradient to its first largest cell. `ADD`: other windows have the cells too.
#[inline(always)]
fn backward_block<const L: usize, const ADD: bool>(
    x: &[f32],
    cells: &Cells,
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    at: usize,
) {
    let (y, mut left) = (load::<L>(y, at), load::<L>(dy, at));
    for row in 0..cells.rows {
        for column in 0..cells.columns {
            let cell = cells.start + row * cells.down + column * cells.right + at;
            let mut given = give(x, y, &mut left, cell);
            if ADD {
                let before = load::<L>(dx, cell);
                given = std::array::from_fn(|i| before[i] + given[i]);
            }
            store(dx, cell, given);
        }
    }
}

simd! {
    /// One output row; `add` as `Pooling::for_images` says.
    fn backward_row(
        pooling: &Pooling,
        row: usize,
        x: &[f32],
        y: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        add: bool,
    ) {
        let channels = pooling.channels();
        let outputs = y.chunks_exact(channels).zip(dy.chunks_exact(channels));
        for (cells, (y, dy)) in pooling.windows(row).zip(outputs) {
            if add {
                over_channels!(channels, backward_block::<true>(x, &cells, y, dy, dx));
            } else {
                over_channels!(channels, backward_block::<false>(x, &cells, y, dy, dx));
            }
        }
    }
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let input = self.pooling.input();
        if x[0].dims != input {
            return Err(Mismatch::new(format!("pooling of {input:?} got {}", x[0])));
        }
        Ok(Signature::new(self.pooling.output()).differentiable(&[0]).keep_x(&[0]).keep_y(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let pooling = &self.pooling;
        pooling.for_rows(cx.pool, io.x(0), io.y(0), |x, row, y| forward_row(pooling, x, row, y));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (x, y, dy, pooling) = (io.x(0), io.y(0), &*io.dy0(), &self.pooling);
        pooling.for_images(cx.pool, dx.buf, |n, dx, add| {
            let (output, row) = (pooling.output_image(n), pooling.output_row());
            let x = &x[n * dx.len()..][..dx.len()];
            let rows = y[output.clone()].chunks_exact(row).zip(dy[output].chunks_exact(row));
            for (r, (y, dy)) in rows.enumerate() {
                backward_row(pooling, r, x, y, dy, dx, add);
            }
        });
    }

    fn flops(&self, _: &[&Shape], y: &[&Shape]) -> f64 {
        (self.pooling.window_size() * y[0].size()) as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![crate::ops::pooling::twin(&self.pooling, &x[0], |cells| {
            cells.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        })]
    }
}
