//! GRU, gates z, r, g: `h' = z h + (1 - z) act(...)`. With `reset_after` the candidate is
//! `x_g + r (h U_g + b)` and the product in it is kept besides; else it is `x_g + (r h) U_g`, in two parts.

use super::lanes::{Functions, Gate, LANES, Lanes, add, load, store, times, zip};
use super::step::{Backward, Forward, Inputs, Kept, Step};

/// z h + (1 - z) g
#[inline(always)]
fn mix(z: Lanes, h: Lanes, g: Lanes) -> Lanes {
    add(times(z, h), times(zip([1.0; LANES], z, |one, z| one - z), g))
}

/// A row's numbers, or zeros where there is no row.
#[inline(always)]
fn or_zeros(row: Option<&[f32]>, at: usize) -> Lanes {
    row.map_or([0.0; LANES], |row| load(row, at))
}

#[inline(always)]
fn bias_of(bias: &[f32], units: usize, gate: usize) -> Option<&[f32]> {
    bias.get(gate * units..(gate + 1) * units)
}

simd! {
    pub fn forward_reset_after<F: Functions>(f: F, step: Step<'_>, x: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        let bias = [0, 1, 2].map(|gate| bias_of(x.bias, u, gate));
        for (r, (gates, h)) in to.gates.chunks_exact_mut(3 * u).zip(to.h.chunks_exact_mut(u)).enumerate() {
            if !step.counts(r) {
                continue;
            }
            let row = &x.rows[r * x.stride..][..3 * u];
            let mut extra = to.extra.get_mut(r * u..(r + 1) * u);
            let (update, rest) = gates.split_at_mut(u);
            let (reset, candidate) = rest.split_at_mut(u);
            for j in (0..u).step_by(LANES) {
                let sum = |gate: usize| add(load(&row[gate * u..][..u], j), or_zeros(bias[gate], j));
                let (z, kept_z) = f.recurrent().apply(add(load(update, j), sum(0)));
                let (r, kept_r) = f.recurrent().apply(add(load(reset, j), sum(1)));
                let inner = load(candidate, j);
                let (g, kept_g) = f.activation().apply(add(times(r, inner), sum(2)));
                store(kept_z, update, j);
                store(kept_r, reset, j);
                store(kept_g, candidate, j);
                if let Some(extra) = &mut extra {
                    store(inner, extra, j);
                }
                store(mix(z, load(h, j), g), h, j);
            }
        }
    }
}

simd! {
    pub fn backward_reset_after<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        for (row, (gates, dh)) in kept.gates.chunks_exact(3 * u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            let dz = &mut to.dz[row * to.dz_stride..][..3 * u];
            let dq = &mut to.dq[row * to.dq_stride..][..u];
            if !step.counts(row) {
                dz.fill(0.0);
                dq.fill(0.0);
                continue;
            }
            let inner = &kept.extra[row * u..][..u];
            let before = kept.h_before.get(row * kept.h_stride..).and_then(|h| h.get(..u));
            let (d_update, rest) = dz.split_at_mut(u);
            let (d_reset, d_candidate) = rest.split_at_mut(u);
            for j in (0..u).step_by(LANES) {
                let (z, z_slope) = f.recurrent().again(load(&gates[..u], j));
                let (r, r_slope) = f.recurrent().again(load(&gates[u..2 * u], j));
                let (g, g_slope) = f.activation().again(load(&gates[2 * u..], j));
                let grad = load(dh, j);
                let difference = zip(or_zeros(before, j), g, |h, g| h - g);
                store(times(times(grad, difference), z_slope), d_update, j);
                let shared = zip(grad, z, |grad, z| grad * (1.0 - z));
                let shared = times(shared, g_slope);
                store(shared, d_candidate, j);
                store(times(shared, r), dq, j);
                store(times(times(shared, load(inner, j)), r_slope), d_reset, j);
                store(times(grad, z), dh, j);
            }
        }
    }
}

