//! AVX-512: 32 registers of 16 numbers.

use std::arch::x86_64::*;

use super::{Tile, TileSet, TileStart, dispatch};

pub(super) static SET: TileSet = TileSet { lanes: 16, most_vectors: 4, rows: &[14, 12, 8, 6], run };

/// # Safety
/// The machine has AVX-512F, and all that the tile reads and writes is valid memory.
unsafe fn run(rows: usize, vectors: usize, t: &Tile) {
    // SAFETY: passed on from the caller.
    unsafe {
        dispatch!(rows, vectors, t;
            1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
            2: [1 2 3 4 5 6 7 8 9 10 11 12],
            3: [1 2 3 4 5 6 7 8],
            4: [1 2 3 4 5 6])
    }
}

/// # Safety
/// As `run`; the tile has MR rows and at most NV vectors, of which only the last may be partial.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns` (masked in the last vector), k and taps below their counts.
    unsafe {
        let last: __mmask16 = 0xFFFF >> (NV * 16 - t.columns);
        let mask = |v: usize| if v + 1 == NV { last } else { 0xFFFF };
        let mut acc = [[_mm512_setzero_ps(); NV]; MR];
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, a) in row.iter_mut().enumerate() {
                match t.start {
                    TileStart::Zero => {}
                    TileStart::Bias(bias) => *a = _mm512_maskz_loadu_ps(mask(v), bias.add(v * 16)),
                    TileStart::C => *a = _mm512_maskz_loadu_ps(mask(v), t.c.add(r * t.c_row + v * 16)),
                }
            }
        }
        let [(n1, a1, b1), (n2, a2, b2)] = t.taps;
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let mut a = t.a.add(i1 * a1 + i2 * a2);
                let mut b = t.b.add(i1 * b1 + i2 * b2);
                for _ in 0..t.k {
                    let mut bv = [_mm512_setzero_ps(); NV];
                    for (v, x) in bv.iter_mut().enumerate() {
                        *x = _mm512_maskz_loadu_ps(mask(v), b.add(v * 16));
                    }
                    for (r, row) in acc.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*a.add(r * t.a_row));
                        for (sum, b) in row.iter_mut().zip(&bv) {
                            *sum = _mm512_fmadd_ps(x, *b, *sum);
                        }
                    }
                    a = a.wrapping_add(t.a_k);
                    b = b.wrapping_add(t.b_k);
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                _mm512_mask_storeu_ps(t.c.add(r * t.c_row + v * 16), mask(v), *sum);
            }
        }
    }
}
