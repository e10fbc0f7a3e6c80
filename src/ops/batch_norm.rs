//! Batch normalization in training.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and (population) variance of the
//! batch by channel; `moving = moving * momentum + batch * (1 - momentum)`.
//! x `[N, ..., C]`, all else `[C]`. Ioffe, Szegedy: Batch Normalization, ICML 2015.
//!
//! Two passes over x: the sums are taken of x less a mean of its first rows, so that the variance
//! is no small difference of large numbers.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::ops::channel_sums::{self, ChannelSums, moments, products};
use crate::ops::pooling::{load, over_channels, store};
use crate::shape::Shape;

/// Rows whose mean the sums start from.
const FIRST_ROWS: usize = 64;

/// What both forms of batch normalization know of their inputs: x, gamma if scaled, beta if
/// centered, moving mean, moving variance.
#[derive(Clone, Debug)]
pub struct Form {
    pub channels: usize,
    pub scale: bool,
    pub center: bool,
    pub epsilon: f64,
}

impl Form {
    pub fn gamma(&self) -> Option<usize> {
        self.scale.then_some(1)
    }

    pub fn beta(&self) -> Option<usize> {
        self.center.then_some(1 + usize::from(self.scale))
    }

    /// Position of the moving mean; the moving variance is next.
    pub fn moving(&self) -> usize {
        1 + usize::from(self.scale) + usize::from(self.center)
    }

    /// x and, where there are any, gamma and beta.
    pub fn differentiable(&self) -> Vec<usize> {
        (0..self.moving()).collect()
    }

