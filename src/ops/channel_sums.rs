//! For each channel two sums over all rows of `[rows, C]`: what batch normalization needs forward
//! and backward.
//!
//! Rows are cut in shards by their number alone. Sums in f32 have few terms, so that they are exact to
//! a few units in the last place; shards are added in f64, in order.
//! So the bits depend on nothing but the shape and the live batch.

use std::ops::Range;

use crate::kernels::number::Number;
use crate::kernels::pairs::for_chunk_pairs;
use crate::kernels::par::{Pool, for_chunks};

/// Most shards.
const SHARDS: usize = 32;

/// Fewest numbers of a shard: below, waking a thread costs more than the work.
const LEAST: usize = 1 << 13;

/// Numbers that are worked on at a time, where a row is not longer: with those of the other tensors
/// they stay in the first-level cache.
pub const BLOCK: usize = 2048;

/// Terms of a sum in f32.
const TERMS: usize = 64;

/// Shortest long row, and the longest that is made of several rows.
const SHORTEST: usize = 256;
pub const LONGEST: usize = 512;

/// How rows of `channels` numbers are walked: several as one long row, which fills vector registers
/// evenly whatever the number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub channels: usize,
    /// Numbers of a long row: whole rows.
    pub period: usize,
    /// Numbers of a block: whole long rows.
    pub block: usize,
}

impl Walk {
    pub fn new(channels: usize) -> Walk {
        // The smallest multiple of the channels and of 16 divides this.
        let even = (1..=16).find(|k| (channels * k).is_multiple_of(16)).map_or(channels, |k| channels * k);
        let period = if even <= LONGEST { even * SHORTEST.div_ceil(even) } else { channels };
        Walk { channels, period, block: period * (BLOCK / period).max(1) }
    }

    /// Repeats the values by channel over a long row.
    pub fn spread(&self, values: &[f32], out: &mut [f32]) {
        out.chunks_exact_mut(self.channels).for_each(|out| out.copy_from_slice(values));
    }

    /// Repeats the first row's values over the long row that it begins.
    pub fn repeat(&self, long: &mut [f32]) {
        (self.channels..long.len())
            .step_by(self.channels)
            .for_each(|to| long.copy_within(..self.channels, to));
    }

    /// Cuts as many long rows off scratch space as are wanted.
    pub fn carve<'a, const N: usize>(&self, scratch: &'a mut [f32]) -> ([&'a mut [f32]; N], &'a mut [f32]) {
        let mut rest = scratch;
        let rows = std::array::from_fn(|_| {
            let (row, behind) = std::mem::take(&mut rest).split_at_mut(self.period);
            rest = behind;
            row
        });
        (rows, rest)
    }

    /// Cuts `out` in tasks, and these in blocks: `f(range, block)`.
    pub fn for_blocks<T: Number>(
        &self,
        pool: &Pool,
        out: &mut [T],
        f: impl Fn(Range<usize>, &mut [T]) + Sync,
    ) {
        let chunk = self.block * (2 * LEAST / self.block).max(1);
        for_chunks(pool, out, chunk, |c, out| {
            for (i, out) in out.chunks_mut(self.block).enumerate() {
                let from = c * chunk + i * self.block;
                f(from..from + out.len(), out);
            }
        });
    }

    /// Numbers of scratch that [`ChannelSums`] needs.
    pub fn sums_scratch(&self) -> usize {
        SHARDS * 4 * self.period
    }

    /// Numbers that are summed in f32 before they are added to the rest: as many long rows as a sum has
    /// terms.
    fn stretch(&self) -> usize {
        self.block * (TERMS * self.period / self.block).max(1)
    }

    /// Numbers of a shard of `len`: whole long rows.
    fn shard(&self, len: usize) -> usize {
        len.div_ceil((len / LEAST).clamp(1, SHARDS)).next_multiple_of(self.period).max(1)
    }
}

/// Two sums for each channel, by shard.
pub struct ChannelSums<'a> {
    walk: Walk,
    /// For each shard the two sums of a long row and the current block's.
    parts: &'a [f32],
}

