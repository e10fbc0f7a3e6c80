//! Sums in a fixed order, whatever the number of threads.

use crate::kernels::par::{Pool, for_chunks};

/// Below this many additions a sum is done by the caller alone: a wake-up costs more.
const SERIAL: usize = 1 << 15;

/// Numbers of a row that are summed side by side: a register of the widest, and in long rows four of
/// them, so that one addition need not wait for the one before.
const LANES: usize = 16;
const WIDE: usize = 4 * LANES;

/// Folds terms over rows of one length: each lane takes its numbers in order, what fills no lanes is
/// taken number by number, and lanes are joined in a fixed order. Inlined into a function with vector
/// instructions it uses them.
#[inline(always)]
fn fold<const N: usize>(
    rows: [&[f32]; N],
    start: f32,
    term: impl Fn([f32; N]) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let len = rows[0].len();
    let rows = rows.map(|row| &row[..len]);
    let whole = len / LANES * LANES;
    let rest = (whole..len).fold(start, |sum, i| join(sum, term(rows.map(|row| row[i]))));
    if whole == 0 {
        return rest;
    }
    let mut lanes = [start; LANES];
    let wide = len / WIDE * WIDE;
    if wide > 0 {
        let sums = fold_lanes::<N, WIDE>(rows.map(|row| &row[..wide]), [start; WIDE], &term, &join);
        for i in 0..LANES {
            let [a, b, c, d] = [0, 1, 2, 3].map(|part| sums[part * LANES + i]);
            lanes[i] = join(join(a, b), join(c, d));
        }
    }
    lanes = fold_lanes(rows.map(|row| &row[wide..whole]), lanes, &term, &join);
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    join(lanes[0], rest)
}

/// Folds rows, whose length is a multiple of L, lane by lane.
#[inline(always)]
fn fold_lanes<const N: usize, const L: usize>(
    rows: [&[f32]; N],
    mut lanes: [f32; L],
    term: &impl Fn([f32; N]) -> f32,
    join: &impl Fn(f32, f32) -> f32,
) -> [f32; L] {
    let chunks = rows.map(|row| &row.as_chunks::<L>().0[..rows[0].len() / L]);
    for chunk in 0..rows[0].len() / L {
        let parts = chunks.map(|chunks| &chunks[chunk]);
        for i in 0..L {
            lanes[i] = join(lanes[i], term(parts.map(|part| part[i])));
        }
    }
    lanes
}

/// Sum of a term over rows of one length.
#[inline(always)]
pub fn total<const N: usize>(rows: [&[f32]; N], term: impl Fn([f32; N]) -> f32) -> f32 {
    fold(rows, 0.0, term, |sum, term| sum + term)
}

/// The largest number of a row; NaN are passed over.
#[inline(always)]
pub fn largest(x: &[f32]) -> f32 {
    fold([x], f32::NEG_INFINITY, |[x]| x, |max, x| if x > max { x } else { max })
}

simd! {
    /// `out[j] += row[j]`
    fn add_row(out: &mut [f32], row: &[f32]) {
        for (o, r) in out.iter_mut().zip(row) {
            *o += r;
        }
    }
}

simd! {
    /// `out[j] = sum over rows of x[row][j]`, on the calling thread.
    pub fn rows(x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for row in x.chunks_exact(out.len()) {
            for (o, r) in out.iter_mut().zip(row) {
                *o += r;
            }
        }
    }
}

/// Column sums of `rows` x `out.len()`, rows in order: the gradient of a bias.
/// `add` adds to `out` instead of replacing it.
pub fn columns(pool: &Pool, x: &[f32], out: &mut [f32], add: bool) {
    let width = out.len();
    if width == 0 {
        return;
    }
    let chunk = if x.len() < SERIAL { width } else { width.div_ceil(pool.threads()).next_multiple_of(16) };
    for_chunks(pool, out, chunk, |c, out| {
        if !add {
            out.fill(0.0);
        }
        let from = c * chunk;
        for row in x.chunks_exact(width) {
            add_row(out, &row[from..from + out.len()]);
        }
    });
}

/// `out = sum of parts` (parts of `out.len()` numbers each), in the order of the parts.
pub fn parts(pool: &Pool, parts: &[f32], out: &mut [f32], add: bool) {
    let width = out.len();
    if width == 0 {
        return;
    }
    let chunk = if parts.len() < SERIAL { width } else { 4096 };
    for_chunks(pool, out, chunk, |c, out| {
        if !add {
            out.fill(0.0);
        }
        let from = c * chunk;
        for part in parts.chunks_exact(width) {
            add_row(out, &part[from..from + out.len()]);
        }
    });
}

/// Sum of squares and sum of absolute values in f64, in order.
pub fn norms(x: &[f32]) -> (f64, f64) {
    x.iter().fold((0.0, 0.0), |(squares, abs), v| {
        let v = f64::from(*v);
        (squares + v * v, abs + v.abs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_length_are_summed() {
        for len in 0..200 {
            let x: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1000) as f32 - 400.5).collect();
            let exact: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((f64::from(total([&x, &x], |[a, b]| a * b)) - exact).abs() <= 1e-6 * exact, "{len}");
            assert_eq!(largest(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
        assert_eq!(largest(&[1.0, f32::NAN, 3.0]), 3.0);
    }

    #[test]
    fn column_sums_have_the_same_bits_for_any_threads() {
        let x: Vec<f32> = (0..40_000).map(|i| ((i * 7919) % 1000) as f32 * 1e-3).collect();
        let mut expected = vec![0.0f32; 40];
        for row in x.chunks(40) {
            expected.iter_mut().zip(row).for_each(|(e, r)| *e += r);
        }
        for threads in [1, 2, 3] {
            let mut out = vec![1.0; 40];
            columns(&Pool::new(threads), &x, &mut out, false);
            assert_eq!(out, expected);
            parts(&Pool::new(threads), &x, &mut out, true);
            assert!(out.iter().zip(&expected).all(|(o, e)| (o - 2.0 * e).abs() < 1e-2));
        }
    }
}
