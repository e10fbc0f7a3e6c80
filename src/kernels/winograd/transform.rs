//! The linear maps before and after the products, one row of tiles at a time.
//!
//! Every function is compiled for each instruction set, over vectors of channels or filters; both
//! are multiples of the widest vector. Positions of a tile are numbered row by row, `6 * i + j`,
//! and lie `position` numbers apart.

use std::ops::Range;

use super::maps::{
    A, A2, B, B2, PATCH, TILE, gradient_map, image_at, image_at_0, image_at_infinity, image_map,
    kernel_gradient_map, kernel_map, output_map,
};
use crate::kernels::isa::Isa;
use crate::kernels::tile::{TileSet, tile_set_of};
use crate::kernels::vector::{Plain, Vector};

/// Positions of a tile.
pub(super) const POSITIONS: usize = PATCH * PATCH;

/// A multiple of every vector's lanes.
pub(super) const WIDEST: usize = 16;

/// Stands for a row outside of the image.
static ZEROS: [f32; WIDEST] = [0.0; WIDEST];

/// One row of an image as a transform reads it.
#[derive(Clone, Copy)]
pub(super) struct Line {
    at: *const f32,
    /// Numbers from pixel to pixel, and from channel to channel: 0 for a row of zeros.
    pixel: usize,
    channel: usize,
}

impl Line {
    /// A row that begins at the start of `row`; zeros if there is none.
    pub fn new(row: Option<&[f32]>, channels: usize) -> Line {
        match row {
            Some(row) => Line { at: row.as_ptr(), pixel: channels, channel: 1 },
            None => Line { at: ZEROS.as_ptr(), pixel: 0, channel: 0 },
        }
    }

    /// # Safety
    /// If `there`, the pixel lies in the row, and `V::LANES` channels from `channel` on in the pixel.
    #[inline(always)]
    unsafe fn load<V: Vector>(&self, pixel: usize, channel: usize, there: bool) -> V {
        let at = self.at.wrapping_add(pixel.wrapping_mul(self.pixel) + channel * self.channel);
        // SAFETY: the caller's promise; a row of zeros is read at its start alone.
        unsafe { V::load_if(at, there) }
    }
}

/// What a transform of inputs reads and writes.
pub(super) struct Inputs<'a> {
    /// The rows that the tiles span: six of an image, or four of an output's gradient.
    pub lines: &'a [Line],
    /// Pixels of a row.
    pub width: usize,
    /// Columns of zeros before the first pixel.
    pub before: usize,
    pub channels: usize,
    pub tiles: usize,
    /// `[36][tiles][channels]`.
    pub to: *mut f32,
    pub position: usize,
}

/// What the transform of products to outputs reads and writes.
pub(super) struct Outputs {
    /// `[36][tiles][filters]`.
    pub from: *const f32,
    pub position: usize,
    pub filters: usize,
    pub tiles: usize,
    /// The rows of outputs; null for one that is not wanted.
    pub rows: [*mut f32; TILE],
    /// Pixels of a row.
    pub width: usize,
    /// Null for no bias.
    pub bias: *const f32,
    /// Adds to what is there.
    pub add: bool,
}

