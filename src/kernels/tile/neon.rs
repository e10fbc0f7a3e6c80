//! NEON: 32 registers of 4 numbers, on every AArch64.

use std::arch::aarch64::*;

use super::{Tile, TileSet, TileStart};

const LANES: usize = 4;

pub(super) static SET: TileSet =
    TileSet { lanes: LANES, tiles: &sets!(1: fourteen, 2: ten, 3: nine, 4: six) };

/// # Safety
/// All that the tile reads and writes is valid memory; the tile has MR rows and at most NV vectors,
/// of which only the last may be partial.
#[target_feature(enable = "neon")]
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns`, k and taps below their counts.
    unsafe {
        let last = t.columns - (NV - 1) * LANES;
        let load = |v: usize, p: *const f32| {
            let p = p.add(v * LANES);
            if v + 1 < NV || last == LANES {
                return vld1q_f32(p);
            }
            let mut lanes = [0.0f32; LANES];
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), last);
            vld1q_f32(lanes.as_ptr())
        };
        let multiply_add = |a, b, sum| vfmaq_f32(sum, a, b);
        let zero = || vdupq_n_f32(0.0);
        let (count, a_step, b_step, c_step) = t.batch;
        for i in 0..count {
            let (a, b, c) = (t.a.wrapping_add(i * a_step), t.b.add(i * b_step), t.c.add(i * c_step));
            let mut acc = [[vdupq_n_f32(0.0); NV]; MR];
            for (r, row) in acc.iter_mut().enumerate() {
                for (v, a) in row.iter_mut().enumerate() {
                    match t.start {
                        TileStart::Zero => {}
                        TileStart::Bias(bias) => *a = load(v, bias),
                        TileStart::C => *a = load(v, c.add(r * t.c_row)),
                    }
                }
            }
            add_products!(t, a, b, acc, load, zero, vdupq_n_f32, multiply_add);
            for (r, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    let p = c.add(r * t.c_row + v * LANES);
                    if v + 1 < NV || last == LANES {
                        vst1q_f32(p, *sum);
                    } else {
                        let mut lanes = [0.0f32; LANES];
                        vst1q_f32(lanes.as_mut_ptr(), *sum);
                        std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, last);
                    }
                }
            }
        }
    }
}
