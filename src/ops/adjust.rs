//! Pictures with another contrast or brightness, drawn for each sample; y is cut to a range.
//!
//! Contrast: y = (x - m) f + m with m the mean of the sample's channel. Brightness: y = x + d. x, y
//! `[N, H, W, C]`. The backward pass draws the same numbers again.
//! Keras: `layers.RandomContrast`, `layers.RandomBrightness`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::ops::dropout::Draws;
use crate::ops::warp::Span;
use crate::shape::Shape;

/// Numbers per task, in whole samples.
const CHUNK: usize = 1 << 13;

/// What changes, and by how much.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The factor f.
    Contrast(Span),
    /// The summand d.
    Brightness(Span),
}

/// The op for samples of so many places and channels.
#[derive(Clone, Debug)]
pub struct Adjust {
    pub change: Change,
    pub draws: Draws,
    pub places: usize,
    pub channels: usize,
    /// What y is cut to.
    pub range: [f32; 2],
}

impl Adjust {
    /// y before it is cut is x * factor + summand, in each channel.
    fn line(&self, step: u32, sample: usize, x: &[f32], channel: usize) -> [f32; 2] {
        let draw = self.draws.block(step, sample)[0];
        match self.change {
            Change::Brightness(span) => [1.0, span.at(draw) as f32],
            Change::Contrast(span) => {
                let factor = span.at(draw) as f32;
                let sum: f32 = x[channel..].iter().step_by(self.channels).sum();
                [factor, sum / self.places as f32 * (1.0 - factor)]
            }
        }
    }

    fn is_inside(&self, y: f32) -> bool {
        (self.range[0]..=self.range[1]).contains(&y)
    }

    /// Runs `f(sample, channel, factor and summand, the sample's part of out)` for all of them.
    fn each(
        &self,
        cx: &Ctx<'_>,
        x: &[f32],
        out: &mut [f32],
        f: impl Fn(&[f32], usize, [f32; 2], usize, &mut [f32]) + Sync,
    ) {
        let size = self.places * self.channels;
        let samples = (CHUNK / size).max(1);
        for_chunks(cx.pool, out, samples * size, |chunk, out| {
            for (n, out) in out.chunks_exact_mut(size).enumerate() {
                let n = chunk * samples + n;
                let x = &x[n * size..][..size];
                for channel in 0..self.channels {
                    f(x, channel, self.line(cx.step, n, x, channel), n, out);
                }
            }
        });
    }
}

impl Op for Adjust {
    fn name(&self) -> &'static str {
        "adjust"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].size() != self.places * self.channels {
            return Err(Mismatch::new(format!(
                "{} places of {} channels got {}",
                self.places, self.channels, x[0]
            )));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0]).keep_x(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let [low, high] = self.range;
        self.each(cx, io.x(0), io.y(0), |x, channel, [factor, summand], _, y| {
            let pairs = y[channel..].iter_mut().step_by(self.channels);
            for (y, x) in pairs.zip(x[channel..].iter().step_by(self.channels)) {
                *y = (x * factor + summand).clamp(low, high);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, size) = (&*io.dy0(), self.places * self.channels);
        self.each(cx, io.x(0), dx.buf, |x, channel, [factor, summand], n, dx| {
            let dy = dy[n * size + channel..][..size - channel].iter().step_by(self.channels);
            let x = x[channel..].iter().step_by(self.channels);
            let mut total = 0.0;
            for ((dx, dy), x) in dx[channel..].iter_mut().step_by(self.channels).zip(dy).zip(x) {
                *dx = if self.is_inside(x * factor + summand) { *dy } else { 0.0 };
                total += *dx;
            }
            // Through the mean, where there is one.
            let shared = total / self.places as f32 * (1.0 - factor);
            dx[channel..].iter_mut().step_by(self.channels).for_each(|dx| *dx = *dx * factor + shared);
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        3.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let x = x[0].as_standard_layout().into_owned();
        let flat: Vec<f64> = x.iter().copied().collect();
        let mut y = x;
        let size = self.places * self.channels;
        for (i, y) in y.iter_mut().enumerate() {
            let (n, channel) = (i / size, i % self.channels);
            let draw = self.draws.block(cx.step, n)[0];
            let changed = match self.change {
                Change::Brightness(span) => *y + span.at(draw),
                Change::Contrast(span) => {
                    let sample = &flat[n * size..][..size];
                    let mean =
                        sample[channel..].iter().step_by(self.channels).sum::<f64>() / self.places as f64;
                    (*y - mean) * span.at(draw) + mean
                }
            };
            *y = changed.clamp(f64::from(self.range[0]), f64::from(self.range[1]));
        }
        vec![y]
    }
}
