//! Layer normalization over the last axis.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and (population) variance of each
//! row. x, y `[N, ..., D]`, gamma and beta `[D]` or absent. Ba, Kiros, Hinton: Layer Normalization,
//! 2016.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::pairs::for_chunk_pairs;
use crate::kernels::sum;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Most parts in which rows are cut to sum the gradients of gamma and beta.
const SHARDS: usize = 16;

/// Normalization of rows of `width` numbers.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    pub width: usize,
    pub scale: bool,
    pub center: bool,
    pub epsilon: f32,
}

impl LayerNorm {
    fn gamma(&self) -> Option<usize> {
        self.scale.then_some(1)
    }

    fn beta(&self) -> Option<usize> {
        self.center.then_some(1 + usize::from(self.scale))
    }

    /// Rows of a shard of `rows`.
    fn shard(&self, rows: usize) -> usize {
        let shards = (rows * self.width / CHUNK).clamp(1, SHARDS);
        rows.div_ceil(shards).max(1)
    }
}

/// Fills `out` with a weight, or with what stands for it.
fn weight_or(weight: Option<&[f32]>, default: f32, out: &mut [f32]) {
    match weight {
        Some(weight) => out.copy_from_slice(weight),
        None => out.fill(default),
    }
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn statistics(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mean = sum::total([x], |[x]| x) * share;
    let variance = sum::total([x], |[x]| (x - mean) * (x - mean)) * share;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

simd! {
    /// Mean and inverse standard deviation of each row go to `statistics`.
    fn forward_rows(epsilon: f32, x: &[f32], by: [&[f32]; 2], y: &mut [f32], found: &mut [f32]) {
        let [gamma, beta] = by;
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), found) in rows.zip(found.chunks_exact_mut(2)) {
            let (mean, inverse) = statistics(x, epsilon);
            found.copy_from_slice(&[mean, inverse]);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = (x - mean) * inverse * gamma + beta;
            }
        }
    }
}

simd! {
    /// Gradient of some rows in the place of `dy`: with `h = (x - mean) inverse` and `g = dy gamma`,
    /// `dx = inverse (g - mean of g - h mean of (g h))`. Adds `dy h` and `dy` to the two halves of `sums`.
    fn backward_rows(x: &[f32], found: &[f32], gamma: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        let width = gamma.len();
        let share = 1.0 / width as f32;
        let (dgamma, dbeta) = sums.split_at_mut(width);
        let rows = x.chunks_exact(width).zip(dy.chunks_exact_mut(width));
        for ((x, dy), found) in rows.zip(found.chunks_exact(2)) {
            let (mean, inverse) = (found[0], found[1]);
            let sums = dgamma.iter_mut().zip(&mut *dbeta);
            for ((dy, x), (dgamma, dbeta)) in dy.iter().zip(x).zip(sums) {
                *dgamma += dy * ((x - mean) * inverse);
                *dbeta += dy;
            }
            let first = sum::total([dy, gamma], |[dy, gamma]| dy * gamma) * share;
            let second = sum::total([dy, gamma, x], |[dy, gamma, x]| dy * gamma * (x - mean));
            let second = second * share * inverse * inverse;
            for ((dy, x), gamma) in dy.iter_mut().zip(x).zip(gamma) {
                *dy = inverse * (*dy * gamma - first - (x - mean) * second);
            }
        }
    }
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let width = self.width;
        if x[0].dims.last() != Some(&width) || x[1..].iter().any(|s| s.dims != [width]) {
            let weights: Vec<String> = x[1..].iter().map(|s| s.to_string()).collect();
            return Err(Mismatch::new(format!(
                "normalization of rows of {width} got {} and weights {}",
                x[0],
                weights.join(", ")
            )));
        }
        let all: Vec<usize> = (0..x.len()).collect();
        let mut signature =
            Signature::new(x[0].clone()).differentiable(&all).keep_x(&[0, 1][..1 + usize::from(self.scale)]);
        // Mean and inverse standard deviation of each row, for the backward pass.
        signature.y.push(Shape::batch([x[0].size() / width, 2]));
        signature = signature.keep_y(&[1]);
        signature.left_in_dy = Bits::first(1);
        signature.forward_scratch = Scratch { fixed: 2 * width, ..Scratch::default() };
        signature.backward_scratch = Scratch { fixed: (3 + 2 * SHARDS) * width, ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, width) = (io.x(0), self.width);
        let (gamma, beta) = io.scratch().split_at_mut(width);
        let beta = &mut beta[..width];
        weight_or(self.gamma().map(|i| io.x(i)), 1.0, gamma);
        weight_or(self.beta().map(|i| io.x(i)), 0.0, beta);
        let rows = (CHUNK / width).max(1);
        for_chunk_pairs(cx.pool, (io.y(0), rows * width), (io.y(1), rows * 2), |c, y, found| {
            forward_rows(self.epsilon, &x[c * rows * width..][..y.len()], [gamma, beta], y, found);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, dy, width, found) = (io.x(0), io.dy0(), self.width, io.y(1));
        let (gamma, rest) = io.scratch().split_at_mut(width);
        let (sums, rest) = rest.split_at_mut(2 * width);
        weight_or(self.gamma().map(|i| io.x(i)), 1.0, gamma);
        let (block, shard) = ((CHUNK / width).max(1), self.shard(x.len() / width));
        let parts = &mut rest[..(x.len() / width).div_ceil(shard) * 2 * width];
        let (from, into) = match io.dx(0) {
            Some(dx) => (Some(&*dy), dx.buf),
            None => (None, dy),
        };
        for_chunk_pairs(cx.pool, (into, shard * width), (&mut *parts, 2 * width), |s, into, part| {
            part.fill(0.0);
            for (b, into) in into.chunks_mut(block * width).enumerate() {
                let row = s * shard + b * block;
                let numbers = row * width..row * width + into.len();
                if let Some(from) = from {
                    into.copy_from_slice(&from[numbers.clone()]);
                }
                let found = &found[2 * row..][..2 * into.len() / width];
                backward_rows(&x[numbers], found, gamma, into, part);
            }
        });
        sum::parts(cx.pool, parts, sums, false);
        for (position, sum) in [self.gamma(), self.beta()].into_iter().zip(sums.chunks_exact(width)) {
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
        let mut found = vec![];
        for row in y.as_slice_mut().unwrap().chunks_mut(self.width) {
            let mean = row.iter().sum::<f64>() / self.width as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / self.width as f64;
            let inverse = 1.0 / (variance + f64::from(self.epsilon)).sqrt();
            found.extend([mean, inverse]);
            for (j, v) in row.iter_mut().enumerate() {
                let gamma = self.gamma().map_or(1.0, |i| x[i][j]);
                let beta = self.beta().map_or(0.0, |i| x[i][j]);
                *v = (*v - mean) * inverse * gamma + beta;
            }
        }
        let shape = [y.shape()[0], found.len() / 2 / y.shape()[0], 2];
        vec![y, ndarray::ArrayD::from_shape_vec(&shape[..], found).expect("two numbers for each row")]
    }
}
