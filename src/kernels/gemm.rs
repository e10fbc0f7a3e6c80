//! Matrix products, plain and over taps.
//!
//! [`Product`] is the one form behind dense layers and convolutions: a sum of small matrix products
//! whose operands lie at regular distances in memory, so that no operand is ever copied or packed
//! (Georganas et al., High-Performance Deep Learning via a Single Building Block, 2019).

use crate::kernels::par::{Pool, Split};
use crate::kernels::tile::{Tile, TileSet, TileStart, tile_set};

/// `C[m x n] = start + sum over taps of A[m x k] * B[k x n]`; rows of B and C are contiguous.
/// All strides are in numbers.
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
    /// `[before, after]`: the first `before - t` rows have no part in inner tap t, and the last
    /// `after - t` none in tap t from the end; together at most two rows of any tap. A begins with
    /// what is there, and is as much shorter.
    pub edges: [usize; 2],
    /// So many products, and from one to the next the distance in A, B and C.
    pub batch: (usize, usize, usize, usize),
}

/// What the sums begin with.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    Zero,
    /// One value per column.
    Bias(&'a [f32]),
    /// What C holds: the product is added to it.
    Add,
}

impl<'a> Start<'a> {
    /// The same for the columns from `first` on.
    pub fn from_column(self, first: usize) -> Start<'a> {
        match self {
            Start::Bias(bias) => Start::Bias(&bias[first..]),
            other => other,
        }
    }
}

/// One tap: a plain product.
pub const ONE_TAP: [(usize, usize, usize); 2] = [(1, 0, 0), (1, 0, 0)];

/// One product.
pub const ONE: (usize, usize, usize, usize) = (1, 0, 0, 0);

/// Longest run along k that is done in one go: its slice of B stays in the first-level cache.
const K_BLOCK: usize = 128;

/// Products of fewer multiplications are done by the caller alone.
const SERIAL: usize = 1 << 17;

impl Product {
    /// `A[m x k] * B[k x n]`, all row-major and dense.
    pub fn dense(m: usize, n: usize, k: usize) -> Product {
        Product { m, n, k, a_row: k, a_k: 1, b_k: n, c_row: n, taps: ONE_TAP, edges: [0; 2], batch: ONE }
    }

    /// `A^T * B` with A stored as [k x m], row-major and dense.
    pub fn transposed_a(m: usize, n: usize, k: usize) -> Product {
        Product { a_row: 1, a_k: m, ..Product::dense(m, n, k) }
    }

    /// Numbers from the first to the last that the product reads of A and B and writes of C.
    fn extents(&self) -> (usize, usize, usize) {
        let taps = |which: fn(&(usize, usize, usize)) -> usize| {
            self.taps.iter().fold(0, |sum: usize, t| sum.saturating_add(reach_of(t.0, which(t))))
        };
        let missing = self.edges.map(|edge| edge.saturating_mul(self.taps[1].1));
        let a = (taps(|t| t.1) + reach_of(self.m, self.a_row) + reach_of(self.k, self.a_k) + 1)
            .saturating_sub(missing[0].saturating_add(missing[1]));
        let b = taps(|t| t.2) + reach_of(self.k, self.b_k) + self.n;
        let c = reach_of(self.m, self.c_row) + self.n;
        let (count, a_step, b_step, c_step) = self.batch;
        let all = |one: usize, step: usize| one.saturating_add(reach_of(count, step));
        (all(a, a_step), all(b, b_step), all(c, c_step))
    }

    /// Whether the tiles can leave out so many rows at the edges of an inner tap.
    pub fn leaves_out([before, after]: [usize; 2], taps: usize) -> bool {
        let rows = |t: usize| before.saturating_sub(t) + after.saturating_sub(taps - 1 - t);
        before.max(after) <= 2 && (0..taps).all(|t| rows(t) <= 2)
    }

    fn is_empty(&self) -> bool {
        self.m == 0 || self.n == 0 || self.batch.0 == 0
    }

    /// Computes the product on the calling thread.
    ///
    /// # Panics
    /// If an operand is shorter than the strides reach.
    pub fn run(&self, a: &[f32], b: &[f32], c: &mut [f32], start: Start<'_>) {
        self.run_with(tile_set(), a, b, c, start);
    }

    /// As [`Product::run`], with given tiles.
    pub(super) fn run_with(&self, set: &TileSet, a: &[f32], b: &[f32], c: &mut [f32], start: Start<'_>) {
        if self.is_empty() {
            return;
        }
        let (need_a, need_b, need_c) = self.extents();
        let sums = self.k > 0 && self.taps.iter().all(|t| t.0 > 0);
        assert!(!sums || (a.len() >= need_a && b.len() >= need_b), "operand too short for {self:?}");
        assert!(c.len() >= need_c, "result too short for {self:?}");
        assert!(Product::leaves_out(self.edges, self.taps[1].0), "edges too wide for {self:?}");
        if let Start::Bias(bias) = start {
            assert!(bias.len() >= self.n, "bias too short for {self:?}");
        }
        // SAFETY: the operands are as long as the strides reach, and C is exclusively ours.
        unsafe { self.run_columns(set, a, b, c.as_mut_ptr(), start, 0..self.n) }
    }

