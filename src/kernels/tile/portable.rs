//! Plain Rust: NEON through the compiler on AArch64, and the fallback elsewhere.

use super::{Tile, TileSet, TileStart};

const LANES: usize = 8;

pub(super) static SET: TileSet = TileSet { lanes: LANES, tiles: &sets!(1: six, 2: four) };

/// Fused where the build's target has the instruction. Plain x86-64 has not, and there a call to
/// the C library's fma would be a hundred times slower: so its bits differ from the other sets'.
#[inline(always)]
pub fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn multiply_add_lanes(a: f32, b: [f32; LANES], mut c: [f32; LANES]) -> [f32; LANES] {
    c.iter_mut().zip(b).for_each(|(c, b)| *c = multiply_add(a, b, *c));
    c
}

fn zero() -> [f32; LANES] {
    [0.0; LANES]
}

/// # Safety
/// All that the tile reads and writes is valid memory; the tile has MR rows and at most NV vectors,
/// of which only the last may be partial.
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns`, k and taps below their counts.
    unsafe {
        let width = |v: usize| if v + 1 < NV { LANES } else { t.columns - (NV - 1) * LANES };
        let load = |v: usize, p: *const f32| {
            let mut lanes = [0.0f32; LANES];
            std::ptr::copy_nonoverlapping(p.add(v * LANES), lanes.as_mut_ptr(), width(v));
            lanes
        };
        let (count, a_step, b_step, c_step) = t.batch;
        for i in 0..count {
            let (a, b, c) = (t.a.wrapping_add(i * a_step), t.b.add(i * b_step), t.c.add(i * c_step));
            let mut acc = [[[0.0f32; LANES]; NV]; MR];
            for (r, row) in acc.iter_mut().enumerate() {
                for (v, a) in row.iter_mut().enumerate() {
                    match t.start {
                        TileStart::Zero => {}
                        TileStart::Bias(bias) => *a = load(v, bias),
                        TileStart::C => *a = load(v, c.add(r * t.c_row)),
                    }
                }
            }
            add_products!(t, a, b, acc, load, zero, std::convert::identity, multiply_add_lanes);
            for (r, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    let p = c.add(r * t.c_row + v * LANES);
                    std::ptr::copy_nonoverlapping(sum.as_ptr(), p, width(v));
                }
            }
        }
    }
}
