//! y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and (population) variance of each sample
//! over all places and the channels of a group.
//!
//! x, y `[N, ..., C]`, gamma and beta `[C]` or absent. Wu, He: Group Normalization, 2018. A sample is one
//! task: sums over places run by channel, then over the channels of each group.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::pieces::for_pieces_with;
use crate::kernels::sum;
use crate::shape::Shape;

/// Normalization of `groups` groups of channels.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    pub channels: usize,
    pub groups: usize,
    pub scale: bool,
    pub center: bool,
    pub epsilon: f32,
}

simd! {
    /// `sums[c] += x[place][c]`
    fn add_places(x: &[f32], sums: &mut [f32]) {
        for x in x.chunks_exact(sums.len()) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
    }
}

simd! {
    /// `sums[c] += (x[place][c] - mean[c])^2`
    fn add_squares(x: &[f32], mean: &[f32], sums: &mut [f32]) {
        for x in x.chunks_exact(sums.len()) {
            for ((sum, x), mean) in sums.iter_mut().zip(x).zip(mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
    }
}

simd! {
    /// `sums[c] += dy[place][c] (x[place][c] - mean[c])`
    fn add_products(x: &[f32], dy: &[f32], mean: &[f32], sums: &mut [f32]) {
        let channels = sums.len();
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            for (((sum, x), dy), mean) in sums.iter_mut().zip(x).zip(dy).zip(mean) {
                *sum += dy * (x - mean);
            }
        }
    }
}

simd! {
    /// `y = (x - mean) factor + offset`, all by channel.
    fn normalize(x: &[f32], mean: &[f32], factor: &[f32], offset: &[f32], y: &mut [f32]) {
        let channels = mean.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for ((((y, x), mean), factor), offset) in y.iter_mut().zip(x).zip(mean).zip(factor).zip(offset) {
                *y = (x - mean) * factor + offset;
            }
        }
    }
}

simd! {
    /// `dx = dy a - (x - mean) b - c`, all by channel.
    fn gradient(x: &[f32], dy: &[f32], mean: &[f32], factors: [&[f32]; 3], dx: &mut [f32]) {
        let channels = mean.len();
        let [a, b, c] = factors;
        for ((x, dy), dx) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels)) {
            for i in 0..channels {
                dx[i] = dy[i] * a[i] - (x[i] - mean[i]) * b[i] - c[i];
            }
        }
    }
}

impl GroupNorm {
    fn gamma(&self) -> Option<usize> {
        self.scale.then_some(1)
    }

    fn beta(&self) -> Option<usize> {
        self.center.then_some(1 + usize::from(self.scale))
    }

    /// Replaces the sums by channel of `places` places by the mean of each group, for each channel.
    fn share(&self, sums: &mut [f32], places: usize) {
        let width = self.channels / self.groups;
        for group in sums.chunks_exact_mut(width) {
            let sum: f64 = group.iter().map(|v| f64::from(*v)).sum();
            group.fill((sum / (width * places) as f64) as f32);
        }
    }

