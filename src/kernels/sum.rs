//! Sums in a fixed order, whatever the number of threads.

use crate::kernels::par::{Pool, for_chunks};

/// Below this many additions a sum is done by the caller alone: a wake-up costs more.
const SERIAL: usize = 1 << 15;

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
