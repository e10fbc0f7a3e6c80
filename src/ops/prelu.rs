//! y = x where x > 0, else alpha x. x, y `[N, ...]`; alpha has the shape of a sample with 1 in the
//! axes along which it is shared. The slope at 0 is 0, as Keras's `relu(x) - alpha relu(-x)` has it.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::par::for_chunks;
use crate::kernels::sum;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Most parts in which the samples are cut to sum alpha's gradient; more gain nothing.
const SHARDS: usize = 8;

/// Rectification with a slope below zero that is learnt.
#[derive(Clone, Debug)]
pub struct PRelu {
    dims: Vec<usize>,
    alpha: Vec<usize>,
    /// Runs of axes that are all shared or all not: size and step in alpha (0 where shared).
    runs: Vec<(usize, usize)>,
}

impl PRelu {
    /// For samples of `dims`; `shared[i]` says whether alpha is one along axis `i`.
    pub fn new(dims: &[usize], shared: &[bool]) -> PRelu {
        let alpha: Vec<usize> = dims.iter().zip(shared).map(|(d, s)| if *s { 1 } else { *d }).collect();
        let mut runs: Vec<(usize, usize)> = vec![];
        let mut below = 1;
        for (axis, &size) in dims.iter().enumerate().rev() {
            let step = if shared[axis] { 0 } else { below };
            match runs.first_mut() {
                Some(run) if (run.1 == 0) == shared[axis] => run.0 *= size,
                _ => runs.insert(0, (size, step)),
            }
            below *= alpha[axis];
        }
        PRelu { dims: dims.to_vec(), alpha, runs }
    }

    /// Shape of alpha.
    pub fn alpha(&self) -> &[usize] {
        &self.alpha
    }

    /// Length of a row: the last run; and whether it has one alpha for all.
    fn row(&self) -> (usize, bool) {
        self.runs.last().map_or((1, true), |run| (run.0, run.1 == 0))
    }

    /// Where row `r` of the batch finds its alpha.
    fn offset(&self, r: usize) -> usize {
        let outer = self.runs.split_last().map_or(&[][..], |s| s.1);
        let start = |(from, rest): (usize, usize), &(size, step): &(usize, usize)| {
            (from + rest % size * step, rest / size)
        };
        outer.iter().rev().fold((0, r), start).0
    }

    /// Alpha of row `r`: as long as the row, or one number.
    fn alpha_of<'a>(&self, alpha: &'a [f32], r: usize) -> &'a [f32] {
        let (row, shared) = self.row();
        &alpha[self.offset(r)..][..if shared { 1 } else { row }]
    }

    /// Adds a row's part of alpha's gradient.
    fn add_alpha_gradient(&self, x: &[f32], dy: &[f32], r: usize, dalpha: &mut [f32]) {
        let (row, shared) = self.row();
        let from = self.offset(r);
        if shared {
            let sum: f32 = x.iter().zip(dy).map(|(x, dy)| if *x < 0.0 { x * dy } else { 0.0 }).sum();
            dalpha[from] += sum;
        } else {
            add_products_below_zero(x, dy, &mut dalpha[from..from + row]);
        }
    }
}

simd! {
    fn forward_row(x: &[f32], alpha: &[f32], y: &mut [f32]) {
        if let [alpha] = *alpha {
            for (y, x) in y.iter_mut().zip(x) {
                *y = if *x > 0.0 { *x } else { alpha * x };
            }
        } else {
            for ((y, x), alpha) in y.iter_mut().zip(x).zip(alpha) {
                *y = if *x > 0.0 { *x } else { alpha * x };
            }
        }
    }
}

simd! {
    fn backward_row(x: &[f32], alpha: &[f32], dy: &[f32], dx: &mut [f32]) {
        if let [alpha] = *alpha {
            for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = dy * if *x > 0.0 { 1.0 } else if *x < 0.0 { alpha } else { 0.0 };
            }
        } else {
            for (((dx, x), dy), alpha) in dx.iter_mut().zip(x).zip(dy).zip(alpha) {
                *dx = dy * if *x > 0.0 { 1.0 } else if *x < 0.0 { *alpha } else { 0.0 };
            }
        }
    }
}

simd! {
    fn add_products_below_zero(x: &[f32], dy: &[f32], dalpha: &mut [f32]) {
        for ((da, x), dy) in dalpha.iter_mut().zip(x).zip(dy) {
            *da += if *x < 0.0 { x * dy } else { 0.0 };
        }
    }
}

impl Op for PRelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims != self.dims || x[1].dims != self.alpha {
            let PRelu { dims, alpha, .. } = self;
            return Err(Mismatch::new(format!(
                "prelu of {dims:?} with alpha {alpha:?} got {} and {}",
                x[0], x[1]
            )));
        }
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0, 1]).keep_x(&[0, 1]);
        signature.backward_scratch = Scratch { fixed: SHARDS * x[1].size(), ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, alpha, row) = (io.x(0), io.x(1), self.row().0);
        let rows = (CHUNK / row).max(1);
        for_chunks(cx.pool, io.y(0), rows * row, |chunk, y| {
            for (r, y) in y.chunks_exact_mut(row).enumerate() {
                let r = chunk * rows + r;
                forward_row(&x[r * row..][..row], self.alpha_of(alpha, r), y);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, alpha, dy, row) = (io.x(0), io.x(1), &*io.dy0(), self.row().0);
        let rows = (CHUNK / row).max(1);
        if let Some(dx) = io.dx(0) {
            for_chunks(cx.pool, dx.buf, rows * row, |chunk, dx| {
                for (r, dx) in dx.chunks_exact_mut(row).enumerate() {
                    let r = chunk * rows + r;
                    let row = r * row..(r + 1) * row;
                    backward_row(&x[row.clone()], self.alpha_of(alpha, r), &dy[row], dx);
                }
            });
        }
        let Some(dalpha) = io.dx(1) else { return };
        let size: usize = self.dims.iter().product();
        let samples = cx.batch.div_ceil(SHARDS);
        let partial = &mut io.scratch()[..cx.batch.div_ceil(samples) * dalpha.buf.len()];
        for_chunks(cx.pool, partial, dalpha.buf.len(), |shard, partial| {
            partial.fill(0.0);
            let first = shard * samples * size / row;
            let shard = shard * samples * size..((shard + 1) * samples * size).min(x.len());
            let pairs = x[shard.clone()].chunks_exact(row).zip(dy[shard].chunks_exact(row));
            for (r, (x, dy)) in pairs.enumerate() {
                self.add_alpha_gradient(x, dy, first + r, partial);
            }
        });
        sum::parts(cx.pool, partial, dalpha.buf, false);
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let alpha = x[1].broadcast(x[0].raw_dim()).unwrap();
        vec![ndarray::Zip::from(&x[0]).and(&alpha).map_collect(|x, a| if *x > 0.0 { *x } else { a * x })]
    }
}
