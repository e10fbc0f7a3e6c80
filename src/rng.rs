//! Counter-based random numbers: value = f(seed, stream, step, index).
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011).
//! There is no state to save or to share: any thread computes any number, and a resumed run draws
//! the same ones.

/// A sequence of independent numbers, named by what it is for (`shuffle`, `conv2d/kernel`, ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    seed: u64,
    id: u32,
}

impl Stream {
    pub fn new(seed: u64, name: &str) -> Stream {
        Stream { seed, id: fnv1a(name) }
    }

    /// Four 32-bit numbers.
    #[inline(always)]
    pub fn block(self, step: u32, index: u64) -> [u32; 4] {
        philox(
            [index as u32, (index >> 32) as u32, step, self.id],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }

    /// The blocks from `index` on, side by side: `words[w][i]` is word w of block `index + i`. Inlined into
    /// a function with vector instructions, it computes as many at a time as a register holds.
    #[inline(always)]
    pub fn blocks<const N: usize>(self, step: u32, index: u64) -> [[u32; N]; 4] {
        let [mut a, mut b, mut c, mut d] = [[0; N]; 4];
        for (i, (((a, b), c), d)) in a.iter_mut().zip(&mut b).zip(&mut c).zip(&mut d).enumerate() {
            [*a, *b, *c, *d] = self.block(step, index.wrapping_add(i as u64));
        }
        [a, b, c, d]
    }

    /// Number `index` of `step`: 32 random bits.
    #[inline]
    pub fn bits(self, step: u32, index: u64) -> u32 {
        self.block(step, index / 4)[(index % 4) as usize]
    }

    /// Uniform in [0, 1), 24 bits.
    #[inline]
    pub fn uniform(self, step: u32, index: u64) -> f32 {
        unit(self.bits(step, index))
    }

    /// Standard normal, by Box-Muller; `libm` gives the same bits on every platform.
    pub fn normal(self, step: u32, index: u64) -> f64 {
        let block = self.block(step, index / 2);
        let pair = if index.is_multiple_of(2) { [block[0], block[1]] } else { [block[2], block[3]] };
        // (0, 1]: the logarithm of zero is never taken.
        let u = (f64::from(pair[0]) + 1.0) / 4_294_967_296.0;
        let v = f64::from(pair[1]) / 4_294_967_296.0;
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
    }

    /// Uniform integer below `bound` (Lemire's multiply-shift with rejection).
    fn below(self, step: u32, index: &mut u64, bound: u32) -> u32 {
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.bits(step, *index)) * u64::from(bound);
            *index += 1;
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Shuffles in place (Fisher-Yates); `step` chooses the permutation, for example the epoch.
    pub fn shuffle<T>(self, step: u32, items: &mut [T]) {
        let mut index = 0;
        for i in (1..items.len()).rev() {
            let bound = u32::try_from(i + 1).expect("a dataset has fewer than 2^32 samples");
            items.swap(i, self.below(step, &mut index, bound) as usize);
        }
    }
}

/// 32 random bits as a number in [0, 1) that an f32 holds exactly.
#[inline]
pub fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

fn fnv1a(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[inline(always)]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the reference implementation (Random123, kat_vectors).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn blocks_side_by_side_are_the_blocks() {
        let stream = Stream::new(0x1234_5678_9ABC_DEF0, "blocks");
        for first in [0, 7, (1 << 32) - 3, u64::MAX - 1] {
            let words = stream.blocks::<8>(3, first);
            for i in 0..8 {
                assert_eq!(words.map(|word| word[i]), stream.block(3, first.wrapping_add(i as u64)));
            }
        }
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let stream = Stream::new(1, "test");
        let draws: Vec<f64> = (0..20_000).map(|i| stream.normal(0, i)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_is_a_permutation_that_depends_on_the_step() {
        let stream = Stream::new(7, "shuffle");
        let (mut a, mut b): (Vec<u32>, Vec<u32>) = ((0..100).collect(), (0..100).collect());
        stream.shuffle(1, &mut a);
        stream.shuffle(2, &mut b);
        assert_ne!(a, b);
        a.sort_unstable();
        assert_eq!(a, (0..100).collect::<Vec<_>>());
    }
}