impl<'a> ChannelSums<'a> {
    /// Sums over `len` numbers; `block(range, first, second)` adds a block's sums.
    pub fn of(
        walk: Walk,
        pool: &Pool,
        len: usize,
        scratch: &'a mut [f32],
        block: impl Fn(Range<usize>, &mut [f32], &mut [f32]) + Sync,
    ) -> ChannelSums<'a> {
        let shard = walk.shard(len);
        let parts = &mut scratch[..len.div_ceil(shard) * 4 * walk.period];
        for_chunks(pool, parts, 4 * walk.period, |s, part| {
            walk.sum_shard(s * shard..((s + 1) * shard).min(len), part, |range, [first, second]| {
                block(range, first, second);
            });
        });
        ChannelSums { walk, parts }
    }

    /// As [`ChannelSums::of`] over the numbers of `data`, each block of which `block` may change.
    pub fn of_changed<T: Number>(
        walk: Walk,
        pool: &Pool,
        data: &mut [T],
        scratch: &'a mut [f32],
        block: impl Fn(Range<usize>, &mut [T], &mut [f32], &mut [f32]) + Sync,
    ) -> ChannelSums<'a> {
        let (len, shard) = (data.len(), walk.shard(data.len()));
        let parts = &mut scratch[..len.div_ceil(shard) * 4 * walk.period];
        for_chunk_pairs(pool, (data, shard), (&mut *parts, 4 * walk.period), |s, data, part| {
            let start = s * shard;
            walk.sum_shard(start..start + data.len(), part, |range, [first, second]| {
                block(range.clone(), &mut data[range.start - start..range.end - start], first, second);
            });
        });
        ChannelSums { walk, parts }
    }

    /// The two sums of a channel.
    pub fn channel(&self, channel: usize) -> [f64; 2] {
        let period = self.walk.period;
        self.parts.chunks_exact(4 * period).fold([0.0; 2], |[first, second], part| {
            [first + f64::from(part[channel]), second + f64::from(part[period + channel])]
        })
    }
}

impl Walk {
    /// Sums by channel over one shard; `part` has room for a long row of them, and for that of the
    /// stretch at hand.
    fn sum_shard(
        &self,
        shard: Range<usize>,
        part: &mut [f32],
        mut block: impl FnMut(Range<usize>, [&mut [f32]; 2]),
    ) {
        let (total, sums) = part.split_at_mut(2 * self.period);
        total.fill(0.0);
        for stretch in shard.clone().step_by(self.stretch()) {
            sums.fill(0.0);
            let end = (stretch + self.stretch()).min(shard.end);
            for start in (stretch..end).step_by(self.block) {
                let (first, second) = sums.split_at_mut(self.period);
                block(start..(start + self.block).min(end), [first, second]);
            }
            add(total, sums);
        }
        for sums in total.chunks_exact_mut(self.period) {
            let (head, others) = sums.split_at_mut(self.channels);
            others.chunks_exact(self.channels).for_each(|row| add(head, row));
        }
    }
}

simd! {
    /// Adds the sums of `x - shift` and of its squares over a block. Sums stay in memory: with a long row
    /// between one addition to a number and the next they are as fast as in registers.
    pub fn moments<T: Number>(x: &[T], shift: &[f32], first: &mut [f32], second: &mut [f32]) {
        for x in x.chunks(shift.len()) {
            for (((x, shift), first), second) in x.iter().zip(shift).zip(&mut *first).zip(&mut *second) {
                let u = x.get() - shift;
                *first += u;
                *second += u * u;
            }
        }
    }
}

simd! {
    /// Adds `from` to `into`.
    fn add(into: &mut [f32], from: &[f32]) {
        into.iter_mut().zip(from).for_each(|(i, f)| *i += f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_shards_give_the_sums_with_the_same_bits_for_any_threads() {
        for (rows, channels) in [(3001, 21), (9001, 16), (20_001, 3), (500, 130), (37, 4099), (1, 5)] {
            let len = rows * channels;
            let x: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1009) as f32 * 1e-2 + 1000.0).collect();
            let mut expected = vec![[0.0f64; 2]; channels];
            for (i, x) in x.iter().enumerate() {
                let u = f64::from(*x) - 1004.0;
                let [sum, squares] = &mut expected[i % channels];
                *sum += u;
                *squares += u * u;
            }
            let walk = Walk::new(channels);
            let shift = vec![1004.0; walk.period];
            let run = |threads, changed| {
                let mut space = vec![f32::NAN; walk.sums_scratch()];
                let pool = Pool::new(threads);
                let sums = if changed {
                    let mut data = vec![0.0; len];
                    ChannelSums::of_changed(walk, &pool, &mut data, &mut space, |range, block, a, b| {
                        block.copy_from_slice(&x[range]);
                        moments(block, &shift, a, b);
                    })
                } else {
                    ChannelSums::of(walk, &pool, len, &mut space, |range, a, b| {
                        moments(&x[range], &shift, a, b);
                    })
                };
                (0..channels).map(|c| sums.channel(c)).collect::<Vec<_>>()
            };
            let sums = run(1, false);
            for (ours, expected) in sums.iter().zip(&expected) {
                assert!((ours[0] - expected[0]).abs() < 1e-6 * expected[1], "{ours:?} for {expected:?}");
                assert!((ours[1] - expected[1]).abs() < 1e-6 * expected[1], "{ours:?} for {expected:?}");
            }
            assert_eq!(run(2, false), sums);
            assert_eq!(run(3, true), sums);
        }
    }

    #[test]
    fn long_rows_fill_registers() {
        for channels in 1..=LONGEST {
            let walk = Walk::new(channels);
            assert!(walk.period <= LONGEST.max(channels));
            assert!(walk.period.is_multiple_of(channels) && walk.block.is_multiple_of(walk.period));
            assert!(walk.period == channels || walk.period.is_multiple_of(16), "{walk:?}");
        }
        assert_eq!(Walk::new(16).period, 256);
        assert_eq!(Walk::new(4099).block, 4099);
    }
}
