//! AVX-512: 32 registers of 16 numbers.

use std::arch::x86_64::*;

use super::{Tile, TileSet, TileStart};

pub(super) static SET: TileSet =
    TileSet { lanes: 16, tiles: &sets!(1: twenty_eight, 2: fourteen, 3: nine, 4: six) };

/// # Safety
/// The machine has AVX-512F, and all that the tile reads and writes is valid memory; the tile has MR
/// rows and at most NV vectors, of which only the last may be partial.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns` (masked in the last vector), k and taps below their counts.
    unsafe {
        let last: __mmask16 = 0xFFFF >> (NV * 16 - t.columns);
        let load = |v: usize, p: *const f32| {
            let mask = if v + 1 == NV { last } else { 0xFFFF };
            _mm512_maskz_loadu_ps(mask, p.add(v * 16))
        };
        let whole = t.columns == NV * 16;
        let (count, a_step, b_step, c_step) = t.batch;
        for i in 0..count {
            let (a, b, c) = (t.a.wrapping_add(i * a_step), t.b.add(i * b_step), t.c.add(i * c_step));
            let mut acc = [[_mm512_setzero_ps(); NV]; MR];
            for (r, row) in acc.iter_mut().enumerate() {
                for (v, a) in row.iter_mut().enumerate() {
                    match t.start {
                        TileStart::Zero => {}
                        TileStart::Bias(bias) => *a = load(v, bias),
                        TileStart::C => *a = load(v, c.add(r * t.c_row)),
                    }
                }
            }
            add_products!(t, a, b, acc, load, _mm512_setzero_ps, _mm512_set1_ps, _mm512_fmadd_ps);
            for (r, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    let p = c.add(r * t.c_row + v * 16);
                    if v + 1 < NV || whole {
                        _mm512_storeu_ps(p, *sum);
                    } else {
                        _mm512_mask_storeu_ps(p, last, *sum);
                    }
                }
            }
        }
    }
}
