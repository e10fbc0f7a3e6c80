//! y = softmax(x) or log softmax(x) over the last axis. x and y `[N, ..., C]`.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::math::{PLAIN, exp};
use crate::kernels::par::for_chunks;
use crate::kernels::sum::{largest, total};
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
    /// The exponentials go over all rows at once: short rows would not fill vector registers.
    fn softmax_rows(width: usize, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let max = largest(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - max);
        }
        y.iter_mut().for_each(|y| *y = exp::<FUSED>(*y));
        for y in y.chunks_exact_mut(width) {
            let sum = total([y], |[y]| y);
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

simd! {
    fn log_softmax_rows(width: usize, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let shift = log_sum_exp(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - shift);
        }
    }
}

simd! {
    /// `dy = y (dy - sum of dy y)` by rows.
    fn softmax_gradient(width: usize, y: &[f32], dy: &mut [f32]) {
        for (dy, y) in dy.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
            let sum = total([dy, y], |[dy, y]| dy * y);
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = y * (*dy - sum));
        }
    }
}

simd! {
    /// `dy = dy - e^y sum of dy` by rows.
    fn log_softmax_gradient(width: usize, y: &[f32], dy: &mut [f32]) {
        for (dy, y) in dy.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
            let sum = total([dy], |[dy]| dy);
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy -= exp::<FUSED>(*y) * sum);
        }
    }
}

/// ln of the sum of e^x, without overflow.
#[inline(always)]
pub fn log_sum_exp(x: &[f32]) -> f32 {
    let max = largest(x);
    let sum = total([x], |[x]| exp::<PLAIN>(x - max));
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
        let signature = Signature::new(x[0].clone()).differentiable(&[0]).keep_y(&[0]);
        Ok(Signature { left_in_dy: Bits::first(1), ..signature })
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
        let (y, dy, chunk) = (io.y(0), io.dy0(), self.chunk());
        let gradient = if self.log { log_softmax_gradient } else { softmax_gradient };
        match io.dx(0) {
            Some(dx) => for_chunks(cx.pool, dx.buf, chunk, |c, dx| {
                dx.copy_from_slice(&dy[c * chunk..][..dx.len()]);
                gradient(self.width, &y[c * chunk..][..dx.len()], dx);
            }),
            None => for_chunks(cx.pool, dy, chunk, |c, dy| {
                gradient(self.width, &y[c * chunk..][..dy.len()], dy);
            }),
        }
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
