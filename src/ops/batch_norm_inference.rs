//! Batch normalization by the moving statistics: in inference, and in training of a frozen layer.
//!
//! `y = (x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta`. x `[N, ..., C]`, all
//! else `[C]`. The statistics are constants: no gradient goes through them.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::ops::batch_norm::Form;
use crate::ops::channel_sums::{self, ChannelSums, products};
use crate::shape::Shape;

/// Normalization by the moving statistics.
#[derive(Clone, Debug)]
pub struct BatchNormInference {
    pub form: Form,
}

impl BatchNormInference {
    /// 1 / sqrt(variance + epsilon)
    fn inverse(&self, variance: f32) -> f32 {
        (1.0 / (f64::from(variance) + self.form.epsilon).sqrt()) as f32
    }
}

impl Op for BatchNormInference {
    fn name(&self) -> &'static str {
        "batch_norm_inference"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        self.form.check(x)?;
        let all: Vec<usize> = (0..x.len()).collect();
        let mut signature =
            Signature::new(x[0].clone()).differentiable(&self.form.differentiable()).keep_x(&all);
        let channels = self.form.channels;
        signature.forward_scratch = Scratch { fixed: 2 * channels, ..Scratch::default() };
        let fixed = channel_sums::scratch(channels) + 3 * channels;
        signature.backward_scratch = Scratch { fixed, ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (mean, variance) = (io.x(self.form.moving()), io.x(self.form.moving() + 1));
        let (a, b) = io.scratch()[..2 * self.form.channels].split_at_mut(self.form.channels);
        let (gamma, beta) = (self.form.gamma().map(|i| io.x(i)), self.form.beta().map(|i| io.x(i)));
        for c in 0..self.form.channels {
            a[c] = self.inverse(variance[c]) * gamma.map_or(1.0, |g| g[c]);
            b[c] = beta.map_or(0.0, |b| b[c]);
        }
        channel_sums::normalize(cx.pool, io.x(0), mean, a, b, io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, dy, channels) = (io.x(0), &*io.dy0(), self.form.channels);
        let (mean, variance) = (io.x(self.form.moving()), io.x(self.form.moving() + 1));
        let (a, rest) = io.scratch().split_at_mut(channels);
        let (zero, rest) = rest.split_at_mut(channels);
        let (inverse, sums) = rest.split_at_mut(channels);
        inverse.iter_mut().zip(variance).for_each(|(i, v)| *i = self.inverse(*v));
        let gamma = self.form.gamma().map(|i| io.x(i));
        let (dgamma, dbeta) =
            (self.form.gamma().and_then(|i| io.dx(i)), self.form.beta().and_then(|i| io.dx(i)));
        if dgamma.is_some() || dbeta.is_some() {
            let sums =
                ChannelSums::new(cx.pool, x.len() / channels, channels, sums, |rows, first, second| {
                    let block = rows.start * channels..rows.end * channels;
                    products(&x[block.clone()], mean, &dy[block], first, second);
                });
            if let Some(dgamma) = dgamma {
                for (c, dgamma) in dgamma.buf.iter_mut().enumerate() {
                    *dgamma = (sums.of(c)[1] * f64::from(inverse[c])) as f32;
                }
            }
            if let Some(dbeta) = dbeta {
                dbeta.buf.iter_mut().enumerate().for_each(|(c, d)| *d = sums.of(c)[0] as f32);
            }
        }
        let Some(dx) = io.dx(0) else { return };
        zero.fill(0.0);
        a.iter_mut().enumerate().for_each(|(c, a)| *a = inverse[c] * gamma.map_or(1.0, |g| g[c]));
        channel_sums::normalize(cx.pool, dy, zero, a, zero, dx.buf);
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        3.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let moving = self.form.moving();
        vec![self.form.twin(x, |c, _| [x[moving][c], x[moving + 1][c]])]
    }
}