    /// # Safety
    /// The operands are as long as `extents` says; columns of C in the range are ours alone.
    unsafe fn run_columns(
        &self,
        set: &TileSet,
        a: &[f32],
        b: &[f32],
        c: *mut f32,
        start: Start<'_>,
        columns: std::ops::Range<usize>,
    ) {
        let panel = set.panel();
        let mut from = columns.start;
        while from < columns.end {
            let width = panel.min(columns.end - from);
            let plain = self.taps[0].0 * self.taps[1].0 == 1;
            let block = if plain { K_BLOCK } else { self.k.max(1) };
            let mut k0 = 0;
            loop {
                let k = block.min(self.k - k0);
                let start = if k0 > 0 { Start::Add } else { start };
                // SAFETY: the panel lies inside the operands, which the caller vouches for.
                unsafe { self.run_panel(set, a, b, c, start, from, width, k0, k) };
                k0 += k;
                if k0 >= self.k {
                    break;
                }
            }
            from += width;
        }
    }

    /// # Safety
    /// As `run_columns`; `from..from + width` is within n and one panel wide at most, `k0 + k`
    /// within k.
    #[allow(clippy::too_many_arguments)]
    unsafe fn run_panel(
        &self,
        set: &TileSet,
        a: &[f32],
        b: &[f32],
        c: *mut f32,
        start: Start<'_>,
        from: usize,
        width: usize,
        k0: usize,
        k: usize,
    ) {
        let tiles = set.tiles[width.div_ceil(set.lanes) - 1];
        let count = self.m.div_ceil(tiles.len());
        // Rows are dealt evenly: 11 rows are 6 + 5, not 6 and a thin rest.
        let (rows, longer) = (self.m / count, self.m % count);
        // SAFETY: offsets stay within the extents, which the caller vouches for.
        let mut tile = unsafe {
            Tile {
                a: a.as_ptr().wrapping_add(k0 * self.a_k).wrapping_sub(self.edges[0] * self.taps[1].1),
                b: b.as_ptr().add(k0 * self.b_k + from),
                c: c.add(from),
                a_row: self.a_row,
                a_k: self.a_k,
                b_k: self.b_k,
                c_row: self.c_row,
                k,
                taps: self.taps,
                edges: [0; 2],
                batch: self.batch,
                columns: width,
                start: match start {
                    Start::Zero => TileStart::Zero,
                    Start::Bias(bias) => TileStart::Bias(bias.as_ptr().add(from)),
                    Start::Add => TileStart::C,
                },
            }
        };
        for t in 0..count {
            let rows = rows + usize::from(t < longer);
            tile.edges[0] = if t == 0 { self.edges[0] } else { 0 };
            tile.edges[1] = if t + 1 == count { self.edges[1] } else { 0 };
            // SAFETY: the tile lies inside the operands, which the caller vouches for.
            unsafe { tiles[rows - 1](&tile) };
            tile.a = tile.a.wrapping_add(rows * self.a_row);
            tile.c = tile.c.wrapping_add(rows * self.c_row);
        }
    }

    /// Computes the product on the pool, cut in row and column blocks of C, and calls `finish` on
    /// every finished row block (whole rows of C are not guaranteed: it gets contiguous pieces).
    /// How it is cut depends on the number of threads and changes no bit of the result.
    pub fn run_on(
        &self,
        pool: &Pool,
        a: &[f32],
        b: &[f32],
        c: &mut [f32],
        start: Start<'_>,
        finish: &(dyn Fn(&mut [f32]) + Sync),
    ) {
        if self.is_empty() {
            return;
        }
        let work = self.m * self.n * self.k.max(1) * self.taps[0].0 * self.taps[1].0;
        let (rows, columns) = if work < SERIAL { (self.m, self.n) } else { self.cut(pool.threads()) };
        let (row_blocks, column_blocks) = (self.m.div_ceil(rows), self.n.div_ceil(columns));
        let c_row = self.c_row;
        let whole = Split::new(c);
        pool.run(row_blocks * column_blocks, |task| {
            let (row, column) = (task / column_blocks * rows, task % column_blocks * columns);
            let part = Product { m: rows.min(self.m - row), n: columns.min(self.n - column), ..*self };
            let first = row * c_row + column;
            let start = start.from_column(column);
            // SAFETY: the slice spans only elements between this block's first and last; of these
            // the tile kernels touch this block's own columns alone, through the raw pointer, and
            // `finish` gets each row's piece, so no two tasks meet in an element.
            unsafe { part.run_block(&a[row * self.a_row..], &b[column..], &whole, first, start, finish) };
        });
    }

