//! The three products of a dense layer.
//!
//! Both operands are rounded first, in working space: A to runs of pairs, B to panels of columns
//! ([`PANEL`]) whose pairs go down the rows.

use super::product::{ONE_TAP, PANEL, Product, panel_width};
use super::{Pair, across, along, pairs_of, transposed};
use crate::kernels::gemm::Start;
use crate::kernels::par::{Pool, Split};

/// Products of fewer multiplications are done by the caller alone.
const SERIAL: usize = 1 << 17;

/// Longest run of pairs along the sum that is done in one go: its slice of a panel stays in cache.
const BLOCK: usize = 1024;

/// A matrix of f32 numbers in rows of `columns`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub x: &'a [f32],
    pub columns: usize,
}

impl Matrix<'_> {
    fn rows(&self) -> usize {
        self.x.len() / self.columns
    }

    /// Some columns of row i; nothing below the last row.
    fn part(&self, i: usize, (from, width): (usize, usize)) -> &[f32] {
        if i < self.rows() { &self.x[i * self.columns + from..][..width] } else { &[] }
    }

    fn row(&self, i: usize) -> &[f32] {
        self.part(i, (0, self.columns))
    }
}

/// Where a product goes, what its sums begin with, and what is done with each finished piece.
pub struct Destination<'a> {
    pub c: &'a mut [f32],
    pub start: Start<'a>,
    pub finish: &'a (dyn Fn(&mut [f32]) + Sync),
}

/// Pairs of working space that a product of m x n with sums of k numbers needs.
pub fn scratch(m: usize, n: usize, k: usize) -> usize {
    pairs_of(k) * (m + n.next_multiple_of(16))
}

/// `A B`: outputs.
pub fn product(pool: &Pool, a: Matrix<'_>, b: Matrix<'_>, into: Destination<'_>, scratch: &mut [Pair]) {
    let packing = Packing {
        size: (a.rows(), b.columns, a.columns),
        a: &|i, out| along(a.row(i), out),
        a_by_row: true,
        b: &|panel, out| down(b, panel, out),
    };
    packing.run(pool, into, scratch);
}

/// `A B^T`: the gradient of the input.
pub fn product_transposed_b(
    pool: &Pool,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Destination<'_>,
    scratch: &mut [Pair],
) {
    let k = b.columns;
    let packing = Packing {
        size: (a.rows(), b.rows(), k),
        a: &|i, out| along(a.row(i), out),
        a_by_row: true,
        b: &|(from, width), out| transposed(&b.x[from * k..], (width, k, k), panel_width(width), out),
    };
    packing.run(pool, into, scratch);
}

/// `A^T B`: the gradient of the kernel.
pub fn product_transposed_a(
    pool: &Pool,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Destination<'_>,
    scratch: &mut [Pair],
) {
    let packing = Packing {
        size: (a.columns, b.columns, a.rows()),
        a: &|q, out| across(a.row(2 * q), a.row(2 * q + 1), out),
        a_by_row: false,
        b: &|panel, out| down(b, panel, out),
    };
    packing.run(pool, into, scratch);
}

/// A panel of B with its pairs down the rows.
fn down(b: Matrix<'_>, panel: (usize, usize), out: &mut [Pair]) {
    for (q, out) in out.chunks_exact_mut(panel_width(panel.1)).enumerate() {
        across(b.part(2 * q, panel), b.part(2 * q + 1, panel), out);
    }
}

/// Rounds a part of an operand.
type Round<'a, Which> = &'a (dyn Fn(Which, &mut [Pair]) + Sync);

/// A product of which operands are still to be rounded.
struct Packing<'a> {
    /// Rows and columns of C, numbers of a sum.
    size: (usize, usize, usize),
    /// Rounds run i of A: a row of it, or the pairs q of all rows.
    a: Round<'a, usize>,
    a_by_row: bool,
    /// Rounds a panel of B: first column and columns.
    b: Round<'a, (usize, usize)>,
}