    /// Mean and 1 / sqrt(variance + epsilon) by channel.
    fn statistics(&self, x: &[f32], mean: &mut [f32], inverse: &mut [f32]) {
        let places = x.len() / self.channels;
        mean.fill(0.0);
        add_places(x, mean);
        self.share(mean, places);
        inverse.fill(0.0);
        add_squares(x, mean, inverse);
        self.share(inverse, places);
        inverse.iter_mut().for_each(|v| *v = 1.0 / (*v + self.epsilon).sqrt());
    }
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let channels = self.channels;
        if x[0].dims.last() != Some(&channels) || x[1..].iter().any(|s| s.dims != [channels]) {
            return Err(Mismatch::new(format!("normalization of {channels} channels got {}", x[0])));
        }
        let all: Vec<usize> = (0..x.len()).collect();
        let mut signature =
            Signature::new(x[0].clone()).differentiable(&all).keep_x(&[0, 1][..1 + usize::from(self.scale)]);
        signature.forward_scratch = Scratch { per_thread: 4 * channels, ..Scratch::default() };
        // Of each sample the terms of gamma's and beta's gradients, then their sums.
        signature.backward_scratch =
            Scratch { per_sample: 2 * channels, fixed: 2 * channels, per_thread: 5 * channels };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, y, channels) = (io.x(0), io.y(0), self.channels);
        let (gamma, beta) = (self.gamma().map(|i| io.x(i)), self.beta().map(|i| io.x(i)));
        let size = x.len() / cx.batch.max(1);
        for_pieces_with(cx.pool, (cx.batch, 4 * x.len()), [y], io.scratch(), 4 * channels, |n, [y], own| {
            let (mean, rest) = own.split_at_mut(channels);
            let (factor, offset) = rest.split_at_mut(channels);
            let (x, offset) = (&x[n * size..][..size], &mut offset[..channels]);
            self.statistics(x, mean, factor);
            if let Some(gamma) = gamma {
                factor.iter_mut().zip(gamma).for_each(|(f, gamma)| *f *= gamma);
            }
            match beta {
                Some(beta) => offset.copy_from_slice(beta),
                None => offset.fill(0.0),
            }
            normalize(x, mean, factor, offset, y);
        });
    }

    /// With `h = (x - mean) inverse` and `g = dy gamma`: `dx = inverse (g - mean of g - h mean of (g h))`,
    /// means over each group.
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, dy, channels) = (io.x(0), &*io.dy0(), self.channels);
        let gamma = self.gamma().map(|i| io.x(i));
        let (size, batch) = (x.len() / cx.batch.max(1), cx.batch);
        let (terms, rest) = io.scratch().split_at_mut(2 * channels * batch);
        let (sums, own) = rest.split_at_mut(2 * channels);
        let dx = io.dx(0).map_or(&mut [][..], |g| g.buf);
        let work = (batch, 6 * x.len());
        for_pieces_with(cx.pool, work, [dx, terms], own, 5 * channels, |n, [dx, terms], own| {
            let (mean, rest) = own.split_at_mut(channels);
            let (inverse, rest) = rest.split_at_mut(channels);
            let (a, rest) = rest.split_at_mut(channels);
            let (b, c) = rest.split_at_mut(channels);
            let (x, dy, c) = (&x[n * size..][..size], &dy[n * size..][..size], &mut c[..channels]);
            self.statistics(x, mean, inverse);
            let (dgamma, dbeta) = terms.split_at_mut(channels);
            dgamma.fill(0.0);
            add_products(x, dy, mean, dgamma);
            dgamma.iter_mut().zip(&*inverse).for_each(|(d, inverse)| *d *= inverse);
            dbeta.fill(0.0);
            add_places(dy, dbeta);
            if dx.is_empty() {
                return;
            }
            match gamma {
                Some(gamma) => a.copy_from_slice(gamma),
                None => a.fill(1.0),
            }
            for i in 0..channels {
                (b[i], c[i]) = (dgamma[i] * a[i], dbeta[i] * a[i]);
            }
            self.share(b, size / channels);
            self.share(c, size / channels);
            for (i, inverse) in inverse.iter().enumerate() {
                a[i] *= inverse;
                b[i] *= inverse * inverse;
                c[i] *= inverse;
            }
            gradient(x, dy, mean, [a, b, c], dx);
        });
        sum::parts(cx.pool, terms, sums, false);
        for (position, sum) in [self.gamma(), self.beta()].into_iter().zip(sums.chunks_exact(channels)) {
            if let Some(gradient) = position.and_then(|i| io.dx(i)) {
                gradient.buf.copy_from_slice(sum);
            }
        }
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        8.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        let (size, width) = (y.len() / y.shape()[0], self.channels / self.groups);
        for sample in y.as_slice_mut().unwrap().chunks_mut(size) {
            for group in 0..self.groups {
                let own: Vec<usize> = (0..size).filter(|i| i % self.channels / width == group).collect();
                let mean = own.iter().map(|i| sample[*i]).sum::<f64>() / own.len() as f64;
                let variance =
                    own.iter().map(|i| (sample[*i] - mean).powi(2)).sum::<f64>() / own.len() as f64;
                for i in own {
                    let gamma = self.gamma().map_or(1.0, |w| x[w][i % self.channels]);
                    let beta = self.beta().map_or(0.0, |w| x[w][i % self.channels]);
                    sample[i] =
                        (sample[i] - mean) / (variance + f64::from(self.epsilon)).sqrt() * gamma + beta;
                }
            }
        }
        vec![y]
    }
}
