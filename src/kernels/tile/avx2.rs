//! AVX2 with FMA: 16 registers of 8 numbers.

use std::arch::x86_64::*;

use super::{Tile, TileSet, TileStart};

pub(super) static SET: TileSet = TileSet { lanes: 8, tiles: &sets!(1: ten, 2: six) };

/// The first `n` of eight lanes.
#[target_feature(enable = "avx2")]
fn lanes(n: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// # Safety
/// The machine has AVX2 and FMA, and all that the tile reads and writes is valid memory; the tile has
/// MR rows and at most NV vectors, of which only the last may be partial.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns` (masked in the last vector), k and taps below their counts.
    unsafe {
        let last = lanes(t.columns - (NV - 1) * 8);
        let whole = t.columns == NV * 8;
        let load = |v: usize, p: *const f32| {
            let p = p.add(v * 8);
            if v + 1 < NV || whole { _mm256_loadu_ps(p) } else { _mm256_maskload_ps(p, last) }
        };
        let (count, a_step, b_step, c_step) = t.batch;
        for i in 0..count {
            let (a, b, c) = (t.a.wrapping_add(i * a_step), t.b.add(i * b_step), t.c.add(i * c_step));
            let mut acc = [[_mm256_setzero_ps(); NV]; MR];
            for (r, row) in acc.iter_mut().enumerate() {
                for (v, a) in row.iter_mut().enumerate() {
                    match t.start {
                        TileStart::Zero => {}
                        TileStart::Bias(bias) => *a = load(v, bias),
                        TileStart::C => *a = load(v, c.add(r * t.c_row)),
                    }
                }
            }
            add_products!(t, a, b, acc, load, _mm256_setzero_ps, _mm256_set1_ps, _mm256_fmadd_ps);
            for (r, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    let p = c.add(r * t.c_row + v * 8);
                    if v + 1 < NV || whole {
                        _mm256_storeu_ps(p, *sum);
                    } else {
                        _mm256_maskstore_ps(p, last, *sum);
                    }
                }
            }
        }
    }
}
