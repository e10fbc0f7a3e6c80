//! A vector register, so that one body of a walk serves every instruction set.
//!
//! The methods are inlined into functions with `#[target_feature]`, where they become one
//! instruction each.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

macro_rules! as_promised {
    ($body:expr) => {
        // SAFETY: by the promise of the method's caller.
        unsafe { $body }
    };
}

/// A register of `COUNT` numbers.
///
/// # Safety
/// Of all methods: the machine has the instruction set, and pointers are valid for what is read or
/// written: one number for `splat`, `COUNT` for `load` and `store`, those in the mask for `*_some`.
pub trait Lanes: Copy {
    const COUNT: usize;
    /// Which lanes are meant.
    type Mask: Copy;
    unsafe fn zero() -> Self;
    unsafe fn splat(p: *const f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// The first `n` lanes, `n` at most `COUNT`.
    unsafe fn first(n: usize) -> Self::Mask;
    /// The lanes of the mask, 0 in the others.
    unsafe fn load_some(p: *const f32, mask: Self::Mask) -> Self;
    unsafe fn store_some(self, p: *mut f32, mask: Self::Mask);
    /// `self + a * b`, rounded once where the set has such an instruction.
    unsafe fn plus_product(self, a: Self, b: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512 {
    const COUNT: usize = 16;
    type Mask = __mmask16;
    #[inline(always)]
    unsafe fn zero() -> Self {
        as_promised!(Avx512(_mm512_setzero_ps()))
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Self {
        as_promised!(Avx512(_mm512_set1_ps(*p)))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        as_promised!(Avx512(_mm512_loadu_ps(p)))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        as_promised!(_mm512_storeu_ps(p, self.0))
    }
    #[inline(always)]
    unsafe fn first(n: usize) -> __mmask16 {
        0xFFFF >> (16 - n)
    }
    #[inline(always)]
    unsafe fn load_some(p: *const f32, mask: __mmask16) -> Self {
        as_promised!(Avx512(_mm512_maskz_loadu_ps(mask, p)))
    }
    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, mask: __mmask16) {
        as_promised!(_mm512_mask_storeu_ps(p, mask, self.0))
    }
    #[inline(always)]
    unsafe fn plus_product(self, a: Self, b: Self) -> Self {
        as_promised!(Avx512(_mm512_fmadd_ps(a.0, b.0, self.0)))
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2 {
    const COUNT: usize = 8;
    type Mask = __m256i;
    #[inline(always)]
    unsafe fn zero() -> Self {
        as_promised!(Avx2(_mm256_setzero_ps()))
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Self {
        as_promised!(Avx2(_mm256_broadcast_ss(&*p)))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        as_promised!(Avx2(_mm256_loadu_ps(p)))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        as_promised!(_mm256_storeu_ps(p, self.0))
    }
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        as_promised!(_mm256_cmpgt_epi32(
            _mm256_set1_epi32(n as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
        ))
    }
    #[inline(always)]
    unsafe fn load_some(p: *const f32, mask: __m256i) -> Self {
        as_promised!(Avx2(_mm256_maskload_ps(p, mask)))
    }
    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, mask: __m256i) {
        as_promised!(_mm256_maskstore_ps(p, mask, self.0))
    }
    #[inline(always)]
    unsafe fn plus_product(self, a: Self, b: Self) -> Self {
        as_promised!(Avx2(_mm256_fmadd_ps(a.0, b.0, self.0)))
    }
}

/// Plain Rust; NEON through the compiler on AArch64.
#[derive(Clone, Copy)]
pub struct Portable([f32; 8]);

impl Lanes for Portable {
    const COUNT: usize = 8;
    type Mask = usize;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Portable([0.0; 8])
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Self {
        as_promised!(Portable([*p; 8]))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        as_promised!(Portable(p.cast::<[f32; 8]>().read_unaligned()))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        as_promised!(p.cast::<[f32; 8]>().write_unaligned(self.0))
    }
    #[inline(always)]
    unsafe fn first(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_some(p: *const f32, mask: usize) -> Self {
        let mut lanes = [0.0; 8];
        as_promised!(std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), mask));
        Portable(lanes)
    }
    #[inline(always)]
    unsafe fn store_some(self, p: *mut f32, mask: usize) {
        as_promised!(std::ptr::copy_nonoverlapping(self.0.as_ptr(), p, mask))
    }
    #[inline(always)]
    unsafe fn plus_product(self, a: Self, b: Self) -> Self {
        // As in the tiles: without the instruction, fma is a slow call.
        let fused = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
        let step = |s: f32, a: f32, b: f32| if fused { a.mul_add(b, s) } else { a * b + s };
        Portable(std::array::from_fn(|i| step(self.0[i], a.0[i], b.0[i])))
    }
}
