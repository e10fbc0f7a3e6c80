//! One register of numbers, whatever its width: for kernels that are written once and compiled for
//! every instruction set, and whose memory accesses the compiler would not find by itself.
//!
//! The functions are always inlined, so that they become single instructions inside of a function
//! with `#[target_feature]`.

use crate::kernels::tile::multiply_add;

/// Numbers that are added and multiplied lane by lane.
///
/// # Safety
/// Of every function: the machine has the instructions of the vector.
pub(super) trait Vector: Copy {
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self;

    /// # Safety
    /// `LANES` numbers are readable from here on.
    unsafe fn load(from: *const f32) -> Self;

    /// As [`Vector::load`] if `there`, else zeros, and then nothing is read.
    ///
    /// # Safety
    /// If `there`, `LANES` numbers are readable from here on.
    unsafe fn load_if(from: *const f32, there: bool) -> Self;

    /// # Safety
    /// `LANES` numbers are writable from here on.
    unsafe fn store(self, to: *mut f32);

    unsafe fn plus(self, other: Self) -> Self;

    unsafe fn minus(self, other: Self) -> Self;

    /// `self * factor`
    unsafe fn times(self, factor: f32) -> Self;

    /// `self * factor + other`, rounded once where the instructions do.
    unsafe fn times_plus(self, factor: f32, other: Self) -> Self;
}

/// A vector of plain Rust.
pub(super) type Plain = [f32; 8];

impl Vector for Plain {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of f32 is aligned as one.
        unsafe { *from.cast() }
    }

    #[inline(always)]
    unsafe fn load_if(from: *const f32, there: bool) -> Self {
        // SAFETY: the caller's promise.
        if there { unsafe { Self::load(from) } } else { [0.0; 8] }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { *to.cast() = self }
    }

    #[inline(always)]
    unsafe fn plus(mut self, other: Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        self
    }

    #[inline(always)]
    unsafe fn minus(mut self, other: Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a -= b);
        self
    }

    #[inline(always)]
    unsafe fn times(mut self, factor: f32) -> Self {
        self.iter_mut().for_each(|a| *a *= factor);
        self
    }

    #[inline(always)]
    unsafe fn times_plus(mut self, factor: f32, other: Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a = multiply_add(*a, factor, b));
        self
    }
}

/// A vector of x86.
#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($vector:ident, $lanes:literal, $set1:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident,
     $fma:ident, |$from:ident, $there:ident| $load_if:expr) => {
        impl Vector for $vector {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $set1(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn load_if($from: *const f32, $there: bool) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $load_if }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn plus(self, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            unsafe fn minus(self, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $sub(self, other) }
            }

            #[inline(always)]
            unsafe fn times(self, factor: f32) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $mul(self, $set1(factor)) }
            }

            #[inline(always)]
            unsafe fn times_plus(self, factor: f32, other: Self) -> Self {
                // SAFETY: the caller's promise.
                unsafe { $fma(self, $set1(factor), other) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    x86!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        |from, there| _mm512_maskz_loadu_ps(if there { 0xFFFF } else { 0 }, from)
    );
    x86!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        |from, there| if there { _mm256_loadu_ps(from) } else { _mm256_setzero_ps() }
    );
}
