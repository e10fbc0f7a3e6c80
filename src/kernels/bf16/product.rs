//! Sums of small matrix products of pairs: the form behind dense layers and convolutions.

#[cfg(target_arch = "x86_64")]
use super::hardware;
use super::{Pair, portable};
use crate::kernels::gemm::Start;

/// Columns of B that lie together: two vectors, as many as a tile takes.
pub const PANEL: usize = 32;

/// Numbers of a vector.
const LANES: usize = 16;

/// Most rows of a tile of one vector, and of two: enough sums to hide the latency of each, few
/// enough for the registers.
const MOST_ROWS: [usize; 2] = [16, 12];

/// The same, of one vector, where rows of A are neighbours and cost no address of their own.
const MOST_NEIGHBOURS: usize = 28;

/// Taps of a row that one sliding tile takes together, and its most rows.
pub(super) const SLIDE: usize = 3;
const MOST_SLIDING: usize = 24;

/// Whether a tile takes all taps of a kernel row together, given those of the row and the columns.
pub fn slides(taps: usize, columns: usize) -> bool {
    taps == SLIDE && columns <= LANES
}

/// Columns that a panel's storage has room for: whole vectors.
pub fn panel_width(columns: usize) -> usize {
    columns.min(PANEL).next_multiple_of(LANES)
}

/// `C[m x n] = start + sum over taps of A[m x k] * B[k x n]`, k counting pairs; n is at most
/// [`PANEL`]. Rows of B are whole vectors: what lies beyond column n is read, and has no effect.
/// Strides are in pairs, `c_row` in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Distance of two rows of A, and of two neighbours along k.
    pub a_row: usize,
    pub a_k: usize,
    /// Distance of two rows of B.
    pub b_k: usize,
    /// Distance of two rows of C.
    pub c_row: usize,
    /// Two nested loops over taps: count, stride in A, stride in B.
    pub taps: [(usize, usize, usize); 2],
}

/// One tap: a plain product.
pub const ONE_TAP: [(usize, usize, usize); 2] = [(1, 0, 0), (1, 0, 0)];

/// Some rows of a product. Pointers are to the tile's first element; it is read in place, for what is
/// copied just before it is used makes the processor wait.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub product: &'a Product,
    pub a: *const Pair,
    pub b: *const Pair,
    pub c: *mut f32,
    pub start: TileStart,
}

#[derive(Clone, Copy)]
pub(super) enum TileStart {
    Zero,
    Bias(*const f32),
    C,
}

impl Product {
    /// Pairs from the first to the last that the product reads of A and B, and numbers of C.
    fn extents(&self) -> (usize, usize, usize) {
        let reach = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
        let taps = |which: fn(&(usize, usize, usize)) -> usize| {
            self.taps.iter().fold(0, |sum: usize, t| sum.saturating_add(reach(t.0, which(t))))
        };
        let a = taps(|t| t.1).saturating_add(reach(self.m, self.a_row)) + reach(self.k, self.a_k) + 1;
        let b = taps(|t| t.2).saturating_add(reach(self.k, self.b_k)) + self.n.next_multiple_of(LANES);
        (a, b, reach(self.m, self.c_row) + self.n)
    }

    /// Computes the product on the calling thread.
    ///
    /// # Panics
    /// If it has more columns than a panel, or an operand is shorter than the strides reach.
    pub fn run(&self, a: &[Pair], b: &[Pair], c: &mut [f32], start: Start<'_>) {
        let need = self.extents().2;
        assert!(c.len() >= need, "result too short for {self:?}");
        // SAFETY: C is exclusively ours, and as long as the rows reach.
        unsafe { self.run_at(a, b, c.as_mut_ptr(), start) }
    }

    /// As [`Product::run`], for a C of which other columns belong to others.
    ///
    /// # Safety
    /// All rows of C, n numbers each, are valid and ours alone.
    pub unsafe fn run_at(&self, a: &[Pair], b: &[Pair], c: *mut f32, start: Start<'_>) {
        assert!(self.n <= PANEL, "{self:?} is wider than a panel");
        if self.m == 0 || self.n == 0 {
            return;
        }
        let (need_a, need_b, _) = self.extents();
        let sums = self.k > 0 && self.taps.iter().all(|t| t.0 > 0);
        assert!(!sums || (a.len() >= need_a && b.len() >= need_b), "operand too short for {self:?}");
        let start = match start {
            Start::Zero => TileStart::Zero,
            Start::Bias(bias) => TileStart::Bias(bias[..self.n].as_ptr()),
            Start::Add => TileStart::C,
        };
        let vectors = self.n.div_ceil(LANES);
        let sliding = slides(self.taps[1].0, self.n) && self.taps[1].1 == self.a_row;
        let most = if sliding {
            MOST_SLIDING
        } else if vectors == 1 && self.a_row == 1 {
            MOST_NEIGHBOURS
        } else {
            MOST_ROWS[vectors - 1]
        };
        let tiles = self.m.div_ceil(most);
        let (rows, longer) = (self.m / tiles, self.m % tiles);
        let mut row = 0;
        for t in 0..tiles {
            // Rows are dealt evenly: 32 rows are 16 + 16, not 28 and a thin rest.
            let rows = rows + usize::from(t < longer);
            let tile = Tile {
                product: self,
                a: a.as_ptr().wrapping_add(row * self.a_row),
                b: b.as_ptr(),
                c: c.wrapping_add(row * self.c_row),
                start,
            };
            // SAFETY: A and B are as long as the strides reach, C by the caller's promise.
            unsafe { run_tile(rows, vectors, sliding, &tile) };
            row += rows;
        }
    }
}

/// # Safety
/// All that the tile reads and writes is valid memory.
unsafe fn run_tile(rows: usize, vectors: usize, sliding: bool, tile: &Tile) {
    #[cfg(target_arch = "x86_64")]
    if hardware() {
        if sliding {
            // SAFETY: as below.
            return unsafe { super::x86::run_sliding(rows, tile) };
        }
        // SAFETY: the instructions are there; the rest is passed on from the caller.
        return unsafe { super::x86::run(rows, vectors, tile) };
    }
    // Without those instructions all tiles are of one kind.
    let _ = sliding;
    // SAFETY: passed on from the caller.
    unsafe { portable::run(rows, vectors, tile) }
}