    /// # Safety
    /// The block's elements of C belong to this call alone.
    unsafe fn run_block(
        &self,
        a: &[f32],
        b: &[f32],
        c: &Split<'_, f32>,
        first: usize,
        start: Start<'_>,
        finish: &(dyn Fn(&mut [f32]) + Sync),
    ) {
        let (need_a, need_b, _) = self.extents();
        assert!(self.k == 0 || (a.len() >= need_a && b.len() >= need_b), "operand too short for {self:?}");
        assert!(first + reach_of(self.m, self.c_row) + self.n <= c.len(), "result too short for {self:?}");
        assert!(self.edges == [0; 2] && self.batch.0 == 1, "{self:?} cannot be cut");
        // SAFETY: the rows lie inside C, as checked; the caller promises that they are ours.
        unsafe {
            let pointer = c.pointer(first);
            self.run_columns(tile_set(), a, b, pointer, start, 0..self.n);
            for row in 0..self.m {
                let at = first + row * self.c_row;
                finish(c.piece(at, at + self.n));
            }
        }
    }

    /// Rows and columns of one task: about two tasks per thread, whole tiles each.
    fn cut(&self, threads: usize) -> (usize, usize) {
        let set = tile_set();
        let panel = set.panel();
        if threads == 1 {
            return (self.m, self.n);
        }
        let panels = self.n.div_ceil(panel);
        let wanted = 2 * threads;
        if panels >= wanted {
            return (self.m, panels.div_ceil(wanted) * panel);
        }
        let columns = panel.min(self.n);
        let tile_rows = set.rows(columns);
        let rows = self.m.div_ceil(wanted.div_ceil(panels)).next_multiple_of(tile_rows);
        (rows.min(self.m), columns)
    }
}

/// Distance from the first to the last of some evenly spaced numbers.
fn reach_of(count: usize, stride: usize) -> usize {
    // Saturating: what overflows is longer than any slice, and refused.
    count.saturating_sub(1).saturating_mul(stride)
}

/// Leaves a finished piece as it is.
pub fn as_is(_: &mut [f32]) {}

