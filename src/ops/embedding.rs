//! y = the rows of a table that x names. x `[N, ...]` of whole numbers, table `[V, D]`, y `[N, ..., D]`.
//!
//! A number that names no row takes the nearest one that there is: data is checked where it is loaded, and
//! an op cannot fail. Fractions are cut off, as Keras casts. A row's gradient is summed in the order of x
//! by the one task that owns the row.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task of the forward pass, in whole rows.
const CHUNK: usize = 1 << 13;

/// Tasks of the backward pass for each thread: every one looks at all of x.
const TASKS: usize = 4;

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct Embedding {
    rows: usize,
    width: usize,
}

impl Embedding {
    /// For a table of shape `[rows, width]`.
    pub fn new(rows: usize, width: usize) -> Embedding {
        Embedding { rows, width }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The row that a number names.
    fn row(&self, x: f32) -> usize {
        // A cast saturates, and takes NaN for 0.
        (x as usize).min(self.rows - 1)
    }
}

simd! {
    fn add(sum: &mut [f32], x: &[f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[1].dims != [self.rows, self.width] {
            let message = format!("a table {} is not one of {} rows of {}", x[1], self.rows, self.width);
            return Err(Mismatch::new(message));
        }
        let mut y = x[0].clone();
        y.dims.push(self.width);
        Ok(Signature::new(y).differentiable(&[1]).keep_x(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, table, width) = (io.x(0), io.x(1), self.width);
        let rows = (CHUNK / width).max(1);
        for_chunks(cx.pool, io.y(0), rows * width, |c, y| {
            for (y, x) in y.chunks_exact_mut(width).zip(&x[c * rows..]) {
                y.copy_from_slice(&table[self.row(*x) * width..][..width]);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dtable) = io.dx(1) else { return };
        let (x, dy, width) = (io.x(0), &*io.dy0(), self.width);
        let rows = if dy.len() < CHUNK { self.rows } else { self.rows.div_ceil(TASKS * cx.pool.threads()) };
        for_chunks(cx.pool, dtable.buf, rows * width, |c, dtable| {
            dtable.fill(0.0);
            let own = c * rows..c * rows + dtable.len() / width;
            for (x, dy) in x.iter().zip(dy.chunks_exact(width)) {
                let row = self.row(*x);
                if own.contains(&row) {
                    add(&mut dtable[(row - own.start) * width..][..width], dy);
                }
            }
        });
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let shape: Vec<usize> = x[0].shape().iter().copied().chain([self.width]).collect();
        let row = |v: &f64| v.clamp(0.0, (self.rows - 1) as f64) as usize;
        let y = x[0]
            .iter()
            .flat_map(|v| x[1].index_axis(ndarray::Axis(0), row(v)).iter().copied().collect::<Vec<_>>());
        vec![ndarray::ArrayD::from_shape_vec(shape, y.collect()).unwrap()]
    }
}