/// The kernels of one instruction set.
pub(super) struct Kernels {
    pub tiles: &'static TileSet,
    pub image: unsafe fn(&Inputs<'_>),
    pub gradient: unsafe fn(&Inputs<'_>),
    pub outputs: unsafe fn(&Outputs),
    /// From 9 taps of `len` numbers each to 36 positions, a range of each.
    pub kernel: unsafe fn(*const f32, *mut f32, usize, Range<usize>),
    /// From 36 positions of `len` numbers each to the gradient of 9 taps.
    pub kernel_gradient: unsafe fn(*const f32, *mut f32, usize),
}

pub(super) fn kernels_of(isa: Isa) -> Kernels {
    macro_rules! compiled {
        ($vector:ty $(, $feature:literal)?) => {{
            $(#[target_feature(enable = $feature)])?
            unsafe fn image_row(s: &Inputs<'_>) {
                // SAFETY: the caller's promise.
                unsafe { image::<$vector>(s) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn gradient_row(s: &Inputs<'_>) {
                // SAFETY: the caller's promise.
                unsafe { gradient::<$vector>(s) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn outputs_row(s: &Outputs) {
                // SAFETY: the caller's promise.
                unsafe { outputs::<$vector>(s) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn all_taps(taps: *const f32, to: *mut f32, len: usize, range: Range<usize>) {
                // SAFETY: the caller's promise.
                unsafe { kernel::<$vector>(taps, to, len, range) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn all_positions(from: *const f32, taps: *mut f32, len: usize) {
                // SAFETY: the caller's promise.
                unsafe { kernel_gradient::<$vector>(from, taps, len) }
            }
            Kernels {
                tiles: tile_set_of(isa),
                image: image_row,
                gradient: gradient_row,
                outputs: outputs_row,
                kernel: all_taps,
                kernel_gradient: all_positions,
            }
        }};
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => compiled!(std::arch::x86_64::__m512, "avx512f"),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => compiled!(std::arch::x86_64::__m256, "avx2,fma"),
        _ => compiled!(Plain),
    }
}

/// `B^T d B` of every 6 x 6 patch d, four columns apart. Two or three columns of positions at a time,
/// because all would not fit in the registers.
///
/// # Safety
/// Lines, channels and tiles are as `Inputs` says, and the machine has the instructions.
#[inline(always)]
unsafe fn image<V: Vector>(s: &Inputs<'_>) {
    // SAFETY: pixels of the row or none, whole vectors of channels, tiles below their number.
    unsafe {
        let lines: [Line; PATCH] = [s.lines[0], s.lines[1], s.lines[2], s.lines[3], s.lines[4], s.lines[5]];
        for c in (0..s.channels).step_by(V::LANES) {
            for tile in 0..s.tiles {
                let first = (TILE * tile).wrapping_sub(s.before);
                let there: [bool; PATCH] = std::array::from_fn(|j| first.wrapping_add(j) < s.width);
                let to = s.to.add(tile * s.channels + c);
                macro_rules! load {
                    ($line:ident, $j:literal) => {
                        $line.load::<V>(first.wrapping_add($j), c, there[$j])
                    };
                }
                let (mut outer, mut last) = ([V::splat(0.0); PATCH], [V::splat(0.0); PATCH]);
                for i in 0..PATCH {
                    let line = &lines[i];
                    outer[i] = image_at_0(load!(line, 0), load!(line, 2), load!(line, 4));
                    last[i] = image_at_infinity(load!(line, 1), load!(line, 3), load!(line, 5));
                }
                store_column(image_map(outer), to, s.position);
                store_column(image_map(last), to.add(5 * s.position), s.position);
                for (j, point, other) in [(1, A, B2), (3, B, A2)] {
                    let (mut plus, mut minus) = ([V::splat(0.0); PATCH], [V::splat(0.0); PATCH]);
                    for i in 0..PATCH {
                        let line = &lines[i];
                        let inner = [load!(line, 1), load!(line, 2), load!(line, 3), load!(line, 4)];
                        (plus[i], minus[i]) = image_at(point, other, inner);
                    }
                    store_column(image_map(plus), to.add(j * s.position), s.position);
                    store_column(image_map(minus), to.add((j + 1) * s.position), s.position);
                }
            }
        }
    }
}

/// `A d A^T` of every 4 x 4 patch d.
///
/// # Safety
/// As for [`image`].
#[inline(always)]
unsafe fn gradient<V: Vector>(s: &Inputs<'_>) {
    // SAFETY: as in `image`.
    unsafe {
        let lines: [Line; TILE] = [s.lines[0], s.lines[1], s.lines[2], s.lines[3]];
        for c in (0..s.channels).step_by(V::LANES) {
            for tile in 0..s.tiles {
                let first = TILE * tile;
                let there: [bool; TILE] = std::array::from_fn(|j| first + j < s.width);
                let to = s.to.add(tile * s.channels + c);
                let mut rows = [[V::splat(0.0); PATCH]; TILE];
                for (row, line) in rows.iter_mut().zip(&lines) {
                    let d0 = line.load::<V>(first, c, there[0]);
                    let d1 = line.load::<V>(first + 1, c, there[1]);
                    let d2 = line.load::<V>(first + 2, c, there[2]);
                    let d3 = line.load::<V>(first + 3, c, there[3]);
                    *row = gradient_map([d0, d1, d2, d3]);
                }
                let [d0, d1, d2, d3] = rows;
                for j in 0..PATCH {
                    let column = gradient_map([d0[j], d1[j], d2[j], d3[j]]);
                    store_column(column, to.add(j * s.position), s.position);
                }
            }
        }
    }
}

/// `A^T m A` of every 6 x 6 patch m of products, and the bias or what was there.
///
/// # Safety
/// As for [`image`]; the rows are `width` pixels long.
#[inline(always)]
unsafe fn outputs<V: Vector>(s: &Outputs) {
    // SAFETY: as in `image`.
    unsafe {
        for f in (0..s.filters).step_by(V::LANES) {
            let bias = if s.bias.is_null() { V::splat(0.0) } else { V::load(s.bias.add(f)) };
            for tile in 0..s.tiles {
                let from = s.from.add(tile * s.filters + f);
                let mut columns = [[V::splat(0.0); TILE]; PATCH];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = output_map(load_column(from.add(j * s.position), s.position));
                }
                let wanted = (s.width - TILE * tile).min(TILE);
                for i in 0..TILE {
                    if s.rows[i].is_null() {
                        continue;
                    }
                    let [m0, m1, m2, m3, m4, m5] = columns;
                    let y = output_map([m0[i], m1[i], m2[i], m3[i], m4[i], m5[i]]);
                    for (j, y) in y.into_iter().enumerate() {
                        if j < wanted {
                            let to = s.rows[i].add((TILE * tile + j) * s.filters + f);
                            let start = if s.add { V::load(to) } else { bias };
                            y.plus(start).store(to);
                        }
                    }
                }
            }
        }
    }
}

/// `G w G^T` of every kernel w.
///
/// # Safety
/// `taps` has 9 and `to` 36 times `len` numbers, the range is whole vectors of them and nobody else's,
/// and the machine has the instructions.
#[inline(always)]
unsafe fn kernel<V: Vector>(taps: *const f32, to: *mut f32, len: usize, range: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe {
        for at in range.step_by(V::LANES) {
            let mut columns = [[V::splat(0.0); PATCH]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                let from = taps.add(j * len + at);
                *column = kernel_map([V::load(from), V::load(from.add(3 * len)), V::load(from.add(6 * len))]);
            }
            let [w0, w1, w2] = columns;
            for i in 0..PATCH {
                let row = kernel_map([w0[i], w1[i], w2[i]]);
                for (j, u) in row.into_iter().enumerate() {
                    u.store(to.add((PATCH * i + j) * len + at));
                }
            }
        }
    }
}

/// `G^T u G` of every kernel's gradient u.
///
/// # Safety
/// As for [`kernel`], with the range 0 to `len`.
#[inline(always)]
unsafe fn kernel_gradient<V: Vector>(from: *const f32, taps: *mut f32, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for at in (0..len).step_by(V::LANES) {
            let mut columns = [[V::splat(0.0); 3]; PATCH];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = kernel_gradient_map(load_column(from.add(j * len + at), len));
            }
            let [u0, u1, u2, u3, u4, u5] = columns;
            for i in 0..3 {
                let row = kernel_gradient_map([u0[i], u1[i], u2[i], u3[i], u4[i], u5[i]]);
                for (j, w) in row.into_iter().enumerate() {
                    w.store(taps.add((3 * i + j) * len + at));
                }
            }
        }
    }
}

/// Loads one column of positions, which are `position` numbers apart.
///
/// # Safety
/// All are readable, whole vectors, and the machine has the instructions; so for all below.
#[inline(always)]
unsafe fn load_column<V: Vector>(from: *const f32, position: usize) -> [V; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let step = PATCH * position;
        [
            V::load(from),
            V::load(from.add(step)),
            V::load(from.add(2 * step)),
            V::load(from.add(3 * step)),
            V::load(from.add(4 * step)),
            V::load(from.add(5 * step)),
        ]
    }
}

/// Stores one column of positions.
#[inline(always)]
unsafe fn store_column<V: Vector>(column: [V; PATCH], to: *mut f32, position: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for (i, v) in column.into_iter().enumerate() {
            v.store(to.add(PATCH * i * position));
        }
    }
}