/// `out[j][i] = x[i][j]` for `x` of `rows` x `columns`, on the pool.
pub fn transpose(pool: &Pool, x: &[f32], rows: usize, columns: usize, out: &mut [f32]) {
    const BLOCK: usize = 32;
    assert!(x.len() >= rows * columns && out.len() >= rows * columns, "a transpose of {rows} x {columns}");
    let out = &mut out[..rows * columns];
    let serial = rows * columns < SERIAL;
    let chunk = if serial { rows * columns } else { BLOCK * rows };
    crate::kernels::par::for_chunks(pool, out, chunk.max(1), |c, out| {
        let first = c * chunk / rows.max(1);
        let count = out.len() / rows.max(1);
        for i0 in (0..rows).step_by(BLOCK) {
            for j in 0..count {
                for i in i0..(i0 + BLOCK).min(rows) {
                    out[j * rows + i] = x[i * columns + first + j];
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::Isa;
    use crate::kernels::tile::tile_set_of;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// The definition, in f64.
    fn twin(p: &Product, a: &[f32], b: &[f32], c: &[f32], start: Start<'_>) -> Vec<f64> {
        let mut out: Vec<f64> = c.iter().map(|v| f64::from(*v)).collect();
        let (count, a_step, b_step, c_step) = p.batch;
        for (one, i) in (0..count).flat_map(|one| (0..p.m).map(move |i| (one, i))) {
            let (a, b, c) = (&a[one * a_step..], &b[one * b_step..], &c[one * c_step..]);
            for j in 0..p.n {
                let mut sum = match start {
                    Start::Zero => 0.0,
                    Start::Bias(bias) => f64::from(bias[j]),
                    Start::Add => f64::from(c[i * p.c_row + j]),
                };
                for t1 in 0..p.taps[0].0 {
                    for t2 in 0..p.taps[1].0 {
                        let (before, after) =
                            (p.edges[0].saturating_sub(t2), p.edges[1].saturating_sub(p.taps[1].0 - 1 - t2));
                        if i < before || i + after >= p.m {
                            continue;
                        }
                        for k in 0..p.k {
                            let at = t1 * p.taps[0].1 + t2 * p.taps[1].1 + i * p.a_row + k * p.a_k;
                            let x = a[at - p.edges[0] * p.taps[1].1];
                            let y = b[t1 * p.taps[0].2 + t2 * p.taps[1].2 + k * p.b_k + j];
                            sum += f64::from(x) * f64::from(y);
                        }
                    }
                }
                out[one * c_step + i * p.c_row + j] = sum;
            }
        }
        out
    }

    fn check(p: &Product) {
        let (la, lb, lc) = p.extents();
        let (a, b, c, bias) = (numbers(la, 1), numbers(lb, 2), numbers(lc, 3), numbers(p.n, 4));
        for start in [Start::Zero, Start::Bias(&bias), Start::Add] {
            let expected = twin(p, &a, &b, &c, start);
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                let mut out = c.clone();
                // SAFETY: operands have the lengths that `extents` gives.
                unsafe { p.run_columns(tile_set_of(isa), &a, &b, out.as_mut_ptr(), start, 0..p.n) };
                for (o, e) in out.iter().zip(&expected) {
                    let bound = 1e-6 * (p.k * p.taps[0].0 * p.taps[1].0 + 4) as f64;
                    assert!((f64::from(*o) - e).abs() < bound, "{p:?} {isa:?}: {o} for {e}");
                }
                let fused = isa != Isa::Portable || cfg!(target_arch = "aarch64");
                match &first {
                    Some(first) if fused => assert_eq!(first, &out, "{isa:?} gives other bits for {p:?}"),
                    _ if fused => first = Some(out),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn products_of_every_tile_and_tail_equal_the_twin_on_every_instruction_set() {
        for m in 1..=15 {
            for n in [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64, 65, 80] {
                check(&Product::dense(m, n, 5));
            }
        }
        check(&Product::dense(3, 5, 0));
        check(&Product::dense(7, 70, 1100));
        check(&Product::transposed_a(29, 37, 41));
    }

    #[test]
    fn taps_equal_the_twin() {
        let p = Product {
            m: 11,
            n: 21,
            k: 6,
            a_row: 4,
            a_k: 1,
            b_k: 21,
            c_row: 25,
            taps: [(3, 50, 126), (2, 9, 378)],
            edges: [0; 2],
            batch: ONE,
        };
        check(&p);
        check(&Product { a_row: 1, a_k: 8, taps: [(4, 100, 200), (1, 0, 0)], ..p });
    }

    #[test]
    fn batches_equal_the_twin() {
        for (m, n, k) in [(1, 16, 16), (16, 16, 16), (31, 40, 7), (5, 70, 600)] {
            let p = Product::dense(m, n, k);
            check(&Product { batch: (3, m * k + 5, k * n, m * n + 2), ..p });
            check(&Product { batch: (2, m * k, k * n, m * n), ..Product::transposed_a(m, n, k) });
        }
    }

    /// A row of a convolution at the edges of its image: neighbouring taps are one row apart.
    #[test]
    fn edges_equal_the_twin() {
        for m in [1, 2, 3, 7, 30, 61] {
            for (taps, edges) in
                [(1, [1, 1]), (2, [0, 1]), (3, [1, 1]), (3, [2, 2]), (3, [2, 0]), (5, [2, 2]), (5, [1, 2])]
            {
                for n in [5, 16, 70] {
                    let all = [(2, 400, 300), (taps, 6, 90)];
                    let p = Product { a_row: 6, taps: all, edges, ..Product::dense(m, n, 6) };
                    check(&Product { b_k: n, ..p });
                }
            }
        }
        assert!(!Product::leaves_out([3, 0], 3) && !Product::leaves_out([2, 2], 2));
    }

    #[test]
    fn cutting_for_threads_changes_no_bit() {
        for (m, n, k) in [(32, 128, 784), (128, 10, 300), (784, 130, 32), (70, 70, 70), (1, 1000, 200)] {
            let p = Product::dense(m, n, k);
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let mut expected = vec![0.0; m * n];
            p.run(&a, &b, &mut expected, Start::Bias(&bias));
            expected.iter_mut().for_each(|v| *v = v.max(0.0));
            for threads in [1, 2, 5] {
                let mut c = vec![f32::NAN; m * n];
                let relu = |piece: &mut [f32]| piece.iter_mut().for_each(|v| *v = v.max(0.0));
                p.run_on(&Pool::new(threads), &a, &b, &mut c, Start::Bias(&bias), &relu);
                assert_eq!(c, expected, "{m}x{n}x{k} on {threads} threads");
            }
        }
    }

    #[test]
    fn transposes() {
        for (rows, columns) in [(1, 1), (3, 70), (200, 900)] {
            let x = numbers(rows * columns, 1);
            let mut out = vec![0.0; rows * columns];
            transpose(&Pool::new(2), &x, rows, columns, &mut out);
            assert!((0..rows * columns).all(|i| out[i % columns * rows + i / columns] == x[i]));
        }
    }

    #[test]
    #[should_panic(expected = "operand too short")]
    fn short_operands_are_refused() {
        Product::dense(4, 4, 4).run(&[0.0; 15], &[0.0; 16], &mut [0.0; 16], Start::Zero);
    }
}
