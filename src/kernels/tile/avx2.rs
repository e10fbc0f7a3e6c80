//! AVX2 with FMA: 16 registers of 8 numbers.

use std::arch::x86_64::*;

use super::{Tile, TileSet, TileStart, dispatch};

pub(super) static SET: TileSet = TileSet { lanes: 8, most_vectors: 2, rows: &[10, 6], run };

/// # Safety
/// The machine has AVX2 and FMA, and all that the tile reads and writes is valid memory.
unsafe fn run(rows: usize, vectors: usize, t: &Tile) {
    // SAFETY: passed on from the caller.
    unsafe {
        dispatch!(rows, vectors, t;
            1: [1 2 3 4 5 6 7 8 9 10],
            2: [1 2 3 4 5 6])
    }
}

/// The first `n` of eight lanes.
#[target_feature(enable = "avx2")]
fn lanes(n: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// # Safety
/// As `run`; the tile has MR rows and at most NV vectors, of which only the last may be partial.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns` (masked in the last vector), k and taps below their counts.
    unsafe {
        let last = lanes(t.columns - (NV - 1) * 8);
        let whole = t.columns == NV * 8;
        let load = |v: usize, p: *const f32| {
            if v + 1 < NV || whole { _mm256_loadu_ps(p) } else { _mm256_maskload_ps(p, last) }
        };
        let mut acc = [[_mm256_setzero_ps(); NV]; MR];
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, a) in row.iter_mut().enumerate() {
                match t.start {
                    TileStart::Zero => {}
                    TileStart::Bias(bias) => *a = load(v, bias.add(v * 8)),
                    TileStart::C => *a = load(v, t.c.add(r * t.c_row + v * 8)),
                }
            }
        }
        let [(n1, a1, b1), (n2, a2, b2)] = t.taps;
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let mut a = t.a.add(i1 * a1 + i2 * a2);
                let mut b = t.b.add(i1 * b1 + i2 * b2);
                for _ in 0..t.k {
                    let mut bv = [_mm256_setzero_ps(); NV];
                    for (v, x) in bv.iter_mut().enumerate() {
                        *x = load(v, b.add(v * 8));
                    }
                    for (r, row) in acc.iter_mut().enumerate() {
                        let x = _mm256_set1_ps(*a.add(r * t.a_row));
                        for (sum, b) in row.iter_mut().zip(&bv) {
                            *sum = _mm256_fmadd_ps(x, *b, *sum);
                        }
                    }
                    a = a.wrapping_add(t.a_k);
                    b = b.wrapping_add(t.b_k);
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                let p = t.c.add(r * t.c_row + v * 8);
                if v + 1 < NV || whole {
                    _mm256_storeu_ps(p, *sum);
                } else {
                    _mm256_maskstore_ps(p, last, *sum);
                }
            }
        }
    }
}
