//! Products of numbers rounded to bfloat16, summed in f32.
//!
//! bfloat16 is the upper half of an f32: its range, 8 bits of precision. `vdpbf16ps` multiplies two
//! pairs of them per lane and adds both products to an f32: twice the multiplications of an f32 FMA
//! in the same time. So the operands come as [`Pair`]s of neighbours along the sum: channels in a
//! convolution's output and input gradient, two images in its kernel's gradient, rows in a dense
//! layer's. Where the last pair is not full, its second number is zero.
//!
//! Rounding is to nearest, ties to even; numbers below f32's normal range count as zero.

pub mod conv;
mod convert;
pub mod dense;
mod portable;
pub mod product;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::kernels::isa::{Isa, isa};
use crate::kernels::number::{Bf16, Number};

pub use convert::{Operand, across, along, transposed};

/// Two bfloat16 numbers, the first in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Pair(u32);

impl Pair {
    pub fn new(first: f32, second: f32) -> Pair {
        Pair::of(Bf16::nearest(first), Bf16::nearest(second))
    }

    #[inline(always)]
    pub fn of(first: Bf16, second: Bf16) -> Pair {
        Pair(u32::from(first.0) | u32::from(second.0) << 16)
    }

    pub fn first(self) -> f32 {
        f32::from_bits(self.0 << 16)
    }

    pub fn second(self) -> f32 {
        f32::from_bits(self.0 & 0xFFFF_0000)
    }
}

/// Pairs that `numbers` numbers fill.
pub fn pairs_of(numbers: usize) -> usize {
    numbers.div_ceil(2)
}

/// Working space as pairs: both are 32 bits wide.
pub fn as_pairs(scratch: &mut [f32]) -> &mut [Pair] {
    // SAFETY: same size and alignment, and every pattern of bits is valid in both.
    unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast::<Pair>(), scratch.len()) }
}

/// Pairs as the numbers that they are made of. The first one's place is in front, as on every machine with
/// these instructions.
fn numbers(pairs: &mut [Pair]) -> &mut [Bf16] {
    const { assert!(cfg!(target_endian = "little"), "a pair's first number is its low half") };
    // SAFETY: a pair is as long as two numbers and stricter aligned; every pattern of bits is valid.
    unsafe { std::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast::<Bf16>(), 2 * pairs.len()) }
}

/// Why products in bfloat16 are not to be had here; `None` where they are.
pub fn lacking() -> Option<&'static str> {
    match isa() {
        _ if hardware() => None,
        Isa::Avx512 => Some("this CPU has AVX-512, but not AVX512_BF16"),
        chosen if Isa::Avx512.available() => Some(match chosen {
            Isa::Avx2 => "NNTRAIN_ISA=avx2 leaves AVX512_BF16 out",
            _ => "NNTRAIN_ISA=portable leaves AVX512_BF16 out",
        }),
        _ => Some("this CPU has no AVX512_BF16"),
    }
}

/// Whether the instructions are there and in use.
fn hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    return isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
