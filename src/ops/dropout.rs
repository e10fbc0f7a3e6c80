//! y = x / (1 - rate) where a random number keeps it, else 0: training only.
//!
//! x, y `[N, ..., C]`. Each number has a draw of its own, or each channel of a sample has one for
//! all its places. The draw's index is its place in the batch, so that nothing depends on threads;
//! the backward pass draws the same numbers again, so that no mask is stored.
//! Srivastava et al.: Dropout, JMLR 2014; by channel: Tompson et al., CVPR 2015.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::par::{Pool, for_chunks};
use crate::ops::channel_sums::{LONGEST, Walk};
use crate::rng::Stream;
use crate::shape::Shape;

/// Draws per task, in whole blocks of random numbers; they stay in the first-level cache.
const CHUNK: usize = 1 << 13;

/// Blocks of four draws that are made at a time.
pub const BLOCKS: usize = 32;

/// Draws that are made at a time.
pub const DRAWS: usize = 4 * BLOCKS;

/// Random numbers of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    stream: Stream,
    /// The high word of the counter: the layer's `seed`, 0 without one.
    series: u64,
}

impl Draws {
    /// From the op's stream; a layer with a `seed` of its own has its own series.
    pub fn new(stream: Stream, seed: Option<u64>) -> Draws {
        // The multiplier of Fibonacci hashing spreads neighbouring seeds; never 0, which means none.
        let mix = |seed: u64| (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 << 32) & !0xFFFF_FFFF;
        Draws { stream, series: seed.map_or(0, mix) }
    }

    /// The draws from `4 * block` on, side by side: of `words[w][i]` the index is `4 * (block + i) + w`. To
    /// be inlined into a function with vector instructions.
    #[inline(always)]
    pub fn words<const N: usize>(&self, step: u32, block: usize) -> [[u32; N]; 4] {
        self.stream.blocks::<N>(step, self.series | block as u64)
    }

    /// The same in order.
    #[inline(always)]
    fn draws(&self, step: u32, block: usize) -> [u32; DRAWS] {
        let [a, b, c, d] = self.words::<BLOCKS>(step, block);
        let mut draws = [0; DRAWS];
        let (blocks, _) = draws.as_chunks_mut();
        for ((((block, a), b), c), d) in blocks.iter_mut().zip(&a).zip(&b).zip(&c).zip(&d) {
            *block = [*a, *b, *c, *d];
        }
        draws
    }

    /// The four draws from `4 * block` on.
    pub fn block(&self, step: u32, block: usize) -> [u32; 4] {
        self.stream.block(step, self.series | block as u64)
    }
}

/// Dropout of numbers or of channels.
#[derive(Clone, Debug)]
pub struct Dropout {
    draws: Draws,
    /// A draw below this drops.
    threshold: u32,
    /// 1 / (1 - rate)
    scale: f32,
    /// Places that share a draw, and channels; `None` where every number has its own.
    spatial: Option<(usize, usize)>,
}

impl Dropout {
    /// Of every number by itself; `rate` in [0, 1) is the share that is dropped.
    pub fn new(rate: f64, draws: Draws) -> Dropout {
        Dropout {
            draws,
            // Saturates for rates that are 1 but for rounding.
            threshold: (rate * 4_294_967_296.0).round() as u32,
            scale: (1.0 / (1.0 - rate)) as f32,
            spatial: None,
        }
    }

    /// Of whole channels of samples with `places` places each.
    pub fn of_channels(rate: f64, draws: Draws, places: usize, channels: usize) -> Dropout {
        Dropout { spatial: Some((places, channels)), ..Dropout::new(rate, draws) }
    }

