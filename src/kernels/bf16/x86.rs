//! AVX-512 with AVX512_BF16.

use std::arch::x86_64::*;

use super::Pair;
use super::product::{SLIDE, Tile, TileStart};

/// The first `n` of sixteen lanes.
fn lanes(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

/// # Safety
/// The machine has AVX-512 and AVX512_BF16; `out` has room for the pairs of x.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn along(x: &[f32], out: &mut [Pair]) {
    let (whole, rest) = x.as_chunks::<32>();
    // SAFETY: 32 numbers are 16 pairs: reads and writes stay inside both slices, at the end by masks.
    unsafe {
        let mut to = out.as_mut_ptr();
        for x in whole {
            let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            store(to, _mm512_cvtne2ps_pbh(high, low));
            to = to.add(16);
        }
        if !rest.is_empty() {
            let low = _mm512_maskz_loadu_ps(lanes(rest.len().min(16)), rest.as_ptr());
            let high = match rest.len() > 16 {
                true => _mm512_maskz_loadu_ps(lanes(rest.len() - 16), rest.as_ptr().add(16)),
                false => _mm512_setzero_ps(),
            };
            let pairs = _mm512_cvtne2ps_pbh(high, low);
            _mm512_mask_storeu_epi32(to.cast(), lanes(rest.len().div_ceil(2)), bits(pairs));
        }
    }
}

/// # Safety
/// As `along`; b is empty or as long as a, and so is `out`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn across(a: &[f32], b: &[f32], out: &mut [Pair]) {
    // Words 0-15 hold the first numbers and 16-31 the second: out come 0, 16, 1, 17, ...
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    // SAFETY: reads and writes stay inside the slices, at the end by masks.
    unsafe {
        let order = _mm512_loadu_si512(order.as_ptr().cast());
        let joined =
            |first, second| _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(second, first)));
        let (a, len, to) = (a.as_ptr(), a.len(), out.as_mut_ptr().cast::<i32>());
        let second = match b.is_empty() {
            true => None,
            false => Some(b.as_ptr()),
        };
        let whole = len / 16 * 16;
        for i in (0..whole).step_by(16) {
            let second = second.map_or(_mm512_setzero_ps(), |b| _mm512_loadu_ps(b.add(i)));
            _mm512_storeu_epi32(to.add(i), joined(_mm512_loadu_ps(a.add(i)), second));
        }
        if whole < len {
            let mask = lanes(len - whole);
            let first = _mm512_maskz_loadu_ps(mask, a.add(whole));
            let second = second.map_or(_mm512_setzero_ps(), |b| _mm512_maskz_loadu_ps(mask, b.add(whole)));
            _mm512_mask_storeu_epi32(to.add(whole), mask, joined(first, second));
        }
    }
}

/// The same bits as integers.
#[inline]
#[target_feature(enable = "avx512f")]
fn bits(x: __m512bh) -> __m512i {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(x) }
}

/// # Safety
/// The machine has AVX-512; there is room for 16 pairs.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut Pair, x: __m512bh) {
    // SAFETY: passed on from the caller.
    unsafe { _mm512_storeu_si512(to.cast(), bits(x)) }
}

macro_rules! dispatch {
    ($rows:expr, $vectors:expr, $tile:expr, $unit:literal; $($nv:literal: [$($mr:literal)*]),*) => {
        match ($vectors, $rows) {
            $($( ($nv, $mr) => tile::<$mr, $nv, $unit>($tile), )*)*
            (v, r) => unreachable!("no tile of {r} rows and {v} vectors"),
        }
    };
}

macro_rules! dispatch_sliding {
    ($rows:expr, $tile:expr; $($mr:literal)*) => {
        match $rows {
            $( $mr => sliding::<$mr>($tile), )*
            r => unreachable!("no sliding tile of {r} rows"),
        }
    };
}

/// # Safety
/// The machine has AVX-512 and AVX512_BF16; all that the tile reads and writes is valid memory, also
/// B's columns up to whole vectors.
pub unsafe fn run(rows: usize, vectors: usize, t: &Tile) {
    // SAFETY: passed on from the caller.
    unsafe {
        if t.product.a_row == 1 {
            dispatch!(rows, vectors, t, true;
                1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28],
                2: [1 2 3 4 5 6 7 8 9 10 11 12])
        } else {
            dispatch!(rows, vectors, t, false;
                1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16],
                2: [1 2 3 4 5 6 7 8 9 10 11 12])
        }
    }
}

