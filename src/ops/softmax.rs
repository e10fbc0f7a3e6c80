//! y = softmax(x) or log softmax(x) over the last axis. x and y `[N, ..., C]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::math::exp;
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Softmax over rows of `width` numbers.
#[derive(Clone, Debug)]
pub struct Softmax {
    width: usize,
    log: bool,
}

impl Softmax {
    pub fn new(width: usize) -> Softmax {
        Softmax { width, log: false }
    }

    pub fn log(width: usize) -> Softmax {
        Softmax { width, log: true }
    }

    /// Whether it gives probabilities, not their logarithms.
    pub fn gives_probabilities(&self) -> bool {
        !self.log
    }

    fn chunk(&self) -> usize {
        (CHUNK / self.width).max(1) * self.width
    }
}

simd! {
    fn softmax_rows(width: usize, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let max = x.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp(x - max);
            }
            let sum: f32 = y.iter().sum();
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

fn log_softmax_rows(width: usize, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let shift = log_sum_exp(x);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x - shift);
    }
}

/// ln of the sum of e^x, without overflow.
pub fn log_sum_exp(x: &[f32]) -> f32 {
    let max = x.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
    let sum: f32 = x.iter().map(|v| exp(v - max)).sum();
    max + libm::logf(sum)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims.last() != Some(&self.width) {
            return Err(Mismatch::new(format!(
                "softmax over {} needs them as last axis, got {}",
                self.width, x[0]
            )));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0]).keep_y(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, chunk) = (io.x(0), self.chunk());
        for_chunks(cx.pool, io.y(0), chunk, |c, y| {
            let x = &x[c * chunk..c * chunk + y.len()];
            if self.log { log_softmax_rows(self.width, x, y) } else { softmax_rows(self.width, x, y) }
        });
    }

    /// softmax: dx = y (dy - sum(dy y)); log softmax: dx = dy - e^y sum(dy).
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (y, dy, chunk) = (io.y(0), &*io.dy0(), self.chunk());
        for_chunks(cx.pool, dx.buf, chunk, |c, dx| {
            let rows = dx.chunks_exact_mut(self.width);
            let from = c * chunk;
            for ((dx, y), dy) in
                rows.zip(y[from..].chunks_exact(self.width)).zip(dy[from..].chunks_exact(self.width))
            {
                if self.log {
                    let sum: f32 = dy.iter().sum();
                    dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = dy - exp(*y) * sum);
                } else {
                    let sum: f32 = dy.iter().zip(y).map(|(d, y)| d * y).sum();
                    dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = y * (dy - sum));
                }
            }
        });
    }

    fn flops(&self, _: &[&Shape], y: &[&Shape]) -> f64 {
        5.0 * y[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for row in y.as_slice_mut().unwrap().chunks_mut(self.width) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|v| (v - max).exp()).sum();
            for v in row {
                *v = if self.log { *v - max - sum.ln() } else { (*v - max).exp() / sum };
            }
        }
        vec![y]
    }
}
