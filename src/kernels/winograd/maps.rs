//! The maps of one row or column, and the points at which they evaluate polynomials.

use crate::kernels::vector::Vector;

/// Outputs of a tile, and inputs that they read, in one direction.
pub const TILE: usize = 4;
pub(super) const PATCH: usize = 6;

/// The points at which the polynomials are multiplied, besides 0 and infinity: plus and minus both.
/// Of the pairs tried these round least; the customary 1 and 2 lose twice as much. All products
/// below are exact in f32.
pub(super) const A: f32 = 0.625;
pub(super) const B: f32 = 1.5;
pub(super) const A2: f32 = A * A;
pub(super) const B2: f32 = B * B;

/// The product of one point's distances from all others.
const AT_0: f32 = A2 * B2;
const AT_A: f32 = 2.0 * A2 * (A2 - B2);
const AT_B: f32 = 2.0 * B2 * (B2 - A2);

/// `B^T d`.
///
/// # Safety
/// Of every map: the machine has the instructions of the vector.
#[inline(always)]
pub(super) unsafe fn image_map<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; PATCH]) -> [V; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let inner = [d1, d2, d3, d4];
        let (a, minus_a) = image_at(A, B2, inner);
        let (b, minus_b) = image_at(B, A2, inner);
        [image_at_0(d0, d2, d4), a, minus_a, b, minus_b, image_at_infinity(d1, d3, d5)]
    }
}

/// The first number of `B^T d`.
#[inline(always)]
pub(super) unsafe fn image_at_0<V: Vector>(d0: V, d2: V, d4: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { d0.times_plus(A2 * B2, d2.times_plus(-(A2 + B2), d4)) }
}

/// The last number of `B^T d`.
#[inline(always)]
pub(super) unsafe fn image_at_infinity<V: Vector>(d1: V, d3: V, d5: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { d1.times_plus(A2 * B2, d3.times_plus(-(A2 + B2), d5)) }
}

/// The numbers of `B^T d` at plus and minus a point, given the other's square.
#[inline(always)]
pub(super) unsafe fn image_at<V: Vector>(point: f32, other: f32, [d1, d2, d3, d4]: [V; 4]) -> (V, V) {
    // SAFETY: the caller's promise.
    unsafe {
        let (even, odd) = (d2.times_plus(-other, d4), d1.times_plus(-other, d3));
        (odd.times_plus(point, even), odd.times_plus(-point, even))
    }
}

/// `A^T m`.
#[inline(always)]
pub(super) unsafe fn output_map<V: Vector>([m0, m1, m2, m3, m4, m5]: [V; PATCH]) -> [V; TILE] {
    // SAFETY: the caller's promise.
    unsafe {
        let (even_a, odd_a) = (m1.plus(m2), m1.minus(m2));
        let (even_b, odd_b) = (m3.plus(m4), m3.minus(m4));
        [
            m0.plus(even_a).plus(even_b),
            odd_a.times_plus(A, odd_b.times(B)),
            even_a.times_plus(A2, even_b.times(B2)),
            odd_a.times_plus(A * A2, odd_b.times_plus(B * B2, m5)),
        ]
    }
}

/// `A d`.
#[inline(always)]
pub(super) unsafe fn gradient_map<V: Vector>([d0, d1, d2, d3]: [V; TILE]) -> [V; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let (even_a, odd_a) = (d2.times_plus(A2, d0), d3.times_plus(A2, d1));
        let (even_b, odd_b) = (d2.times_plus(B2, d0), d3.times_plus(B2, d1));
        [
            d0,
            odd_a.times_plus(A, even_a),
            odd_a.times_plus(-A, even_a),
            odd_b.times_plus(B, even_b),
            odd_b.times_plus(-B, even_b),
            d3,
        ]
    }
}

/// `G w`.
#[inline(always)]
pub(super) unsafe fn kernel_map<V: Vector>([w0, w1, w2]: [V; 3]) -> [V; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let even_a = w2.times_plus(A2, w0).times(1.0 / AT_A);
        let even_b = w2.times_plus(B2, w0).times(1.0 / AT_B);
        [
            w0.times(1.0 / AT_0),
            w1.times_plus(A / AT_A, even_a),
            w1.times_plus(-A / AT_A, even_a),
            w1.times_plus(B / AT_B, even_b),
            w1.times_plus(-B / AT_B, even_b),
            w2,
        ]
    }
}

/// `G^T u`.
#[inline(always)]
pub(super) unsafe fn kernel_gradient_map<V: Vector>([u0, u1, u2, u3, u4, u5]: [V; PATCH]) -> [V; 3] {
    // SAFETY: the caller's promise.
    unsafe {
        let (even_a, odd_a) = (u1.plus(u2), u1.minus(u2));
        let (even_b, odd_b) = (u3.plus(u4), u3.minus(u4));
        [
            u0.times_plus(1.0 / AT_0, even_a.times_plus(1.0 / AT_A, even_b.times(1.0 / AT_B))),
            odd_a.times_plus(A / AT_A, odd_b.times(B / AT_B)),
            even_a.times_plus(A2 / AT_A, even_b.times_plus(B2 / AT_B, u5)),
        ]
    }
}