    /// Drops from y, into which x, where there is one, is copied first.
    fn run(&self, pool: &Pool, step: u32, x: Option<&[f32]>, y: &mut [f32], scratch: Option<&mut [f32]>) {
        let keep = Keep { draws: self.draws, step, threshold: self.threshold, scale: self.scale };
        let Some((places, channels)) = self.spatial else {
            return for_chunks(pool, y, CHUNK, |c, y| {
                if let Some(x) = x {
                    y.copy_from_slice(&x[c * CHUNK..][..y.len()]);
                }
                drop_some(keep, c * CHUNK / 4, y);
            });
        };
        let factors = &mut scratch.expect("channels have scratch for their factors")[..y.len() / places];
        for_chunks(pool, factors, CHUNK, |c, out| keep_factors(keep, c * CHUNK / 4, out));
        let (factors, sample, walk) = (&*factors, places * channels, Walk::new(channels));
        let samples = (CHUNK / sample).max(1);
        for_chunks(pool, y, samples * sample, |c, y| {
            let mut space = [0.0; LONGEST];
            for (n, y) in y.chunks_exact_mut(sample).enumerate() {
                let n = c * samples + n;
                let mut long = &factors[n * channels..][..channels];
                if walk.period > channels {
                    walk.spread(long, &mut space[..walk.period]);
                    long = &space[..walk.period];
                }
                multiply(x.map(|x| &x[n * sample..][..sample]), long, y);
            }
        });
    }
}

/// What a draw decides.
#[derive(Clone, Copy)]
struct Keep {
    draws: Draws,
    step: u32,
    threshold: u32,
    scale: f32,
}

simd! {
    /// Scales what the draws from `first` on keep; the rest is 0, whatever it was.
    fn drop_some(keep: Keep, first: usize, y: &mut [f32]) {
        for (i, y) in y.chunks_mut(DRAWS).enumerate() {
            let bits = keep.draws.draws(keep.step, first + i * BLOCKS);
            for (y, bits) in y.iter_mut().zip(&bits) {
                *y = if *bits < keep.threshold { 0.0 } else { *y * keep.scale };
            }
        }
    }
}

simd! {
    /// Factors of the draws from `first` on: 0 or the scale.
    fn keep_factors(keep: Keep, first: usize, out: &mut [f32]) {
        for (i, out) in out.chunks_mut(DRAWS).enumerate() {
            let bits = keep.draws.draws(keep.step, first + i * BLOCKS);
            for (out, bits) in out.iter_mut().zip(&bits) {
                *out = if *bits < keep.threshold { 0.0 } else { keep.scale };
            }
        }
    }
}

simd! {
    /// Long row by long row times the factors, and 0 where they are, whatever it was. With x as
    /// [`Dropout::run`] takes it.
    fn multiply(x: Option<&[f32]>, factors: &[f32], y: &mut [f32]) {
        for (i, y) in y.chunks_mut(factors.len()).enumerate() {
            if let Some(x) = x {
                y.copy_from_slice(&x[i * factors.len()..][..y.len()]);
            }
            for (y, factor) in y.iter_mut().zip(factors) {
                *y = if *factor == 0.0 { 0.0 } else { *y * factor };
            }
        }
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0]);
        signature.left_in_dy = Bits::first(1);
        if let Some((places, channels)) = self.spatial {
            if x[0].size() != places * channels {
                return Err(Mismatch::new(format!(
                    "dropout of {channels} channels at {places} places got {}",
                    x[0]
                )));
            }
            signature.forward_scratch = Scratch { per_sample: channels, ..Scratch::default() };
            signature.backward_scratch = signature.forward_scratch;
        }
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let scratch = self.spatial.map(|_| io.scratch());
        self.run(cx.pool, cx.step, Some(io.x(0)), io.y(0), scratch);
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (scratch, dy) = (self.spatial.map(|_| io.scratch()), io.dy0());
        match io.dx(0) {
            Some(dx) => self.run(cx.pool, cx.step, Some(dy), dx.buf, scratch),
            None => self.run(cx.pool, cx.step, None, dy, scratch),
        }
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for (i, y) in y.iter_mut().enumerate() {
            let draw = match self.spatial {
                None => i,
                Some((places, channels)) => i / (places * channels) * channels + i % channels,
            };
            let dropped = self.draws.block(cx.step, draw / 4)[draw % 4] < self.threshold;
            *y = if dropped { 0.0 } else { *y * f64::from(self.scale) };
        }
        vec![y]
    }
}

