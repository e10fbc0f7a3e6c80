//! Some rows of a matrix as columns: the operand that a product wants the other way round.

use crate::kernels::isa::{Isa, isa};

/// `out[d][i] = scale x[i][d]`: `count` rows of `x`, `row` numbers apart, become columns. Rows of `out` have
/// `lanes` numbers, of which those behind the last column are set to 0; there are as many as `out` holds.
///
/// # Panics
/// If `x` is shorter than that, or there are more rows than lanes.
pub fn turn(x: &[f32], row: usize, count: usize, scale: f32, out: &mut [f32], lanes: usize) {
    turn_with(isa(), x, row, count, scale, out, lanes);
}

fn turn_with(isa: Isa, x: &[f32], row: usize, count: usize, scale: f32, out: &mut [f32], lanes: usize) {
    let width = out.len() / lanes;
    if count == 0 || width == 0 {
        return out.fill(0.0);
    }
    assert!(count <= lanes && x.len() >= (count - 1) * row + width, "{count} rows of {width} are there");
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has the instructions, and x the rows, as asserted.
        Isa::Avx512 => unsafe { x86::turn(x, row, count, scale, out, lanes) },
        _ => {
            for (d, out) in out.chunks_exact_mut(lanes).enumerate() {
                let (filled, beyond) = out.split_at_mut(count);
                for (out, x) in filled.iter_mut().zip(x[d..].iter().step_by(row)) {
                    *out = scale * x;
                }
                beyond.fill(0.0);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512F; `x` holds `count` rows of `out.len() / lanes` numbers, `row` apart.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn turn(x: &[f32], row: usize, count: usize, scale: f32, out: &mut [f32], lanes: usize) {
        let width = out.len() / lanes;
        let factor = _mm512_set1_ps(scale);
        for first in (0..lanes).step_by(16) {
            let columns: __mmask16 = 0xFFFF >> (16 - (lanes - first).min(16));
            for d in (0..width).step_by(16) {
                let rows = (width - d).min(16);
                let wanted: __mmask16 = 0xFFFF >> (16 - rows);
                if rows == 16 && first + 16 <= count.min(lanes) {
                    // SAFETY: 16 whole rows of `x` from `first` on, and of `out` from d on, are there.
                    unsafe {
                        let from = x.as_ptr().add(first * row + d);
                        let block: [__m512; 16] = std::array::from_fn(|i| _mm512_loadu_ps(from.add(i * row)));
                        let to = out.as_mut_ptr().add(d * lanes + first);
                        for (i, vector) in transposed(block).into_iter().enumerate() {
                            _mm512_storeu_ps(to.add(i * lanes), _mm512_mul_ps(vector, factor));
                        }
                    }
                    continue;
                }
                let mut block = [_mm512_setzero_ps(); 16];
                for (i, vector) in block.iter_mut().enumerate().take(count.saturating_sub(first)) {
                    // SAFETY: row `first + i` is one of the `count`, of which `width` numbers are there.
                    *vector = unsafe { _mm512_maskz_loadu_ps(wanted, x.as_ptr().add((first + i) * row + d)) };
                }
                for (i, vector) in transposed(block).into_iter().enumerate().take(rows) {
                    let product = _mm512_mul_ps(vector, factor);
                    // SAFETY: row `d + i` of `out` is there, and the mask ends with its last lane.
                    unsafe {
                        let target = out.as_mut_ptr().add((d + i) * lanes + first);
                        _mm512_mask_storeu_ps(target, columns, product);
                    }
                }
            }
        }
    }

    /// Rows as columns: pairs of numbers, pairs of pairs, then quarters of a vector, twice.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(x: [__m512; 16]) -> [__m512; 16] {
        let mut pairs = x;
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
        }
        let double = |x: __m512| _mm512_castps_pd(x);
        let mut fours = pairs;
        for i in (0..16).step_by(4) {
            for j in 0..2 {
                let (a, b) = (double(pairs[i + j]), double(pairs[i + j + 2]));
                fours[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        // Now quarter q of `fours[4 g + j]` is column 4 q + j of rows 4 g to 4 g + 3.
        let mut columns = x;
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            let (low, high) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
            let (low2, high2) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
            columns[j] = _mm512_shuffle_f32x4::<0x88>(low, low2);
            columns[8 + j] = _mm512_shuffle_f32x4::<0xDD>(low, low2);
            columns[4 + j] = _mm512_shuffle_f32x4::<0x88>(high, high2);
            columns[12 + j] = _mm512_shuffle_f32x4::<0xDD>(high, high2);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_on_every_instruction_set() {
        for (width, count, lanes, row) in [
            (16, 16, 16, 16),
            (1, 1, 16, 3),
            (17, 15, 16, 40),
            (33, 20, 32, 33),
            (5, 64, 64, 9),
            (40, 3, 19, 50),
        ] {
            let x: Vec<f32> = (0..(count - 1) * row + width).map(|i| i as f32).collect();
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                let mut out = vec![f32::NAN; width * lanes];
                turn_with(isa, &x, row, count, 0.5, &mut out, lanes);
                for (i, v) in out.iter().enumerate() {
                    let (d, i) = (i / lanes, i % lanes);
                    let expected = if i < count { 0.5 * x[i * row + d] } else { 0.0 };
                    assert_eq!(*v, expected, "{isa:?}: {width} x {count}: column {i}, row {d}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "are there")]
    fn rows_that_are_not_there_are_refused() {
        turn(&[0.0; 10], 4, 3, 1.0, &mut [0.0; 48], 16);
    }
}
