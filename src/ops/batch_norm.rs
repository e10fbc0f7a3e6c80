//! Batch normalization in training.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and (population) variance of the
//! batch by channel; `moving = moving * momentum + batch * (1 - momentum)`.
//! x `[N, ..., C]`, all else `[C]`. Ioffe, Szegedy: Batch Normalization, ICML 2015.
//!
//! Two passes over x: the sums are taken of x less a mean of its first rows, so that the variance
//! is no small difference of large numbers.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Narrow, Op, Scratch, Signature};
use crate::kernels::number::{self, Bf16, Number, Storage};
use crate::kernels::par::Pool;
use crate::ops::channel_sums::{ChannelSums, Walk, moments};
use crate::ops::normalized::{Known, Tail};
use crate::shape::Shape;

/// Rows whose mean the sums start from.
const FIRST_ROWS: usize = 64;

/// What both forms of batch normalization know of their inputs: x, gamma if scaled, beta if
/// centered, moving mean, moving variance; then what is added to the result, if something is.
#[derive(Clone, Debug)]
pub struct Form {
    pub channels: usize,
    pub scale: bool,
    pub center: bool,
    pub epsilon: f64,
    pub tail: Tail,
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

    pub fn addend(&self) -> Option<usize> {
        self.tail.addend.then_some(self.moving() + 2)
    }

    /// With the op behind, where it can be done along.
    pub fn absorb(&self, next: &dyn Op) -> Option<Form> {
        Some(Form { tail: self.tail.absorb(next, self.channels)?, ..*self })
    }

    /// One output of x's shape; the backward pass reads x and the weights.
    pub fn signature(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let weights = &x[1..self.moving() + 2];
        if x[0].dims.last() != Some(&self.channels) || weights.iter().any(|s| s.dims != [self.channels]) {
            return Err(Mismatch::new(format!(
                "normalization of {} channels got {} and weights {}",
                self.channels,
                x[0],
                weights.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(", ")
            )));
        }
        if x.len() != self.moving() + 2 + usize::from(self.tail.addend)
            || x[self.moving() + 2..].iter().any(|s| *s != x[0])
        {
            return Err(Mismatch::new(format!(
                "a normalization of {} cannot add {:?}",
                x[0],
                &x[self.moving() + 2..]
            )));
        }
        let mut inputs: Vec<usize> = (0..self.moving()).collect();
        let mut signature = Signature::new(x[0].clone()).keep_x(&inputs);
        inputs.extend(self.addend());
        signature = signature.differentiable(&inputs);
        signature.adds = true;
        let addend: Vec<usize> = self.addend().into_iter().collect();
        signature.left_in_dy = Bits::of(&addend);
        let x = Bits::of(&[&[0], &addend[..]].concat());
        signature.narrow = Narrow { x, y: Bits::first(1), together: true, rounds: false };
        Ok(signature)
    }

    /// Mean, `gamma inverse` and beta as long rows, with x; `weight` is an input of `[C]`.
    pub fn known<'a, T: Number>(
        &self,
        walk: Walk,
        x: &'a [T],
        weight: impl Fn(usize) -> &'a [f32],
        (mean, inverse): (&[f32], &[f32]),
        [long_mean, a, b]: [&'a mut [f32]; 3],
    ) -> Known<'a, T> {
        let (scales, moves) = (self.gamma().map(&weight), self.beta().map(&weight));
        walk.spread(mean, long_mean);
        for c in 0..self.channels {
            a[c] = inverse[c] * scales.map_or(1.0, |g| g[c]);
            b[c] = moves.map_or(0.0, |b| b[c]);
        }
        walk.repeat(a);
        walk.repeat(b);
        Known { x, mean: long_mean, a, b }
    }

    /// Gradients of gamma and beta from the sums of dz and `dz (x - mean)`.
    pub fn weight_gradients(&self, io: &Backward<'_>, sums: &ChannelSums<'_>, inverse: &[f32]) {
        if let Some(dgamma) = self.gamma().and_then(|i| io.dx(i)) {
            for (c, d) in dgamma.buf.iter_mut().enumerate() {
                let before = if dgamma.add { f64::from(*d) } else { 0.0 };
                *d = (before + sums.channel(c)[1] * f64::from(inverse[c])) as f32;
            }
        }
        if let Some(dbeta) = self.beta().and_then(|i| io.dx(i)) {
            for (c, d) in dbeta.buf.iter_mut().enumerate() {
                let before = if dbeta.add { f64::from(*d) } else { 0.0 };
                *d = (before + sums.channel(c)[0]) as f32;
            }
        }
    }

    /// The gradient of what is added, `dz`, where it cannot stay in its place.
    pub fn addend_gradient<T: Number>(&self, io: &Backward<'_>, walk: Walk, pool: &Pool, dz: &[T]) {
        if let Some(ds) = self.addend().and_then(|i| io.dx_as::<T>(i)) {
            walk.for_blocks(pool, ds.buf, |range, buf| match ds.add {
                true => number::add(&dz[range], buf),
                false => buf.copy_from_slice(&dz[range]),
            });
        }
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
        if let Some(i) = self.addend() {
            y += &x[i];
        }
        match &self.tail.f {
            Some(f) => y.mapv(|v| f.twin(v)),
            None => y,
        }
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
    fn means<T: Number>(x: &[T], out: &mut [f32]) {
        out.fill(0.0);
        let mut rows = 0.0;
        for row in x.chunks_exact(out.len()) {
            out.iter_mut().zip(row).for_each(|(o, x)| *o += x.get());
            rows += 1.0;
        }
        out.iter_mut().for_each(|o| *o /= rows);
    }
}

