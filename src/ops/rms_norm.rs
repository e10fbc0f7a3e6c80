//! y = x / sqrt(mean of x^2 + epsilon) * scale over the last axis.
//!
//! x, y `[N, ..., D]`, scale `[D]`. Zhang, Sennrich: Root Mean Square Layer Normalization, 2019. The backward
//! pass finds the mean again: the row is in cache then anyway.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::pairs::for_chunk_pairs;
use crate::kernels::par::for_chunks;
use crate::kernels::sum;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Most parts in which rows are cut to sum the gradient of the scale.
const SHARDS: usize = 16;

/// Sums within a row run in this many places, which are added in a fixed order.
const LANES: usize = 16;

/// Normalization of rows of `width` numbers.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    pub width: usize,
    pub epsilon: f32,
}

impl RmsNorm {
    /// Rows of a shard of `rows`.
    fn shard(&self, rows: usize) -> usize {
        rows.div_ceil((rows * self.width / CHUNK).clamp(1, SHARDS)).max(1)
    }
}

/// Sum of the products of two rows of one length.
#[inline(always)]
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a * b;
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

#[inline(always)]
fn inverse(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (product(x, x) / x.len() as f32 + epsilon).sqrt()
}

simd! {
    fn forward_rows(epsilon: f32, x: &[f32], scale: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(scale.len()).zip(y.chunks_exact_mut(scale.len())) {
            let inverse = inverse(x, epsilon);
            for ((y, x), scale) in y.iter_mut().zip(x).zip(scale) {
                *y = x * inverse * scale;
            }
        }
    }
}

simd! {
    /// Gradient of some rows: with `h = x inverse` and `g = dy scale`, `dx = inverse (g - h mean of (g h))`.
    /// Adds `dy h` to `dscale`. Without rows in `dx` only that.
    fn backward_rows(epsilon: f32, x: &[f32], scale: &[f32], dy: &[f32], dx: &mut [f32], dscale: &mut [f32]) {
        let width = scale.len();
        let mut targets = dx.chunks_exact_mut(width);
        for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
            let inverse = inverse(x, epsilon);
            if let Some(dx) = targets.next() {
                for ((g, dy), scale) in dx.iter_mut().zip(dy).zip(scale) {
                    *g = dy * scale;
                }
                let mean = product(dx, x) / width as f32 * inverse * inverse;
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = inverse * (*dx - x * mean);
                }
            }
            for ((dscale, x), dy) in dscale.iter_mut().zip(x).zip(dy) {
                *dscale += dy * (x * inverse);
            }
        }
    }
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let width = self.width;
        if x[0].dims.last() != Some(&width) || x[1].dims != [width] {
            let message = format!("normalization of rows of {width} got {} and a scale {}", x[0], x[1]);
            return Err(Mismatch::new(message));
        }
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0, 1]).keep_x(&[0, 1]);
        signature.backward_scratch = Scratch { fixed: SHARDS * width, ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, scale) = (io.x(0), io.x(1));
        let chunk = (CHUNK / self.width).max(1) * self.width;
        for_chunks(cx.pool, io.y(0), chunk, |c, y| {
            forward_rows(self.epsilon, &x[c * chunk..][..y.len()], scale, y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, scale, dy, width) = (io.x(0), io.x(1), &*io.dy0(), self.width);
        let shard = self.shard(x.len() / width) * width;
        let parts = &mut io.scratch()[..x.len().div_ceil(shard) * width];
        let run = |s: usize, dx: &mut [f32], part: &mut [f32]| {
            part.fill(0.0);
            let rows = s * shard..((s + 1) * shard).min(x.len());
            backward_rows(self.epsilon, &x[rows.clone()], scale, &dy[rows], dx, part);
        };
        match io.dx(0) {
            Some(dx) => for_chunk_pairs(cx.pool, (dx.buf, shard), (&mut *parts, width), run),
            None => for_chunks(cx.pool, parts, width, |s, part| run(s, &mut [], part)),
        }
        if let Some(dscale) = io.dx(1) {
            sum::parts(cx.pool, parts, dscale.buf, false);
        }
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        5.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for row in y.as_slice_mut().unwrap().chunks_mut(self.width) {
            let mean = row.iter().map(|v| v * v).sum::<f64>() / self.width as f64;
            let inverse = 1.0 / (mean + f64::from(self.epsilon)).sqrt();
            row.iter_mut().enumerate().for_each(|(j, v)| *v *= inverse * x[1][j]);
        }
        vec![y]
    }
}
