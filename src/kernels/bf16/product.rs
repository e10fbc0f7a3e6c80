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

/// What is added to the sums: before their first term, but C behind their last, so that it may take its time
/// to come from memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that bfloat16 cannot hold, of both signs.
    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn pairs(len: usize, seed: usize) -> Vec<Pair> {
        numbers(2 * len, seed).chunks(2).map(|x| Pair::new(x[0], x[1])).collect()
    }

    /// Sums in f64, and what rounding of each addition may make of them.
    fn twin(p: &Product, a: &[Pair], b: &[Pair], start: &dyn Fn(usize, usize) -> f32) -> Vec<(f64, f64)> {
        let at = |i: usize, j: usize| {
            let first = f64::from(start(i, j));
            let (mut sum, mut size, mut count) = (first, first.abs(), 2.0);
            for t1 in 0..p.taps[0].0 {
                for t2 in 0..p.taps[1].0 {
                    for k in 0..p.k {
                        let x = a[t1 * p.taps[0].1 + t2 * p.taps[1].1 + i * p.a_row + k * p.a_k];
                        let y = b[t1 * p.taps[0].2 + t2 * p.taps[1].2 + k * p.b_k + j];
                        for (x, y) in [(x.first(), y.first()), (x.second(), y.second())] {
                            let product = f64::from(x) * f64::from(y);
                            (sum, size, count) = (sum + product, size + product.abs(), count + 1.0);
                        }
                    }
                }
            }
            (sum, size * count * f64::from(f32::EPSILON))
        };
        (0..p.m).flat_map(|i| (0..p.n).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
    }

    /// Against the twin; and against the plain definition, bit for bit where the order is the same.
    fn check(p: &Product) {
        let (la, lb, lc) = p.extents();
        let (a, b, bias) = (pairs(la, 1), pairs(lb, 2), numbers(p.n, 3));
        let c = numbers(lc, 4);
        let begin = |start: &Start<'_>, i: usize, j: usize| match start {
            Start::Zero => 0.0,
            Start::Bias(bias) => bias[j],
            Start::Add => c[i * p.c_row + j],
        };
        for start in [Start::Zero, Start::Bias(&bias), Start::Add] {
            let mut out = c.clone();
            p.run(&a, &b, &mut out, start);
            let expected = twin(p, &a, &b, &|i, j| begin(&start, i, j));
            for (i, row) in out.chunks(p.c_row).enumerate().take(p.m) {
                for (j, o) in row.iter().enumerate() {
                    match expected[i * p.n..][..p.n].get(j) {
                        Some((e, bound)) => {
                            assert!((f64::from(*o) - e).abs() <= *bound, "{p:?} {i} {j}: {o} for {e}")
                        }
                        None => assert_eq!(*o, c[i * p.c_row + j], "{p:?} leaves other columns alone"),
                    }
                }
            }
            if !(slides(p.taps[1].0, p.n) && p.taps[1].1 == p.a_row) {
                let mut plain = c.clone();
                let start = match start {
                    Start::Zero => TileStart::Zero,
                    Start::Bias(bias) => TileStart::Bias(bias.as_ptr()),
                    Start::Add => TileStart::C,
                };
                let (c, a, b) = (plain.as_mut_ptr(), a.as_ptr(), b.as_ptr());
                // SAFETY: operands have the lengths that `extents` gives.
                unsafe { portable::run(p.m, 0, &Tile { product: p, a, b, c, start }) };
                assert_eq!(out, plain, "{p:?} and its definition");
            }
        }
    }

    fn dense(m: usize, n: usize, k: usize) -> Product {
        Product { m, n, k, a_row: k + 1, a_k: 1, b_k: panel_width(n), c_row: n + 2, taps: ONE_TAP }
    }

    #[test]
    fn products_of_every_tile_and_tail_equal_the_definition() {
        for m in 1..=30 {
            for n in [1, 2, 15, 16, 17, 31, 32] {
                check(&dense(m, n, 5));
                check(&Product { a_row: 1, a_k: m, ..dense(m, n, 3) });
            }
        }
        check(&dense(3, 5, 0));
        check(&dense(7, 32, 1100));
    }

    #[test]
    fn taps_equal_the_definition_also_where_a_tile_slides_over_them() {
        for m in 1..=50 {
            for n in [1, 9, 16, 20] {
                let width = panel_width(n);
                let three = Product { taps: [(2, 200, 3 * 4 * width), (3, 6, 4 * width)], ..dense(m, n, 4) };
                check(&three);
                check(&Product { a_row: 6, ..three });
                check(&Product { a_row: 6, taps: [three.taps[0], (2, 6, 4 * width)], ..three });
                check(&Product { taps: [(0, 0, 0), three.taps[1]], a_row: 6, ..three });
            }
        }
    }

    #[test]
    fn what_is_not_finite_spreads_along_its_row_and_column_alone() {
        let p = dense(5, 20, 3);
        let (mut a, mut b) = (pairs(p.extents().0, 1), pairs(p.extents().1, 2));
        a[2 * p.a_row + 1] = Pair::new(f32::NAN, 1.0);
        b[p.b_k + 7] = Pair::new(1.0, f32::INFINITY);
        // Denormals count as zero.
        a[4 * p.a_row] = Pair::new(1e-39, -1e-40);
        let mut c = vec![0.0; p.extents().2];
        p.run(&a, &b, &mut c, Start::Zero);
        for (i, row) in c.chunks(p.c_row).enumerate() {
            for (j, v) in row[..p.n].iter().enumerate() {
                assert_eq!(v.is_finite(), i != 2 && j != 7, "row {i}, column {j}: {v}");
                assert_eq!(v.is_nan(), i == 2, "row {i}, column {j}: {v}");
            }
        }
    }

    /// Where the instructions are there, they are what runs, unless NNTRAIN_ISA says otherwise.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_instructions_are_taken_where_they_are() {
        use crate::kernels::isa::{Isa, isa};
        let there = isa() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        assert_eq!(hardware(), there);
        assert_eq!(crate::kernels::bf16::lacking().is_none(), there);
    }

    #[test]
    #[should_panic(expected = "operand too short")]
    fn short_operands_are_refused() {
        let p = dense(4, 4, 4);
        p.run(&[Pair::default(); 18], &[Pair::default(); 64], &mut [0.0; 22], Start::Zero);
    }
}
