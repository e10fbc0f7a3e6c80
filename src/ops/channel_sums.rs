//! For each channel two sums over all rows of `[rows, C]`: what batch normalization needs forward
//! and backward.
//!
//! Rows are cut in shards by their number alone, shards in blocks. A block is summed in f32, which
//! is short enough to be exact to a few units in the last place; shards are added in f64, in order.
//! So the bits depend on nothing but the shape and the live batch.

use std::ops::Range;

use crate::kernels::par::{Pool, for_chunks};
use crate::ops::pooling::{load, over_channels, store};

/// Most shards.
const SHARDS: usize = 16;

/// Fewest numbers of a shard: below, waking a thread costs more than the work.
const LEAST: usize = 1 << 13;

/// Numbers of scratch that [`ChannelSums`] needs.
pub fn scratch(channels: usize) -> usize {
    SHARDS * 4 * channels
}

/// Rows that are worked on at a time: together they stay in the first-level cache.
pub fn block_rows(channels: usize) -> usize {
    (4096 / channels).clamp(8, 64)
}

/// Two sums for each channel, by shard.
pub struct ChannelSums<'a> {
    channels: usize,
    /// For each shard the two sums and the current block's.
    parts: &'a [f32],
}

impl<'a> ChannelSums<'a> {
    /// Sums over `rows` rows; `add(rows, first, second)` adds a block's sums.
    pub fn new(
        pool: &Pool,
        rows: usize,
        channels: usize,
        scratch: &'a mut [f32],
        add: impl Fn(Range<usize>, &mut [f32], &mut [f32]) + Sync,
    ) -> ChannelSums<'a> {
        let shards = (rows * channels / LEAST).clamp(1, SHARDS);
        let shard = rows.div_ceil(shards).max(1);
        let parts = &mut scratch[..rows.div_ceil(shard) * 4 * channels];
        for_chunks(pool, parts, 4 * channels, |s, part| {
            let (total, block) = part.split_at_mut(2 * channels);
            total.fill(0.0);
            let end = ((s + 1) * shard).min(rows);
            for start in (s * shard..end).step_by(block_rows(channels)) {
                block.fill(0.0);
                let (first, second) = block.split_at_mut(channels);
                add(start..(start + block_rows(channels)).min(end), first, second);
                total.iter_mut().zip(&*block).for_each(|(t, b)| *t += b);
            }
        });
        ChannelSums { channels, parts }
    }

    /// The two sums of a channel.
    pub fn of(&self, channel: usize) -> [f64; 2] {
        self.parts.chunks_exact(4 * self.channels).fold([0.0; 2], |[first, second], part| {
            [first + f64::from(part[channel]), second + f64::from(part[self.channels + channel])]
        })
    }
}

#[inline(always)]
fn moments_block<const L: usize>(x: &[f32], shift: &[f32], first: &mut [f32], second: &mut [f32], at: usize) {
    let shift_block = load::<L>(shift, at);
    let (mut sum, mut squares) = ([0.0; L], [0.0; L]);
    for row in x.chunks_exact(shift.len()) {
        let x = load::<L>(row, at);
        for i in 0..L {
            let u = x[i] - shift_block[i];
            sum[i] += u;
            squares[i] += u * u;
        }
    }
    store(first, at, sum);
    store(second, at, squares);
}

simd! {
    /// `first = sum of (x - shift)`, `second = sum of (x - shift)^2` over a block of rows.
    pub fn moments(x: &[f32], shift: &[f32], first: &mut [f32], second: &mut [f32]) {
        over_channels!(shift.len(), moments_block(x, shift, first, second));
    }
}

#[inline(always)]
fn products_block<const L: usize>(
    x: &[f32],
    mean: &[f32],
    dy: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    at: usize,
) {
    let mean_block = load::<L>(mean, at);
    let (mut sum, mut products) = ([0.0; L], [0.0; L]);
    for (row, dy) in x.chunks_exact(mean.len()).zip(dy.chunks_exact(mean.len())) {
        let (x, dy) = (load::<L>(row, at), load::<L>(dy, at));
        for i in 0..L {
            sum[i] += dy[i];
            products[i] += dy[i] * (x[i] - mean_block[i]);
        }
    }
    store(first, at, sum);
    store(second, at, products);
}

simd! {
    /// `first = sum of dy`, `second = sum of dy (x - mean)` over a block of rows.
    pub fn products(x: &[f32], mean: &[f32], dy: &[f32], first: &mut [f32], second: &mut [f32]) {
        over_channels!(mean.len(), products_block(x, mean, dy, first, second));
    }
}

#[inline(always)]
fn affine_block<const L: usize>(x: &[f32], mean: &[f32], a: &[f32], b: &[f32], y: &mut [f32], at: usize) {
    let (mean_block, a, b) = (load::<L>(mean, at), load::<L>(a, at), load::<L>(b, at));
    for (row, y) in x.chunks_exact(mean.len()).zip(y.chunks_exact_mut(mean.len())) {
        let x = load::<L>(row, at);
        let mut out = [0.0; L];
        for i in 0..L {
            out[i] = (x[i] - mean_block[i]) * a[i] + b[i];
        }
        store(y, at, out);
    }
}

simd! {
    /// `y = (x - mean) a + b` over a block of rows. The mean is taken off first: `x a` and `mean a`
    /// may both be large.
    fn affine(x: &[f32], mean: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
        over_channels!(mean.len(), affine_block(x, mean, a, b, y));
    }
}

/// `y = (x - mean) a + b` by channel.
pub fn normalize(pool: &Pool, x: &[f32], mean: &[f32], a: &[f32], b: &[f32], y: &mut [f32]) {
    for_blocks(pool, mean.len(), y, |range, y| affine(&x[range], mean, a, b, y));
}

/// Cuts `out` in tasks, and these in blocks of rows of `channels` numbers: `f(range, block)`.
pub fn for_blocks(
    pool: &Pool,
    channels: usize,
    out: &mut [f32],
    f: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let block = block_rows(channels) * channels;
    let chunk = block * (2 * LEAST / block).max(1);
    for_chunks(pool, out, chunk, |c, out| {
        for (i, out) in out.chunks_mut(block).enumerate() {
            let from = c * chunk + i * block;
            f(from..from + out.len(), out);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_shards_give_the_sums_with_the_same_bits_for_any_threads() {
        let (rows, channels) = (3001, 21);
        let x: Vec<f32> = (0..rows * channels).map(|i| ((i * 7919) % 1009) as f32 * 1e-2 + 1000.0).collect();
        let shift = vec![1004.0; channels];
        let mut expected = vec![[0.0f64; 2]; channels];
        for (i, x) in x.iter().enumerate() {
            let u = f64::from(*x) - 1004.0;
            let [sum, squares] = &mut expected[i % channels];
            *sum += u;
            *squares += u * u;
        }
        let run = |threads| {
            let mut space = vec![f32::NAN; scratch(channels)];
            let pool = Pool::new(threads);
            let sums = ChannelSums::new(&pool, rows, channels, &mut space, |rows, first, second| {
                moments(&x[rows.start * channels..rows.end * channels], &shift, first, second);
            });
            (0..channels).map(|c| sums.of(c)).collect::<Vec<_>>()
        };
        let sums = run(1);
        for (ours, expected) in sums.iter().zip(&expected) {
            assert!((ours[0] - expected[0]).abs() < 1e-6 * expected[1], "{ours:?} for {expected:?}");
            assert!((ours[1] - expected[1]).abs() < 1e-6 * expected[1], "{ours:?} for {expected:?}");
        }
        assert_eq!(run(2), sums);
        assert_eq!(run(3), sums);
    }
}
