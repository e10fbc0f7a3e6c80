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
    /// A place in a window for each lane.
    type Places: Copy;
    /// Place 0 everywhere.
    unsafe fn first_place() -> Self::Places;
    /// The larger of `self` and `x`, and `here` for its place where that is `x`. NaN counts as largest:
    /// a maximum must not hide a divergence.
    unsafe fn larger(self, x: Self, places: Self::Places, here: u8) -> (Self, Self::Places);
    /// `n` places, a byte each.
    unsafe fn load_places(p: *const u8, n: usize) -> Self::Places;
    unsafe fn store_places(places: Self::Places, p: *mut u8, n: usize);
    /// For each lane that one of four numbers which its place, below 4, names.
    unsafe fn pick(p: *const f32, places: Self::Places) -> Self;
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
    type Places = __m512i;
    #[inline(always)]
    unsafe fn first_place() -> __m512i {
        as_promised!(_mm512_setzero_si512())
    }
    #[inline(always)]
    unsafe fn larger(self, x: Self, places: __m512i, here: u8) -> (Self, __m512i) {
        as_promised!({
            let larger = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x.0, self.0);
            let larger = larger | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x.0, x.0);
            let here = _mm512_set1_epi32(i32::from(here));
            (Avx512(_mm512_mask_mov_ps(self.0, larger, x.0)), _mm512_mask_mov_epi32(places, larger, here))
        })
    }
    #[inline(always)]
    unsafe fn load_places(p: *const u8, n: usize) -> __m512i {
        as_promised!(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(Self::first(n), p.cast())))
    }
    #[inline(always)]
    unsafe fn store_places(places: __m512i, p: *mut u8, n: usize) {
        as_promised!(_mm_mask_storeu_epi8(p.cast(), Self::first(n), _mm512_cvtepi32_epi8(places)))
    }
    #[inline(always)]
    unsafe fn pick(p: *const f32, places: __m512i) -> Self {
        as_promised!(Avx512(_mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(p)), places)))
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
    type Places = __m256i;
    #[inline(always)]
    unsafe fn first_place() -> __m256i {
        as_promised!(_mm256_setzero_si256())
    }
    #[inline(always)]
    unsafe fn larger(self, x: Self, places: __m256i, here: u8) -> (Self, __m256i) {
        as_promised!({
            let larger = _mm256_cmp_ps::<_CMP_GT_OQ>(x.0, self.0);
            let larger = _mm256_or_ps(larger, _mm256_cmp_ps::<_CMP_UNORD_Q>(x.0, x.0));
            let here = _mm256_set1_epi32(i32::from(here));
            (
                Avx2(_mm256_blendv_ps(self.0, x.0, larger)),
                _mm256_blendv_epi8(places, here, _mm256_castps_si256(larger)),
            )
        })
    }
    #[inline(always)]
    unsafe fn load_places(p: *const u8, n: usize) -> __m256i {
        as_promised!({
            let bytes = match n {
                8 => p.cast::<u64>().read_unaligned(),
                _ => (0..n).fold(0, |bytes, i| bytes | u64::from(*p.add(i)) << (8 * i)),
            };
            _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes as i64))
        })
    }
    #[inline(always)]
    unsafe fn store_places(places: __m256i, p: *mut u8, n: usize) {
        as_promised!({
            // Of each half's four numbers the lowest bytes, one half behind the other.
            let halves = _mm256_shuffle_epi8(places, _mm256_set1_epi32(0x0C08_0400));
            let low = _mm_cvtsi128_si32(_mm256_castsi256_si128(halves)) as u32;
            let high = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(halves)) as u32;
            let bytes = u64::from(low) | u64::from(high) << 32;
            match n {
                8 => p.cast::<u64>().write_unaligned(bytes),
                _ => (0..n).for_each(|i| p.add(i).write((bytes >> (8 * i)) as u8)),
            }
        })
    }
    #[inline(always)]
    unsafe fn pick(p: *const f32, places: __m256i) -> Self {
        as_promised!({
            let four = _mm_loadu_ps(p);
            Avx2(_mm256_permutevar_ps(_mm256_set_m128(four, four), places))
        })
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
    type Places = [u8; 8];
    #[inline(always)]
    unsafe fn first_place() -> [u8; 8] {
        [0; 8]
    }
    #[inline(always)]
    unsafe fn larger(self, x: Self, places: [u8; 8], here: u8) -> (Self, [u8; 8]) {
        let larger: [bool; 8] = std::array::from_fn(|i| x.0[i] > self.0[i] || x.0[i].is_nan());
        (
            Portable(std::array::from_fn(|i| if larger[i] { x.0[i] } else { self.0[i] })),
            std::array::from_fn(|i| if larger[i] { here } else { places[i] }),
        )
    }
    #[inline(always)]
    unsafe fn load_places(p: *const u8, n: usize) -> [u8; 8] {
        let mut places = [0; 8];
        as_promised!(std::ptr::copy_nonoverlapping(p, places.as_mut_ptr(), n));
        places
    }
    #[inline(always)]
    unsafe fn store_places(places: [u8; 8], p: *mut u8, n: usize) {
        as_promised!(std::ptr::copy_nonoverlapping(places.as_ptr(), p, n))
    }
    #[inline(always)]
    unsafe fn pick(p: *const f32, places: [u8; 8]) -> Self {
        let four = as_promised!(p.cast::<[f32; 4]>().read_unaligned());
        Portable(places.map(|place| four[usize::from(place & 3)]))
    }
}

/// Compiles a body over [`Lanes`] once per instruction set; the first argument says which to run.
/// Whoever calls it vouches, besides what the body demands, that the machine has that set.
macro_rules! on_lanes {
    ($(#[$meta:meta])* unsafe fn $name:ident = $body:ident($($arg:ident: $type:ty),* $(,)?);) => {
        $(#[$meta])*
        unsafe fn $name(isa: $crate::kernels::isa::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: passed on from the caller.
                unsafe { $body::<$crate::kernels::conv::pooled::lanes::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: passed on from the caller.
                unsafe { $body::<$crate::kernels::conv::pooled::lanes::Avx2>($($arg),*) }
            }
            // SAFETY: passed on from the caller, who has seen to the instruction set.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::isa::Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::isa::Isa::Avx2 => avx2($($arg),*),
                    _ => $body::<$crate::kernels::conv::pooled::lanes::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(super) use on_lanes;
