//! y = (x - mean) / max(sqrt(variance), 1e-7) by channel, with statistics that are weights of no gradient; or
//! back, y = x max(sqrt(variance), 1e-7) + mean. x, y `[N, ..., C]`, mean and variance `[C]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::ops::channel_sums::Walk;
use crate::shape::Shape;

/// Keras divides by no less: `backend.epsilon()`.
pub const LEAST_DEVIATION: f64 = 1e-7;

/// Position of the input that holds the variances, behind x and the means.
const VARIANCE: usize = 2;

/// The op; inputs x, mean, variance.
#[derive(Clone, Debug)]
pub struct Standardize {
    pub channels: usize,
    /// From mean 0 and variance 1 to these.
    pub invert: bool,
}

simd! {
    fn standardized(x: &[f32], mean: &[f32], factor: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
            for (((y, x), mean), factor) in y.iter_mut().zip(x).zip(mean).zip(factor) {
                *y = (x - mean) * factor;
            }
        }
    }
}

simd! {
    fn inverted(x: &[f32], mean: &[f32], factor: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
            for (((y, x), mean), factor) in y.iter_mut().zip(x).zip(mean).zip(factor) {
                *y = x * factor + mean;
            }
        }
    }
}

simd! {
    fn scaled(dy: &[f32], factor: &[f32], dx: &mut [f32]) {
        for (dx, dy) in dx.chunks_mut(factor.len()).zip(dy.chunks(factor.len())) {
            for ((dx, dy), factor) in dx.iter_mut().zip(dy).zip(factor) {
                *dx = dy * factor;
            }
        }
    }
}

impl Standardize {
    /// What x is multiplied by, over a long row.
    fn factors(&self, walk: Walk, variance: &[f32], out: &mut [f32]) {
        for (out, variance) in out.iter_mut().zip(variance) {
            let deviation = f64::from(*variance).sqrt().max(LEAST_DEVIATION);
            *out = if self.invert { deviation as f32 } else { (1.0 / deviation) as f32 };
        }
        walk.repeat(out);
    }
}

impl Op for Standardize {
    fn name(&self) -> &'static str {
        "standardize"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].last() != self.channels {
            return Err(Mismatch::new(format!("{} channels got {}", self.channels, x[0])));
        }
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0]).keep_x(&[VARIANCE]);
        let rows =
            |count: usize| Scratch { fixed: count * Walk::new(self.channels).period, ..Scratch::default() };
        (signature.forward_scratch, signature.backward_scratch) = (rows(2), rows(1));
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, walk) = (io.x(0), Walk::new(self.channels));
        let ([mean, factor], _) = walk.carve(io.scratch());
        walk.spread(io.x(1), mean);
        self.factors(walk, io.x(VARIANCE), factor);
        walk.for_blocks(cx.pool, io.y(0), |range, y| match self.invert {
            false => standardized(&x[range], mean, factor, y),
            true => inverted(&x[range], mean, factor, y),
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, walk) = (&*io.dy0(), Walk::new(self.channels));
        let ([factor], _) = walk.carve(io.scratch());
        self.factors(walk, io.x(VARIANCE), factor);
        walk.for_blocks(cx.pool, dx.buf, |range, dx| scaled(&dy[range], factor, dx));
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        2.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for (i, y) in y.iter_mut().enumerate() {
            let (mean, variance) = (x[1][i % self.channels], x[VARIANCE][i % self.channels]);
            let deviation = variance.sqrt().max(LEAST_DEVIATION);
            *y = if self.invert { *y * deviation + mean } else { (*y - mean) / deviation };
        }
        vec![y]
    }
}
