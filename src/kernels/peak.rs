//! What the machine could do at most: arithmetic that touches no memory, and a copy that does nothing else.

use crate::kernels::isa::Isa;
use crate::kernels::tile::multiply_add;

/// Chains of multiply-adds that run side by side: more than latency times units of any core so far.
const CHAINS: usize = 12;

/// Numbers of a chain in plain Rust.
const LANES: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };

/// Where every chain ends up: the fixed point of `x / 2 + 1`.
const FIXED_POINT: f32 = 2.0;

/// Runs `rounds` rounds of multiply-adds in registers; returns how many additions and multiplications
/// these were.
///
/// # Panics
/// If the machine does not have the instruction set.
pub fn multiply_adds(isa: Isa, rounds: usize) -> f64 {
    assert!(isa.available(), "{} is not available here", isa.name());
    let (end, lanes) = match isa {
        // SAFETY: the machine has it, as just asserted.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (unsafe { avx512(rounds) }, 16),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (unsafe { avx2(rounds) }, 8),
        _ => (portable(rounds), LANES),
    };
    // Looking at the result keeps the compiler from leaving the work out.
    assert!(rounds < 64 || end == FIXED_POINT, "{rounds} rounds lead to {end}");
    (2 * CHAINS * lanes * rounds) as f64
}

/// Chains must not look alike, or the compiler computes one for all.
fn starts() -> [f32; CHAINS] {
    std::hint::black_box(std::array::from_fn(|i| i as f32))
}

/// The largest number of all chains.
fn largest(chains: &[f32]) -> f32 {
    chains.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: usize) -> f32 {
    use std::arch::x86_64::*;
    let (half, one) = (_mm512_set1_ps(0.5), _mm512_set1_ps(1.0));
    let mut chains = starts().map(|start| _mm512_set1_ps(start));
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, half, one);
        }
    }
    largest(&chains.map(|chain| _mm512_reduce_max_ps(chain)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: usize) -> f32 {
    use std::arch::x86_64::*;
    let (half, one) = (_mm256_set1_ps(0.5), _mm256_set1_ps(1.0));
    let mut chains = starts().map(|start| _mm256_set1_ps(start));
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, half, one);
        }
    }
    let mut lanes = [0.0; 8 * CHAINS];
    for (lanes, chain) in lanes.chunks_exact_mut(8).zip(chains) {
        // SAFETY: the chunk holds the 8 numbers of a vector.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), chain) };
    }
    largest(&lanes)
}

fn portable(rounds: usize) -> f32 {
    let mut chains = starts().map(|start| [start; LANES]);
    for _ in 0..rounds {
        for chain in &mut chains {
            for x in chain {
                *x = multiply_add(*x, 0.5, 1.0);
            }
        }
    }
    largest(chains.as_flattened())
}

simd! {
    /// `to = factor * from`: reads and writes as a copy does. A copy itself the compiler would hand to the
    /// C library, which goes past the caches for long slices, as no kernel here does.
    pub fn scaled_copy(factor: f32, from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = factor * from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_counts_what_it_does() {
        for (isa, lanes) in Isa::ALL.into_iter().zip([LANES, LANES, 8, 16]).filter(|(isa, _)| isa.available())
        {
            assert_eq!(multiply_adds(isa, 1000), (2 * CHAINS * lanes * 1000) as f64, "{isa:?}");
        }
    }

    #[test]
    fn one_round_is_half_of_each_start_and_one() {
        let expected = 0.5 * (CHAINS - 1) as f32 + 1.0;
        assert_eq!(portable(1), expected);
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: only called where it is available.
            assert!(!Isa::Avx2.available() || unsafe { avx2(1) } == expected);
            // SAFETY: as above.
            assert!(!Isa::Avx512.available() || unsafe { avx512(1) } == expected);
        }
    }

    #[test]
    fn the_copy_is_whole() {
        let from: Vec<f32> = (0..1003).map(|i| i as f32).collect();
        let mut to = vec![f32::NAN; 1003];
        scaled_copy(1.0, &from, &mut to);
        assert_eq!(to, from);
    }
}
