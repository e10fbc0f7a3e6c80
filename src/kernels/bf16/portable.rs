//! The definition in plain Rust: what stands in where the instructions are not, and what they are
//! tested against. It is slower than f32, so a config is refused there instead.

use super::Pair;
use super::product::{Tile, TileStart};

pub fn along(x: &[f32], out: &mut [Pair]) {
    for (out, x) in out.iter_mut().zip(x.chunks(2)) {
        *out = Pair::new(x[0], x.get(1).copied().unwrap_or(0.0));
    }
}

pub fn across(a: &[f32], b: &[f32], out: &mut [Pair]) {
    for (i, (out, a)) in out.iter_mut().zip(a).enumerate() {
        *out = Pair::new(*a, b.get(i).copied().unwrap_or(0.0));
    }
}

/// Numbers below the normal range are zero.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// `sum + a * b` for both numbers of a pair, the second first, each step fused and rounded.
fn dot(sum: f32, a: Pair, b: Pair) -> f32 {
    let sum = flushed(a.second().mul_add(b.second(), flushed(sum)));
    flushed(a.first().mul_add(b.first(), sum))
}

/// # Safety
/// All that the tile reads and writes is valid memory.
pub unsafe fn run(rows: usize, _vectors: usize, t: &Tile) {
    let p = t.product;
    let [(n1, a1, b1), (n2, a2, b2)] = p.taps;
    for r in 0..rows {
        for j in 0..p.n {
            // SAFETY: every access is to an element that the caller vouches for: rows and columns
            // below the tile's, k and taps below their counts.
            unsafe {
                let c = t.c.add(r * p.c_row + j);
                let mut sum = match t.start {
                    TileStart::Zero | TileStart::C => 0.0,
                    TileStart::Bias(bias) => *bias.add(j),
                };
                for (i1, i2) in (0..n1).flat_map(|i1| (0..n2).map(move |i2| (i1, i2))) {
                    for k in 0..p.k {
                        let a = *t.a.add(i1 * a1 + i2 * a2 + r * p.a_row + k * p.a_k);
                        let b = *t.b.add(i1 * b1 + i2 * b2 + k * p.b_k + j);
                        sum = dot(sum, a, b);
                    }
                }
                *c = match t.start {
                    TileStart::C => sum + *c,
                    _ => sum,
                };
            }
        }
    }
}
