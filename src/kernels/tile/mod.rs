//! Register tiles: the innermost loops of matrix products and convolutions.
//!
//! A tile of MR rows and NV vectors of C is held in registers while all products are added to it,
//! in the order taps, then k. Every element of C is one chain of fused multiply-adds in that order,
//! whatever the tile's size and the vector's width: all sets with FMA give the same bits.

use crate::kernels::isa::{Isa, isa};

#[macro_use]
mod rows;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
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
    /// `[before, after]`: the first `before - t2` rows have no part in inner tap t2, and the last
    /// `after - t2` none in tap t2 from the end; together at most two rows of any tap.
    pub edges: [usize; 2],
    /// So many tiles, and from one to the next the distance in A, B and C.
    pub batch: (usize, usize, usize, usize),
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

/// Computes a tile of the size it is made for.
pub(super) type TileFn = unsafe fn(&Tile);

/// The tile kernels of an instruction set.
pub(super) struct TileSet {
    pub lanes: usize,
    /// `tiles[NV - 1][MR - 1]`: NV vectors, MR rows.
    pub tiles: &'static [&'static [TileFn]],
}

impl TileSet {
    /// Most columns of a tile.
    pub fn panel(&self) -> usize {
        self.tiles.len() * self.lanes
    }

    /// Most rows of a tile with this many columns.
    pub fn rows(&self, columns: usize) -> usize {
        self.tiles[columns.div_ceil(self.lanes) - 1].len()
    }
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
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &neon::SET,
        _ => &portable::SET,
    }
}