simd! {
    /// The gates z and r; then in `reset` r h, times the factors where there are some.
    pub fn forward_gates<F: Functions>(
        f: F,
        step: Step<'_>,
        x: Inputs<'_>,
        gates: &mut [f32],
        h: &[f32],
        factors: Option<(&[f32], usize)>,
        reset: (&mut [f32], usize),
    ) {
        let u = step.units;
        for (row, (gates, h)) in gates.chunks_exact_mut(3 * u).zip(h.chunks_exact(u)).enumerate() {
            let x = &x.rows[row * x.stride..][..3 * u];
            let reset = &mut reset.0[row * reset.1..][..u];
            let factors = factors.map(|(factors, stride)| &factors[row * stride..][..u]);
            let (update, rest) = gates.split_at_mut(u);
            let (r_gate, _) = rest.split_at_mut(u);
            for j in (0..u).step_by(LANES) {
                let (_, kept) = f.recurrent().apply(add(load(update, j), load(&x[..u], j)));
                store(kept, update, j);
                let (r, kept) = f.recurrent().apply(add(load(r_gate, j), load(&x[u..2 * u], j)));
                store(kept, r_gate, j);
                let h = factors.map_or(load(h, j), |factors| times(load(h, j), load(factors, j)));
                store(times(r, h), reset, j);
            }
        }
    }
}

simd! {
    /// The candidate and the new state, once the candidate's product is there.
    pub fn forward_candidate<F: Functions>(f: F, step: Step<'_>, x: Inputs<'_>, gates: &mut [f32], h: &mut [f32]) {
        let u = step.units;
        for (row, (gates, h)) in gates.chunks_exact_mut(3 * u).zip(h.chunks_exact_mut(u)).enumerate() {
            if !step.counts(row) {
                continue;
            }
            let x = &x.rows[row * x.stride..][2 * u..3 * u];
            let (update, rest) = gates.split_at_mut(u);
            let candidate = &mut rest[u..];
            for j in (0..u).step_by(LANES) {
                let (z, _) = f.recurrent().again(load(update, j));
                let (g, kept) = f.activation().apply(add(load(candidate, j), load(x, j)));
                store(kept, candidate, j);
                store(mix(z, load(h, j), g), h, j);
            }
        }
    }
}

simd! {
    /// The gradients of the candidate and of z, and the state's own way back.
    pub fn backward_candidate<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        for (row, (gates, dh)) in kept.gates.chunks_exact(3 * u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            let dz = &mut to.dz[row * to.dz_stride..][..3 * u];
            if !step.counts(row) {
                dz.fill(0.0);
                continue;
            }
            let before = kept.h_before.get(row * kept.h_stride..).and_then(|h| h.get(..u));
            let (d_update, rest) = dz.split_at_mut(u);
            let d_candidate = &mut rest[u..];
            for j in (0..u).step_by(LANES) {
                let (z, z_slope) = f.recurrent().again(load(&gates[..u], j));
                let (g, g_slope) = f.activation().again(load(&gates[2 * u..], j));
                let grad = load(dh, j);
                let difference = zip(or_zeros(before, j), g, |h, g| h - g);
                store(times(times(grad, difference), z_slope), d_update, j);
                let shared = zip(grad, z, |grad, z| grad * (1.0 - z));
                store(times(shared, g_slope), d_candidate, j);
                store(times(grad, z), dh, j);
            }
        }
    }
}

simd! {
    /// The gradient of r, and of the state through r h, whose gradient is `d_product`.
    pub fn backward_reset<F: Functions>(
        f: F,
        step: Step<'_>,
        kept: Kept<'_>,
        to: Backward<'_>,
        d_product: &[f32],
        factors: Option<(&[f32], usize)>,
    ) {
        let u = step.units;
        for (row, (gates, dh)) in kept.gates.chunks_exact(3 * u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            if !step.counts(row) {
                continue;
            }
            let d_reset = &mut to.dz[row * to.dz_stride..][u..2 * u];
            let before = kept.h_before.get(row * kept.h_stride..).and_then(|h| h.get(..u));
            let factors = factors.map(|(factors, stride)| &factors[row * stride..][..u]);
            for j in (0..u).step_by(LANES) {
                let (r, r_slope) = f.recurrent().again(load(&gates[u..2 * u], j));
                let mut grad = load(&d_product[row * u..][..u], j);
                if let Some(factors) = factors {
                    grad = times(grad, load(factors, j));
                }
                store(times(times(grad, or_zeros(before, j)), r_slope), d_reset, j);
                store(add(load(dh, j), times(grad, r)), dh, j);
            }
        }
    }
}