/// `[N, width]` factors, 0 or 1 / (1 - rate), for samples of any shape: what an op multiplies by itself.
#[derive(Clone, Debug)]
pub struct DropoutFactors {
    dropout: Dropout,
    width: usize,
}

impl DropoutFactors {
    pub fn new(rate: f64, draws: Draws, width: usize) -> DropoutFactors {
        DropoutFactors { dropout: Dropout::new(rate, draws), width }
    }
}

impl Op for DropoutFactors {
    fn name(&self) -> &'static str {
        "dropout_factors"
    }

    fn infer(&self, _: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(Shape::batch([self.width])))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let Dropout { draws, threshold, scale, .. } = self.dropout;
        let keep = Keep { draws, step: cx.step, threshold, scale };
        for_chunks(cx.pool, io.y(0), CHUNK, |c, y| keep_factors(keep, c * CHUNK / 4, y));
    }

    fn backward(&self, _: &Backward<'_>, _: &Ctx<'_>) {}

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let ones = ndarray::ArrayD::ones(ndarray::IxDyn(&[x[0].shape()[0], self.width]));
        self.dropout.twin(&[ones], cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dropout: &Dropout, step: u32, threads: usize, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        let mut scratch = vec![f32::NAN; x.len()];
        dropout.run(&Pool::new(threads), step, Some(x), &mut y, Some(&mut scratch));
        y
    }

    #[test]
    fn the_share_that_is_dropped_and_the_mean() {
        let x = vec![1.0; 100_003];
        for rate in [0.1, 0.5, 0.8] {
            let y = run(&Dropout::new(rate, Draws::new(Stream::new(3, "d"), None)), 0, 2, &x);
            let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
            // Five standard deviations of a share of 100003 draws.
            assert!(
                (dropped - rate).abs() < 5.0 * (rate * (1.0 - rate) / 1e5).sqrt(),
                "{dropped} for {rate}"
            );
            let kept = (1.0 / (1.0 - rate)) as f32;
            assert!(y.iter().all(|y| *y == 0.0 || *y == kept), "what is kept is scaled by {kept}");
        }
    }

    #[test]
    fn a_step_repeats_and_other_steps_layers_and_seeds_differ() {
        let x = vec![1.0; 20_000];
        let stream = Stream::new(3, "op/dropout");
        let dropout = |stream, seed| Dropout::new(0.5, Draws::new(stream, seed));
        let first = run(&dropout(stream, None), 4, 1, &x);
        assert_eq!(run(&dropout(stream, None), 4, 3, &x), first);
        let others = [
            run(&dropout(stream, None), 5, 1, &x),
            run(&dropout(Stream::new(3, "op/dropout_1"), None), 4, 1, &x),
            run(&dropout(stream, Some(0)), 4, 1, &x),
            run(&dropout(stream, Some(1)), 4, 1, &x),
        ];
        for (i, other) in others.iter().enumerate() {
            let equal = first.iter().zip(other).filter(|(a, b)| a == b).count();
            assert!((9_500..10_500).contains(&equal), "{i}: {equal} of 20000 are equal");
        }
        assert_ne!(others[2], others[3]);
    }

    #[test]
    fn a_channel_is_dropped_at_all_its_places() {
        let (places, channels) = (35, 6);
        let x = vec![1.0; 300 * places * channels];
        let draws = Draws::new(Stream::new(1, "d"), None);
        let y = run(&Dropout::of_channels(0.5, draws, places, channels), 0, 2, &x);
        let mut dropped = 0;
        for sample in y.chunks(places * channels) {
            for row in sample.chunks(channels) {
                assert_eq!(row, &sample[..channels]);
            }
            dropped += sample[..channels].iter().filter(|v| **v == 0.0).count();
        }
        assert!((800..1000).contains(&dropped), "{dropped} of 1800 channels");
    }

    #[test]
    fn what_is_dropped_is_zero_even_if_it_was_infinite() {
        let y = run(&Dropout::new(0.5, Draws::new(Stream::new(1, "d"), None)), 0, 1, &[f32::INFINITY; 64]);
        assert!(y.contains(&0.0) && y.contains(&f32::INFINITY) && !y.iter().any(|y| y.is_nan()));
    }
}
