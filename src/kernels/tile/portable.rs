//! Plain Rust: NEON through the compiler on AArch64, and the fallback elsewhere.

use super::{Tile, TileSet, TileStart, dispatch};

const LANES: usize = 8;

pub(super) static SET: TileSet = TileSet { lanes: LANES, most_vectors: 2, rows: &[6, 4], run };

/// # Safety
/// All that the tile reads and writes is valid memory.
unsafe fn run(rows: usize, vectors: usize, t: &Tile) {
    // SAFETY: passed on from the caller.
    unsafe {
        dispatch!(rows, vectors, t;
            1: [1 2 3 4 5 6],
            2: [1 2 3 4])
    }
}

/// Fused where the build's target has the instruction. Plain x86-64 has not, and there a call to
/// the C library's fma would be a hundred times slower: so its bits differ from the other sets'.
#[inline(always)]
pub fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

/// # Safety
/// As `run`; the tile has MR rows and at most NV vectors, of which only the last may be partial.
unsafe fn tile<const MR: usize, const NV: usize>(t: &Tile) {
    // SAFETY: every access is to an element that the caller vouches for: rows below MR, columns
    // below `columns`, k and taps below their counts.
    unsafe {
        let width = |v: usize| if v + 1 < NV { LANES } else { t.columns - (NV - 1) * LANES };
        let load = |v: usize, p: *const f32| {
            let mut lanes = [0.0f32; LANES];
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), width(v));
            lanes
        };
        let mut acc = [[[0.0f32; LANES]; NV]; MR];
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, a) in row.iter_mut().enumerate() {
                match t.start {
                    TileStart::Zero => {}
                    TileStart::Bias(bias) => *a = load(v, bias.add(v * LANES)),
                    TileStart::C => *a = load(v, t.c.add(r * t.c_row + v * LANES)),
                }
            }
        }
        let [(n1, a1, b1), (n2, a2, b2)] = t.taps;
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let mut a = t.a.add(i1 * a1 + i2 * a2);
                let mut b = t.b.add(i1 * b1 + i2 * b2);
                for _ in 0..t.k {
                    for v in 0..NV {
                        let bv = load(v, b.add(v * LANES));
                        for (r, row) in acc.iter_mut().enumerate() {
                            let x = *a.add(r * t.a_row);
                            for (sum, b) in row[v].iter_mut().zip(&bv) {
                                *sum = multiply_add(x, *b, *sum);
                            }
                        }
                    }
                    a = a.wrapping_add(t.a_k);
                    b = b.wrapping_add(t.b_k);
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                std::ptr::copy_nonoverlapping(sum.as_ptr(), t.c.add(r * t.c_row + v * LANES), width(v));
            }
        }
    }
}
