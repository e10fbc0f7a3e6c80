//! Layer normalization over the last axis.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and (population) variance of each
//! row. x, y `[N, ..., D]`, gamma and beta `[D]` or absent. Ba, Kiros, Hinton: Layer Normalization,
//! 2016. The backward pass finds mean and variance again: the row is in cache then anyway.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::pairs::for_chunk_pairs;
use crate::kernels::par::for_chunks;
use crate::kernels::sum;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Most parts in which rows are cut to sum the gradients of gamma and beta.
const SHARDS: usize = 16;

/// Sums within a row run in this many places, which are added in a fixed order.
const LANES: usize = 16;

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

/// Sum of a term over two rows of one length.
#[inline(always)]
fn total(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += term(a[i], b[i]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += term(*a, *b);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn statistics(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mean = total(x, x, |x, _| x) * share;
    let variance = total(x, x, |x, _| (x - mean) * (x - mean)) * share;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

simd! {
    fn forward_rows(epsilon: f32, x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
        let width = gamma.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, inverse) = statistics(x, epsilon);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = (x - mean) * inverse * gamma + beta;
            }
        }
    }
}

simd! {
    /// Gradient of some rows: with `h = (x - mean) inverse` and `g = dy gamma`,
    /// `dx = inverse (g - mean of g - h mean of (g h))`. Adds `dy h` and `dy` to the two halves of `sums`.
    /// Without rows in `dx` only the sums.
    fn backward_rows(epsilon: f32, x: &[f32], gamma: &[f32], dy: &[f32], dx: &mut [f32], sums: &mut [f32]) {
        let width = gamma.len();
        let share = 1.0 / width as f32;
        let (dgamma, dbeta) = sums.split_at_mut(width);
        let mut targets = dx.chunks_exact_mut(width);
        for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
            let (mean, inverse) = statistics(x, epsilon);
            if let Some(dx) = targets.next() {
                for ((g, dy), gamma) in dx.iter_mut().zip(dy).zip(gamma) {
                    *g = dy * gamma;
                }
                let first = total(dx, dx, |g, _| g) * share;
                let second = total(dx, x, |g, x| g * (x - mean)) * share * inverse * inverse;
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = inverse * (*dx - first - (x - mean) * second);
                }
            }
            for ((dgamma, x), dy) in dgamma.iter_mut().zip(x).zip(dy) {
                *dgamma += dy * ((x - mean) * inverse);
            }
            for (dbeta, dy) in dbeta.iter_mut().zip(dy) {
                *dbeta += dy;
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
        let chunk = (CHUNK / width).max(1) * width;
        for_chunks(cx.pool, io.y(0), chunk, |c, y| {
            forward_rows(self.epsilon, &x[c * chunk..][..y.len()], gamma, beta, y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, dy, width) = (io.x(0), &*io.dy0(), self.width);
        let (gamma, rest) = io.scratch().split_at_mut(width);
        let (sums, rest) = rest.split_at_mut(2 * width);
        weight_or(self.gamma().map(|i| io.x(i)), 1.0, gamma);
        let shard = self.shard(x.len() / width) * width;
        let parts = &mut rest[..x.len().div_ceil(shard) * 2 * width];
        let run = |s: usize, dx: &mut [f32], part: &mut [f32]| {
            part.fill(0.0);
            let rows = s * shard..((s + 1) * shard).min(x.len());
            backward_rows(self.epsilon, &x[rows.clone()], gamma, &dy[rows], dx, part);
        };
        match io.dx(0) {
            Some(dx) => for_chunk_pairs(cx.pool, (dx.buf, shard), (&mut *parts, 2 * width), run),
            None => for_chunks(cx.pool, parts, 2 * width, |s, part| run(s, &mut [], part)),
        }
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
        for row in y.as_slice_mut().unwrap().chunks_mut(self.width) {
            let mean = row.iter().sum::<f64>() / self.width as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / self.width as f64;
            for (j, v) in row.iter_mut().enumerate() {
                let gamma = self.gamma().map_or(1.0, |i| x[i][j]);
                let beta = self.beta().map_or(0.0, |i| x[i][j]);
                *v = (*v - mean) / (variance + f64::from(self.epsilon)).sqrt() * gamma + beta;
            }
        }
        vec![y]
    }
}