impl BatchNorm {
    fn forward_as<T: Number>(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, channels, walk) = (io.x_as::<T>(0), self.form.channels, Walk::new(self.form.channels));
        let count = (x.len() / channels) as f64;
        let ([shift, long_mean, a, b, by_channel], sums) = walk.carve(io.scratch());
        let by_channel = &mut by_channel[..channels];
        means(&x[..x.len().min(FIRST_ROWS * channels)], by_channel);
        walk.spread(by_channel, shift);
        let sums = ChannelSums::of(walk, cx.pool, x.len(), sums, |range, first, second| {
            moments(&x[range], shift, first, second);
        });
        let (mean, inverse) = (io.y(1), io.y(2));
        let moving = self.form.moving();
        let (moving_mean, moving_variance) = (io.update(moving), io.update(moving + 1));
        for c in 0..channels {
            let [sum, squares] = sums.channel(c);
            let off = sum / count;
            let batch_mean = f64::from(shift[c]) + off;
            // At least 0 whatever the rounding; a NaN stays one.
            let variance = squares / count - off * off;
            let variance = if variance < 0.0 { 0.0 } else { variance };
            mean[c] = batch_mean as f32;
            inverse[c] = (1.0 / (variance + self.form.epsilon).sqrt()) as f32;
            let moved =
                |old: f32, new: f64| (f64::from(old) * self.momentum + new * (1.0 - self.momentum)) as f32;
            moving_mean[c] = moved(moving_mean[c], batch_mean);
            moving_variance[c] = moved(moving_variance[c], variance);
        }
        let known = self.form.known(walk, x, |i| io.x(i), (mean, inverse), [long_mean, a, b]);
        let addend = self.form.addend().map(|i| io.x_as::<T>(i));
        self.form.tail.forward(walk, cx.pool, known, addend, io.y_as(0));
    }

    /// With `h = (x - mean) inverse` and dz the gradient of what f gets: `dbeta = sum dz`,
    /// `dgamma = sum dz h`, `dx = gamma inverse (dz - dbeta / n - h dgamma / n)`.
    fn backward_as<T: Number>(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dy) = io.dy_as::<T>(0) else { return };
        let (form, tail, walk) = (&self.form, &self.form.tail, Walk::new(self.form.channels));
        let count = (dy.len() / form.channels) as f64;
        let ([mean, a, b, p, q], sums) = walk.carve(io.scratch());
        let (y, inverse) = (tail.keeps_output().then(|| io.y_as(0)), io.y(2));
        let known = form.known(walk, io.x_as::<T>(0), |i| io.x(i), (io.y(1), inverse), [mean, a, b]);
        let sums = tail.sums(walk, cx.pool, known, y, dy, sums);
        for c in 0..form.channels {
            let inverse = f64::from(inverse[c]);
            let [sum, products] = sums.channel(c);
            let factor = f64::from(known.a[c]);
            p[c] = (-factor * inverse * products * inverse / count) as f32;
            q[c] = (-factor * sum / count) as f32;
        }
        form.weight_gradients(io, &sums, inverse);
        form.addend_gradient(io, walk, cx.pool, dy);
        let Some(dx) = io.dx_as(0) else { return };
        walk.repeat(p);
        walk.repeat(q);
        tail.backward(walk, cx.pool, known, dy, (p, q), dx);
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = self.form.signature(x)?;
        let channels = self.form.channels;
        // Mean and inverse standard deviation of the batch, for the backward pass.
        signature.y.extend([Shape::fixed([channels]), Shape::fixed([channels])]);
        signature = signature.keep_y(if self.form.tail.keeps_output() { &[0, 1, 2] } else { &[1, 2] });
        signature.updates = Bits::of(&[self.form.moving(), self.form.moving() + 1]);
        let walk = Walk::new(channels);
        let fixed = walk.sums_scratch() + 5 * walk.period;
        signature.forward_scratch = Scratch { fixed, ..Scratch::default() };
        signature.backward_scratch = signature.forward_scratch;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.forward_as::<f32>(io, cx),
            Storage::Bf16 => self.forward_as::<Bf16>(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.backward_as::<f32>(io, cx),
            Storage::Bf16 => self.backward_as::<Bf16>(io, cx),
        }
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

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        Some(Box::new(BatchNorm { form: self.form.absorb(next)?, ..*self }))
    }
}