/// `UNIT`: rows of A are neighbours.
///
/// # Safety
/// As `run`; the tile has MR rows and at most NV vectors, of which only the last may be partial.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const MR: usize, const NV: usize, const UNIT: bool>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns of C
    // below `columns` (masked in the last vector), k and taps below their counts.
    unsafe {
        let p = t.product;
        let a_row = if UNIT { 1 } else { p.a_row };
        let last = lanes(p.n - (NV - 1) * 16);
        let whole = p.n == NV * 16;
        let mask = |v: usize| if v + 1 == NV { last } else { 0xFFFF };
        let mut acc = [[_mm512_setzero_ps(); NV]; MR];
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, a) in row.iter_mut().enumerate() {
                match t.start {
                    TileStart::Zero => {}
                    TileStart::Bias(bias) => *a = _mm512_maskz_loadu_ps(mask(v), bias.add(v * 16)),
                    TileStart::C => await_line(t.c.add(r * p.c_row + v * 16)),
                }
            }
        }
        let [(n1, a1, b1), (n2, a2, b2)] = p.taps;
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let mut a = t.a.add(i1 * a1 + i2 * a2);
                let mut b = t.b.add(i1 * b1 + i2 * b2);
                for _ in 0..p.k {
                    let mut bv = [_mm512_setzero_si512(); NV];
                    for (v, x) in bv.iter_mut().enumerate() {
                        *x = _mm512_loadu_si512(b.add(v * 16).cast());
                    }
                    for (r, row) in acc.iter_mut().enumerate() {
                        let x = _mm512_set1_epi32((*a.add(r * a_row)).0 as i32);
                        for (sum, b) in row.iter_mut().zip(&bv) {
                            *sum = _mm512_dpbf16_ps(*sum, pairs(x), pairs(*b));
                        }
                    }
                    a = a.wrapping_add(p.a_k);
                    b = b.wrapping_add(p.b_k);
                }
            }
        }
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, sum) in row.iter_mut().enumerate() {
                let c = t.c.add(r * p.c_row + v * 16);
                if let TileStart::C = t.start {
                    *sum = _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(mask(v), c));
                }
                if v + 1 < NV || whole {
                    _mm512_storeu_ps(c, *sum);
                } else {
                    _mm512_mask_storeu_ps(c, last, *sum);
                }
            }
        }
    }
}

/// Computes a tile of one vector whose second loop is over [`SLIDE`] taps that are one row apart: a row
/// of A serves that many rows of C, and is loaded once for them.
///
/// # Safety
/// As `run`, for one vector and at most [`MOST_SLIDING`] rows.
pub unsafe fn run_sliding(rows: usize, t: &Tile) {
    // SAFETY: passed on from the caller.
    unsafe { dispatch_sliding!(rows, t; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24) }
}

/// # Safety
/// As `run_sliding`; the tile has MR rows.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn sliding<const MR: usize>(t: &Tile) {
    // SAFETY: as in `tile`; with the taps, the rows of A are SLIDE - 1 more than those of C.
    unsafe {
        let p = t.product;
        let columns = lanes(p.n);
        let mut acc = [_mm512_setzero_ps(); MR];
        for (r, a) in acc.iter_mut().enumerate() {
            match t.start {
                TileStart::Zero => {}
                TileStart::Bias(bias) => *a = _mm512_maskz_loadu_ps(columns, bias),
                TileStart::C => await_line(t.c.add(r * p.c_row)),
            }
        }
        let [(n1, a1, b1), (_, _, b2)] = p.taps;
        for i1 in 0..n1 {
            let mut a = t.a.add(i1 * a1);
            let mut b = t.b.add(i1 * b1);
            for _ in 0..p.k {
                let taps: [__m512bh; SLIDE] =
                    std::array::from_fn(|tap| pairs(_mm512_loadu_si512(b.add(tap * b2).cast())));
                let load = |row: usize| pairs(_mm512_set1_epi32((*a.add(row * p.a_row)).0 as i32));
                let (mut x0, mut x1) = (load(0), load(1));
                for (r, sum) in acc.iter_mut().enumerate() {
                    let x2 = load(r + 2);
                    for (x, b) in [x0, x1, x2].into_iter().zip(taps) {
                        *sum = _mm512_dpbf16_ps(*sum, x, b);
                    }
                    (x0, x1) = (x1, x2);
                }
                a = a.wrapping_add(p.a_k);
                b = b.wrapping_add(p.b_k);
            }
        }
        for (r, sum) in acc.iter_mut().enumerate() {
            let c = t.c.add(r * p.c_row);
            if let TileStart::C = t.start {
                *sum = _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(columns, c));
            }
            if p.n == 16 {
                _mm512_storeu_ps(c, *sum);
            } else {
                _mm512_mask_storeu_ps(c, columns, *sum);
            }
        }
    }
}

/// Asks for the line of a result that will be added to: without this, every tile would begin or end by
/// waiting for main memory.
#[inline]
#[target_feature(enable = "avx512f")]
fn await_line(c: *const f32) {
    _mm_prefetch::<_MM_HINT_T0>(c.cast::<i8>());
}

/// The same bits as pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(x: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(x) }
}