    pub fn check(&self, x: &[&Shape]) -> Result<(), Mismatch> {
        if x[0].dims.last() != Some(&self.channels) || x[1..].iter().any(|s| s.dims != [self.channels]) {
            return Err(Mismatch::new(format!(
                "normalization of {} channels got {} and weights {}",
                self.channels,
                x[0],
                x[1..].iter().map(|s| s.to_string()).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        statistics: impl Fn(usize, &[f64]) -> [f64; 2],
    ) -> ndarray::ArrayD<f64> {
        let mut y = x[0].clone();
        let axis = ndarray::Axis(y.ndim() - 1);
        for (c, mut lane) in y.axis_iter_mut(axis).enumerate() {
            let values: Vec<f64> = lane.iter().copied().collect();
            let [mean, variance] = statistics(c, &values);
            let gamma = self.gamma().map_or(1.0, |i| x[i][c]);
            let beta = self.beta().map_or(0.0, |i| x[i][c]);
            lane.mapv_inplace(|v| (v - mean) / (variance + self.epsilon).sqrt() * gamma + beta);
        }
        y
    }
}

/// Normalization by the batch's own statistics, which also move the moving ones.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    pub form: Form,
    pub momentum: f64,
}

simd! {
    /// Column means of a few rows.
    fn means(x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let mut rows = 0.0;
        for row in x.chunks_exact(out.len()) {
            out.iter_mut().zip(row).for_each(|(o, x)| *o += x);
            rows += 1.0;
        }
        out.iter_mut().for_each(|o| *o /= rows);
    }
}

#[inline(always)]
fn gradient_block<const L: usize>(
    x: &[f32],
    mean: &[f32],
    dy: &[f32],
    factors: [&[f32]; 3],
    dx: &mut [f32],
    at: usize,
) {
    let channels = mean.len();
    let mean = load::<L>(mean, at);
    let [a, p, q] = factors.map(|f| load::<L>(f, at));
    let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
    for ((row, dy), dx) in rows.zip(dx.chunks_exact_mut(channels)) {
        let (x, dy) = (load::<L>(row, at), load::<L>(dy, at));
        let mut out = [0.0; L];
        for i in 0..L {
            out[i] = dy[i] * a[i] + (x[i] - mean[i]) * p[i] + q[i];
        }
        store(dx, at, out);
    }
}

simd! {
    /// `dx = dy a + (x - mean) p + q` over a block of rows.
    fn gradient(x: &[f32], mean: &[f32], dy: &[f32], factors: [&[f32]; 3], dx: &mut [f32]) {
        over_channels!(mean.len(), gradient_block(x, mean, dy, factors, dx));
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        self.form.check(x)?;
        let channels = self.form.channels;
        let mut signature = Signature::new(x[0].clone()).differentiable(&self.form.differentiable());
        // Mean and inverse standard deviation of the batch, for the backward pass.
        signature.y.extend([Shape::fixed([channels]), Shape::fixed([channels])]);
        signature = signature.keep_x(&[0, 1][..1 + usize::from(self.form.scale)]).keep_y(&[1, 2]);
        signature.updates = crate::graph::Bits::of(&[self.form.moving(), self.form.moving() + 1]);
        let fixed = channel_sums::scratch(channels) + 3 * channels;
        signature.forward_scratch = Scratch { fixed, ..Scratch::default() };
        signature.backward_scratch = signature.forward_scratch;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, channels) = (io.x(0), self.form.channels);
        let (rows, count) = (x.len() / channels, (x.len() / channels) as f64);
        let (shift, rest) = io.scratch().split_at_mut(channels);
        let (a, rest) = rest.split_at_mut(channels);
        let (b, sums) = rest.split_at_mut(channels);
        means(&x[..rows.min(FIRST_ROWS) * channels], shift);
        let sums = ChannelSums::new(cx.pool, rows, channels, sums, |rows, first, second| {
            moments(&x[rows.start * channels..rows.end * channels], shift, first, second);
        });
        let (mean, inverse) = (io.y(1), io.y(2));
        let moving = self.form.moving();
        let (moving_mean, moving_variance) = (io.update(moving), io.update(moving + 1));
        let (gamma, beta) = (self.form.gamma().map(|i| io.x(i)), self.form.beta().map(|i| io.x(i)));
        for c in 0..channels {
            let [sum, squares] = sums.of(c);
            let off = sum / count;
            let batch_mean = f64::from(shift[c]) + off;
            // At least 0 whatever the rounding; a NaN stays one.
            let variance = squares / count - off * off;
            let variance = if variance < 0.0 { 0.0 } else { variance };
            mean[c] = batch_mean as f32;
            inverse[c] = (1.0 / (variance + self.form.epsilon).sqrt()) as f32;
            a[c] = inverse[c] * gamma.map_or(1.0, |g| g[c]);
            b[c] = beta.map_or(0.0, |b| b[c]);
            let moved =
                |old: f32, new: f64| (f64::from(old) * self.momentum + new * (1.0 - self.momentum)) as f32;
            moving_mean[c] = moved(moving_mean[c], batch_mean);
            moving_variance[c] = moved(moving_variance[c], variance);
        }
        channel_sums::normalize(cx.pool, x, mean, a, b, io.y(0));
    }

    /// With `h = (x - mean) inverse`: `dbeta = sum dy`, `dgamma = sum dy h`,
    /// `dx = gamma inverse (dy - dbeta / n - h dgamma / n)`.
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dy) = io.dy(0) else { return };
        let (x, dy, channels) = (io.x(0), &*dy, self.form.channels);
        let (mean, inverse) = (io.y(1), io.y(2));
        let (rows, count) = (x.len() / channels, (x.len() / channels) as f64);
        let (a, rest) = io.scratch().split_at_mut(channels);
        let (p, rest) = rest.split_at_mut(channels);
        let (q, sums) = rest.split_at_mut(channels);
        let sums = ChannelSums::new(cx.pool, rows, channels, sums, |rows, first, second| {
            let block = rows.start * channels..rows.end * channels;
            products(&x[block.clone()], mean, &dy[block], first, second);
        });
        let gamma = self.form.gamma().map(|i| io.x(i));
        let mut dgamma = self.form.gamma().and_then(|i| io.dx(i));
        let mut dbeta = self.form.beta().and_then(|i| io.dx(i));
        for c in 0..channels {
            let [sum, products] = sums.of(c);
            let inverse = f64::from(inverse[c]);
            let products = products * inverse;
            let factor = inverse * gamma.map_or(1.0, |g| f64::from(g[c]));
            a[c] = factor as f32;
            p[c] = (-factor * inverse * products / count) as f32;
            q[c] = (-factor * sum / count) as f32;
            if let Some(dgamma) = &mut dgamma {
                dgamma.buf[c] = products as f32;
            }
            if let Some(dbeta) = &mut dbeta {
                dbeta.buf[c] = sum as f32;
            }
        }
        let Some(dx) = io.dx(0) else { return };
        channel_sums::for_blocks(cx.pool, channels, dx.buf, |range, dx| {
            gradient(&x[range.clone()], mean, &dy[range], [a, p, q], dx);
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        7.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let statistics = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            [mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64]
        };
        let all: Vec<[f64; 2]> = x[0]
            .axis_iter(ndarray::Axis(x[0].ndim() - 1))
            .map(|lane| statistics(&lane.iter().copied().collect::<Vec<_>>()))
            .collect();
        let mean = all.iter().map(|s| s[0]).collect::<Vec<_>>();
        let inverse = all.iter().map(|s| 1.0 / (s[1] + self.form.epsilon).sqrt()).collect::<Vec<_>>();
        let vector = |v: Vec<f64>| ndarray::Array1::from_vec(v).into_dyn();
        vec![self.form.twin(x, |_, values| statistics(values)), vector(mean), vector(inverse)]
    }
}
