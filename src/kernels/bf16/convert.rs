//! From stored numbers to pairs of bfloat16.

#[cfg(target_arch = "x86_64")]
use super::hardware;
use super::{Pair, numbers, pairs_of, portable};
use crate::kernels::number::{Bf16, Number};

/// Neighbours of one row: `out[q] = (x[2q], x[2q + 1])`, with a zero where the row has no more.
///
/// # Panics
/// If `out` has another length than the row's pairs.
pub fn along<T: Operand>(x: &[T], out: &mut [Pair]) {
    assert_eq!(out.len(), pairs_of(x.len()), "pairs of a row");
    T::along(x, out);
}

/// Neighbours across two rows: `out[i] = (a[i], b[i])`, with zeros for b where it ends before a, and
/// zero pairs beyond a.
///
/// # Panics
/// If `b` is longer than `a`, or `a` than `out`.
pub fn across<T: Operand>(a: &[T], b: &[T], out: &mut [Pair]) {
    assert!(b.len() == a.len() || b.is_empty(), "rows of unequal length");
    let (out, rest) = out.split_at_mut(a.len());
    rest.fill(Pair::default());
    T::across(a, b, out);
}

/// Numbers that become pairs; lengths are those that [`along`] and [`across`] have checked.
pub trait Operand: Number {
    fn along(x: &[Self], out: &mut [Pair]);
    fn across(a: &[Self], b: &[Self], out: &mut [Pair]);
}

impl Operand for f32 {
    fn along(x: &[f32], out: &mut [Pair]) {
        #[cfg(target_arch = "x86_64")]
        if hardware() {
            // SAFETY: the instructions are there, and `out` is as long as the pairs of x.
            return unsafe { super::x86::along(x, out) };
        }
        portable::along(x, out);
    }

    fn across(a: &[f32], b: &[f32], out: &mut [Pair]) {
        #[cfg(target_arch = "x86_64")]
        if hardware() {
            // SAFETY: the instructions are there; b is empty or as long as a, and `out` is as long as a.
            return unsafe { super::x86::across(a, b, out) };
        }
        portable::across(a, b, out);
    }
}

impl Operand for Bf16 {
    fn along(x: &[Bf16], out: &mut [Pair]) {
        let (row, beyond) = numbers(out).split_at_mut(x.len());
        row.copy_from_slice(x);
        beyond.fill(Bf16::default());
    }

    fn across(a: &[Bf16], b: &[Bf16], out: &mut [Pair]) {
        match b.is_empty() {
            true => out.iter_mut().zip(a).for_each(|(out, a)| *out = Pair::of(*a, Bf16::default())),
            false => joined(a, b, out),
        }
    }
}

simd! {
    fn joined(a: &[Bf16], b: &[Bf16], out: &mut [Pair]) {
        out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = Pair::of(*a, *b));
    }
}

/// Neighbours along the rows of a matrix, transposed: of `rows` rows that lie `stride` apart,
/// `out[q][i] = (x[i][2q], x[i][2q + 1])` in rows of `width` pairs, zero pairs beyond row `rows`.
pub fn transposed(x: &[f32], (rows, columns, stride): (usize, usize, usize), width: usize, out: &mut [Pair]) {
    const BLOCK: usize = 16;
    assert!(rows <= width && out.len() == pairs_of(columns) * width, "a transposed panel");
    let mut block = [Pair::default(); BLOCK * BLOCK];
    for q0 in (0..pairs_of(columns)).step_by(BLOCK) {
        let pairs = BLOCK.min(pairs_of(columns) - q0);
        let numbers = 2 * q0..(2 * (q0 + pairs)).min(columns);
        for i0 in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - i0);
            for (i, block) in (i0..i0 + count).zip(block.chunks_exact_mut(BLOCK)) {
                along(&x[i * stride..][numbers.clone()], &mut block[..pairs]);
            }
            for q in 0..pairs {
                for (i, out) in out[(q0 + q) * width + i0..][..count].iter_mut().enumerate() {
                    *out = block[i * BLOCK + q];
                }
            }
        }
        for out in out[q0 * width..(q0 + pairs) * width].chunks_exact_mut(width) {
            out[rows..].fill(Pair::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of every kind: of all magnitudes, exact, halfway between two, not finite, denormal.
    fn numbers(len: usize) -> Vec<f32> {
        let kinds = [
            0.0,
            -0.0,
            1.0,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-39,
            -1e-45,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -f32::NAN,
            f32::from_bits(0x7F80_0001),
            f32::from_bits(0x3F80_7FFF),
            f32::from_bits(0xBF80_8001),
        ];
        let mixed = |i: usize| f32::from_bits((i as u32).wrapping_mul(0x9E37_79B9));
        (0..len).map(|i| if i % 3 == 0 { kinds[i / 3 % kinds.len()] } else { mixed(i) }).collect()
    }

    #[test]
    fn every_length_and_kind_of_number_is_rounded_as_defined() {
        for len in (0..70).chain([1000, 1001]) {
            let (a, b) = (numbers(len), numbers(len + 7)[7..].to_vec());
            let mut out = vec![Pair::new(9.0, 9.0); pairs_of(len)];
            along(&a, &mut out);
            let expected: Vec<Pair> =
                a.chunks(2).map(|c| Pair::new(c[0], c.get(1).copied().unwrap_or(0.0))).collect();
            assert_eq!(out, expected, "{len} along");
            for b in [&b[..], &[]] {
                let mut out = vec![Pair::new(9.0, 9.0); len + 3];
                across(&a, b, &mut out);
                let second = |i: usize| b.get(i).copied().unwrap_or(0.0);
                let expected: Vec<Pair> =
                    (0..len).map(|i| Pair::new(a[i], second(i))).chain([Pair::default(); 3]).collect();
                assert_eq!(out, expected, "{len} across {}", b.len());
            }
        }
    }

    #[test]
    fn what_is_stored_as_bfloat16_gives_the_same_pairs() {
        for len in (0..70).chain([1000, 1001]) {
            let (a, b) = (numbers(len), numbers(len + 7)[7..].to_vec());
            let [narrow_a, narrow_b] =
                [&a, &b].map(|x| x.iter().map(|v| Bf16::nearest(*v)).collect::<Vec<_>>());
            let mut out = [(); 2].map(|()| vec![Pair::new(9.0, 9.0); pairs_of(len)]);
            along(&a, &mut out[0]);
            along(&narrow_a, &mut out[1]);
            assert_eq!(out[1], out[0], "{len} along");
            for (b, narrow_b) in [(&b[..], &narrow_b[..]), (&[], &[])] {
                let mut out = [(); 2].map(|()| vec![Pair::new(9.0, 9.0); len + 3]);
                across(&a, b, &mut out[0]);
                across(&narrow_a, narrow_b, &mut out[1]);
                assert_eq!(out[1], out[0], "{len} across {}", b.len());
            }
        }
    }

    #[test]
    fn transposed_panels() {
        for (rows, columns, width) in [(1, 1, 16), (5, 3, 16), (16, 32, 16), (30, 41, 32), (32, 100, 32)] {
            let x = numbers(rows * columns);
            let mut out = vec![Pair::new(9.0, 9.0); pairs_of(columns) * width];
            transposed(&x, (rows, columns, columns), width, &mut out);
            for q in 0..pairs_of(columns) {
                for i in 0..width {
                    let at = |j: usize| if i < rows && j < columns { x[i * columns + j] } else { 0.0 };
                    assert_eq!(out[q * width + i], Pair::new(at(2 * q), at(2 * q + 1)), "{rows} {columns}");
                }
            }
        }
    }
}
