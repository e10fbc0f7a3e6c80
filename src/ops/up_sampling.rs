//! y = x with every pixel repeated. x `[N, planes, rows, columns, C]`, y with `factors` times as many of
//! them; leading axes of one place may be missing. The gradient of a pixel is the sum over its copies.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::ops::pad::like;
use crate::ops::pooling::{load, over_channels, store};
use crate::shape::Shape;

/// Numbers of output per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Boxes of one size, with copies along each axis.
#[derive(Clone, Debug)]
pub struct UpSampling {
    size: [usize; 3],
    channels: usize,
    factors: [usize; 3],
}

impl UpSampling {
    /// Of boxes of these planes, rows and columns, so many of each.
    pub fn new(size: [usize; 3], channels: usize, factors: [usize; 3]) -> UpSampling {
        UpSampling { size, channels, factors }
    }

    /// Planes, rows and columns of y.
    fn output(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.size[i].saturating_mul(self.factors[i]))
    }

    /// Row of all rows of x whose copy is row `r` of all rows of y.
    fn source(&self, r: usize) -> usize {
        let [planes, rows, _] = self.output();
        let (sample, plane, row) = (r / rows / planes, r / rows % planes, r % rows);
        (sample * self.size[0] + plane / self.factors[0]) * self.size[1] + row / self.factors[1]
    }

    /// Where the copies of a row of all rows of x begin in y.
    fn copies(&self, r: usize) -> usize {
        let [planes, rows, columns] = self.output();
        let (sample, plane) = (r / self.size[1] / self.size[0], r / self.size[1] % self.size[0]);
        let row = r % self.size[1] * self.factors[1];
        ((sample * planes + plane * self.factors[0]) * rows + row) * columns * self.channels
    }
}

#[inline(always)]
fn repeat_block<const L: usize>(x: &[f32], y: &mut [f32], step: usize, at: usize) {
    let pixel = load::<L>(x, at);
    for y in y.chunks_exact_mut(step) {
        store(y, at, pixel);
    }
}

simd! {
    /// One row, with so many copies of each pixel.
    fn widen(x: &[f32], channels: usize, copies: usize, y: &mut [f32]) {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels * copies)) {
            over_channels!(channels, repeat_block(x, y, channels));
        }
    }
}

/// Numbers from a plane, a row and a pixel of y to the next.
type Steps = [usize; 3];

#[inline(always)]
fn sum_block<const L: usize>(counts: [usize; 3], steps: Steps, dy: &[f32], dx: &mut [f32], at: usize) {
    let mut sum = [0.0; L];
    for plane in 0..counts[0] {
        for row in 0..counts[1] {
            for column in 0..counts[2] {
                let from = plane * steps[0] + row * steps[1] + column * steps[2];
                let dy = load::<L>(dy, from + at);
                sum = std::array::from_fn(|i| sum[i] + dy[i]);
            }
        }
    }
    store(dx, at, sum);
}

simd! {
    /// One row of x: the sums over each pixel's copies, which begin where `dy` does.
    fn narrow(dy: &[f32], counts: [usize; 3], steps: [usize; 3], dx: &mut [f32]) {
        let channels = steps[2];
        for (p, dx) in dx.chunks_exact_mut(channels).enumerate() {
            let dy = &dy[p * counts[2] * channels..];
            over_channels!(channels, sum_block(counts, steps, dy, dx));
        }
    }
}

impl Op for UpSampling {
    fn name(&self) -> &'static str {
        "up_sampling"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let y = like(x[0], self.size, self.output(), self.channels)
            .ok_or_else(|| Mismatch::new(format!("upsampling of {:?} got {}", self.size, x[0])))?;
        Ok(Signature::new(y).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, copies) = (io.x(0), self.factors[2]);
        let from = self.size[2] * self.channels;
        let row = from * copies;
        let count = (CHUNK / row).max(1).next_multiple_of(self.factors[1]);
        for_chunks(cx.pool, io.y(0), count * row, |chunk, y| {
            for r in 0..y.len() / row {
                let source = self.source(chunk * count + r);
                if r > 0 && self.source(chunk * count + r - 1) == source {
                    y.copy_within((r - 1) * row..r * row, r * row);
                } else {
                    widen(&x[source * from..][..from], self.channels, copies, &mut y[r * row..][..row]);
                }
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, [_, rows, columns]) = (&*io.dy0(), self.output());
        let row = self.size[2] * self.channels;
        let steps = [rows * columns * self.channels, columns * self.channels, self.channels];
        let count = (CHUNK / row / self.factors.iter().product::<usize>()).max(1);
        for_chunks(cx.pool, dx.buf, count * row, |chunk, dx| {
            for (r, dx) in dx.chunks_exact_mut(row).enumerate() {
                narrow(&dy[self.copies(chunk * count + r)..], self.factors, steps, dx);
            }
        });
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::ArrayD;
        let n = x[0].shape()[0];
        let missing = 5 - x[0].ndim();
        let full = |size: [usize; 3]| [&[n], &size[..], &[self.channels]].concat();
        let source = x[0].clone().into_shape_with_order(full(self.size)).unwrap();
        let [d, h, w] = self.factors;
        let y = ArrayD::from_shape_fn(full(self.output()), |i| {
            source[[i[0], i[1] / d, i[2] / h, i[3] / w, i[4]]]
        });
        let short = [&[n], &y.shape()[1 + missing..]].concat();
        vec![y.into_shape_with_order(short).unwrap()]
    }
}