impl Packing<'_> {
    fn run(&self, pool: &Pool, into: Destination<'_>, scratch: &mut [Pair]) {
        let (m, n, k) = self.size;
        let k = pairs_of(k);
        let small = m * n * self.size.2 < SERIAL;
        let run = |tasks: usize, f: &(dyn Fn(usize) + Sync)| {
            if small { (0..tasks).for_each(f) } else { pool.run(tasks, f) }
        };
        let (a, b) = scratch.split_at_mut(m * k);
        let (panels, b_len) = (n.div_ceil(PANEL), k * n.next_multiple_of(16));
        let columns = |panel: usize| (panel * PANEL, PANEL.min(n - panel * PANEL));
        let place = |panel: usize| (panel * PANEL * k, ((panel + 1) * PANEL * k).min(b_len));
        let (runs, run_len) = if self.a_by_row { (m, k) } else { (k, m) };
        let batch = runs.div_ceil(4 * pool.threads()).max(1);
        let batches = runs.div_ceil(batch);
        let (a_split, b_split) = (Split::new(&mut *a), Split::new(&mut *b));
        run(batches + panels, &|task| {
            if task < batches {
                for i in task * batch..((task + 1) * batch).min(runs) {
                    // SAFETY: each run belongs to one task.
                    (self.a)(i, unsafe { a_split.piece(i * run_len, (i + 1) * run_len) });
                }
            } else {
                let (from, to) = place(task - batches);
                // SAFETY: each panel belongs to one task.
                (self.b)(columns(task - batches), unsafe { b_split.piece(from, to) });
            }
        });
        let (a, b) = (&*a, &*b);
        let rows = if small || panels >= 2 * pool.threads() { m } else { rows_of(m, panels, pool.threads()) };
        let blocks = m.div_ceil(rows);
        let Destination { c, start, finish } = into;
        let c = Split::new(c);
        run(blocks * panels, &|task| {
            let (row, panel) = (task / panels * rows, task % panels);
            let (column, width) = columns(panel);
            let product = Product {
                m: rows.min(m - row),
                n: width,
                k,
                a_row: if self.a_by_row { k } else { 1 },
                a_k: if self.a_by_row { 1 } else { m },
                b_k: panel_width(width),
                c_row: n,
                taps: ONE_TAP,
            };
            let start = match start {
                Start::Bias(bias) => Start::Bias(&bias[column..]),
                other => other,
            };
            let (from, to) = place(panel);
            let first = row * n + column;
            // SAFETY: this block of C belongs to this task alone, and lies in C, as its pieces show.
            unsafe {
                product_in_blocks(product, &a[row * product.a_row..], &b[from..to], c.pointer(first), start);
                for row in 0..product.m {
                    finish(c.piece(first + row * n, first + row * n + width));
                }
            }
        });
    }
}

/// Rows of one task's block: about two tasks for each thread, whole tiles.
fn rows_of(m: usize, panels: usize, threads: usize) -> usize {
    if threads == 1 {
        return m;
    }
    m.div_ceil((2 * threads).div_ceil(panels)).next_multiple_of(12).min(m)
}

/// A product whose sums are long, part by part.
///
/// # Safety
/// The rows of C are valid and belong to the caller.
unsafe fn product_in_blocks(product: Product, a: &[Pair], b: &[Pair], c: *mut f32, start: Start<'_>) {
    let mut done = 0;
    loop {
        let k = BLOCK.min(product.k - done);
        let part = Product { k, ..product };
        let (a, b) = (&a[(done * product.a_k).min(a.len())..], &b[done * product.b_k..]);
        // SAFETY: passed on from the caller.
        unsafe { part.run_at(a, b, c, if done == 0 { start } else { Start::Add }) };
        done += k;
        if done == product.k {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::number::{Bf16, Number};

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    fn rounded(x: f32) -> f64 {
        f64::from(Bf16::nearest(x).get())
    }

    type Operation = fn(&Pool, Matrix<'_>, Matrix<'_>, Destination<'_>, &mut [Pair]);

    /// `a(i, l)` and `b(l, j)` say where the numbers of the sum for C's element (i, j) lie.
    fn check(
        operation: Operation,
        (m, n, k): (usize, usize, usize),
        (a_columns, a): (usize, &dyn Fn(usize, usize) -> usize),
        (b_columns, b): (usize, &dyn Fn(usize, usize) -> usize),
    ) {
        let (x, y, bias) = (numbers(m * k, 1), numbers(n * k, 2), numbers(n, 3));
        let before = numbers(m * n, 4);
        for start in [Start::Zero, Start::Bias(&bias), Start::Add] {
            let mut first: Option<Vec<f32>> = None;
            for threads in [1, 2, 5] {
                let mut c = before.clone();
                let destination = Destination {
                    c: &mut c,
                    start,
                    finish: &|piece| piece.iter_mut().for_each(|v| *v *= 2.0),
                };
                let mut scratch = vec![Pair::new(f32::NAN, f32::NAN); scratch(m, n, k)];
                let operands = (Matrix { x: &x, columns: a_columns }, Matrix { x: &y, columns: b_columns });
                operation(&Pool::new(threads), operands.0, operands.1, destination, &mut scratch);
                let same = first.get_or_insert_with(|| c.clone());
                assert_eq!(*same, c, "{m} x {n} x {k}: {threads} threads and 1");
            }
            for (at, ours) in first.expect("set above").iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let mut sum = f64::from(match start {
                    Start::Zero => 0.0,
                    Start::Bias(bias) => bias[j],
                    Start::Add => before[at],
                });
                let mut size = sum.abs();
                for l in 0..k {
                    let product = rounded(x[a(i, l)]) * rounded(y[b(l, j)]);
                    (sum, size) = (sum + product, size + product.abs());
                }
                assert!((f64::from(*ours) - 2.0 * sum).abs() < 4e-5 * size, "{ours} for {}", 2.0 * sum);
            }
        }
    }

    #[test]
    fn all_three_products_equal_the_definition_on_any_threads() {
        let sizes =
            [(1, 1, 1), (2, 3, 5), (32, 10, 33), (7, 40, 8), (33, 70, 129), (300, 33, 64), (5, 17, 4100)];
        for (m, n, k) in sizes {
            check(product, (m, n, k), (k, &|i, l| i * k + l), (n, &|l, j| l * n + j));
            check(product_transposed_b, (m, n, k), (k, &|i, l| i * k + l), (k, &|l, j| j * k + l));
            check(product_transposed_a, (m, n, k), (m, &|i, l| l * m + i), (n, &|l, j| l * n + j));
        }
    }
}
