//! y = s[c] x: every place's channels by factors of the sample's own, as squeeze-and-excitation has it
//! (Hu et al. 2018). x, y `[N, ..., C]`, s `[N, ..., C]` with 1 for each dimension between.
//!
//! dx = s[c] dy, and ds[c] the sum of x dy over all places: of 64 places at a time in f32, in order.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// The op, of samples with so many channels.
#[derive(Clone, Debug)]
pub struct ChannelScale {
    pub channels: usize,
}

/// Channels that are summed side by side, in registers.
const LANES: usize = 16;

/// Places whose sum is one in f32.
const PLACES: usize = 64;

impl ChannelScale {
    /// The op, if `s` is one factor for each channel of `x`, and not of x's shape.
    pub fn of(x: &Shape, s: &Shape) -> Option<ChannelScale> {
        let channels = x.last();
        let scales = x.batched && s.batched && x.dims.len() >= s.dims.len() && x.size() > s.size();
        (scales && s.last() == channels && s.size() == channels).then_some(ChannelScale { channels })
    }
}

simd! {
    /// `y = s x` for one sample.
    fn scaled(x: &[f32], s: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(s.len()).zip(x.chunks_exact(s.len())) {
            for ((y, x), s) in y.iter_mut().zip(x).zip(s) {
                *y = x * s;
            }
        }
    }
}

simd! {
    /// `ds = the sum of x dy over the places` of one sample.
    fn sums(x: &[f32], dy: &[f32], ds: &mut [f32]) {
        let channels = ds.len();
        for (block, ds) in ds.chunks_mut(LANES).enumerate() {
            let (from, mut all) = (block * LANES, [0.0; LANES]);
            let stretches = x.chunks(PLACES * channels).zip(dy.chunks(PLACES * channels));
            for (x, dy) in stretches {
                let mut some = [0.0; LANES];
                for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                    let (x, dy) = (&x[from..], &dy[from..]);
                    match (x.first_chunk::<LANES>(), dy.first_chunk::<LANES>()) {
                        (Some(x), Some(dy)) => (0..LANES).for_each(|i| some[i] += x[i] * dy[i]),
                        _ => some.iter_mut().zip(x).zip(dy).for_each(|((sum, x), dy)| *sum += x * dy),
                    }
                }
                (0..LANES).for_each(|i| all[i] += some[i]);
            }
            ds.copy_from_slice(&all[..ds.len()]);
        }
    }
}

impl Op for ChannelScale {
    fn name(&self) -> &'static str {
        "channel_scale"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].last() != self.channels || x[1].size() != self.channels {
            return Err(Mismatch::new(format!("{} are no factors for the channels of {}", x[1], x[0])));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0, 1]).keep_x(&[0, 1]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, s) = (io.x(0), io.x(1));
        let sample = x.len() / cx.batch.max(1);
        for_chunks(cx.pool, io.y(0), sample, |n, y| {
            scaled(&x[n * sample..][..sample], &s[n * self.channels..][..self.channels], y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (s, dy, channels) = (io.x(1), &*io.dy0(), self.channels);
        let sample = dy.len() / cx.batch.max(1);
        if let Some(ds) = io.dx(1) {
            let x = io.x(0);
            for_chunks(cx.pool, ds.buf, channels, |n, ds| {
                sums(&x[n * sample..][..sample], &dy[n * sample..][..sample], ds);
            });
        }
        if let Some(dx) = io.dx(0) {
            for_chunks(cx.pool, dx.buf, sample, |n, dx| {
                scaled(&dy[n * sample..][..sample], &s[n * channels..][..channels], dx);
            });
        }
    }

    fn backward_flops(&self, x: &[&Shape], _: &[&Shape], made: crate::graph::Bits) -> f64 {
        let size = x[0].size() as f64;
        size * f64::from(u8::from(made.has(0))) + 2.0 * size * f64::from(u8::from(made.has(1)))
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        let s: Vec<f64> = x[1].iter().copied().collect();
        let sample = y.len() / y.shape()[0];
        for (i, y) in y.iter_mut().enumerate() {
            *y *= s[i / sample * self.channels + i % self.channels];
        }
        vec![y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_told_from_other_inputs() {
        let fits = |x: &[usize], s: &[usize]| ChannelScale::of(&Shape::batch(x), &Shape::batch(s)).is_some();
        assert!(fits(&[4, 5, 3], &[3]) && fits(&[4, 5, 3], &[1, 1, 3]) && fits(&[4, 3], &[1, 3]));
        assert!(!fits(&[4, 5, 3], &[4, 5, 3]) && !fits(&[3], &[3]) && !fits(&[1, 1, 3], &[1, 1, 3]));
        assert!(!fits(&[4, 5, 3], &[5, 1]) && !fits(&[4, 5, 3], &[1, 5, 1]) && !fits(&[3], &[1, 1, 3]));
    }

    /// More places than one sum has, and channels that do not fill the lanes.
    #[test]
    fn sums_are_exact_where_numbers_are() {
        for channels in [1, 7, 16, 39] {
            let x: Vec<f32> = (0..200 * channels).map(|i| (i % 23) as f32 - 11.0).collect();
            let dy: Vec<f32> = (0..200 * channels).map(|i| (i % 19) as f32 - 9.0).collect();
            let mut ds = vec![f32::NAN; channels];
            sums(&x, &dy, &mut ds);
            for (c, found) in ds.iter().enumerate() {
                let expected: f32 = (0..200).map(|p| x[p * channels + c] * dy[p * channels + c]).sum();
                assert_eq!(*found, expected, "channel {c} of {channels}");
            }
        }
    }
}
