//! Register tiles: the innermost loops of matrix products and convolutions.
//!
//! A tile of MR rows and NV vectors of C is held in registers while all products are added to it,
//! in the order taps, then k. Every element of C is one chain of fused multiply-adds in that order,
//! whatever the tile's size and the vector's width: all sets with FMA give the same bits.

use crate::kernels::isa::{Isa, isa};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

pub(super) use portable::multiply_add;

/// What one tile computes: `C[r][j] (+)= sum over t1, t2, k of A[t1,t2][r][k] * B[t1,t2][k][j]`.
/// Strides are in numbers. Pointers are to the tile's first element.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub a: *const f32,
    pub b: *const f32,
    pub c: *mut f32,
    pub a_row: usize,
    pub a_k: usize,
    pub b_k: usize,
    pub c_row: usize,
    pub k: usize,
    /// Two nested loops over taps: count, stride in A, stride in B.
    pub taps: [(usize, usize, usize); 2],
    /// Columns of the tile, at most NV vectors.
    pub columns: usize,
    pub start: TileStart,
}

/// What the sums begin with.
#[derive(Clone, Copy)]
pub(super) enum TileStart {
    Zero,
    /// One value per column.
    Bias(*const f32),
    /// What C holds.
    C,
}

/// The tile kernels of an instruction set.
pub(super) struct TileSet {
    pub lanes: usize,
    /// Most vectors of a tile.
    pub most_vectors: usize,
    /// `rows[NV - 1]`: most rows of a tile with NV vectors.
    pub rows: &'static [usize],
    /// Computes a tile of `rows` x `vectors`; both within the limits above.
    pub run: unsafe fn(rows: usize, vectors: usize, tile: &Tile),
}

pub(super) fn tile_set() -> &'static TileSet {
    tile_set_of(isa())
}

pub(super) fn tile_set_of(isa: Isa) -> &'static TileSet {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &avx512::SET,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::SET,
        _ => &portable::SET,
    }
}

/// Calls `tile::<MR, NV>` for run-time rows and vectors.
macro_rules! dispatch {
    ($rows:expr, $vectors:expr, $tile:expr; $($nv:literal: [$($mr:literal)*]),*) => {
        match ($vectors, $rows) {
            $($( ($nv, $mr) => tile::<$mr, $nv>($tile), )*)*
            (v, r) => unreachable!("no tile of {r} rows and {v} vectors"),
        }
    };
}
pub(super) use dispatch;
