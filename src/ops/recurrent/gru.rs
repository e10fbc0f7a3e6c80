//! GRU, gates z, r, g: `h' = z h + (1 - z) g`. With `reset_after` `g = act(x_g + r (h U_g + b))`, and the
//! product in it is kept besides; else `g = act(x_g + (r h) U_g)`, in two parts.

use super::lanes::{Functions, Gate, Lanes, add, cut, over, pieces, times, zip};
use super::step::{Backward, Forward, Inputs, Kept, Step};

/// z h + (1 - z) g
#[inline(always)]
fn mix(z: Lanes, h: Lanes, g: Lanes) -> Lanes {
    add(times(z, h), zip(z, g, |z, g| (1.0 - z) * g))
}

simd! {
    pub fn forward_reset_after<F: Functions>(f: F, step: Step<'_>, x: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        let zeros = &to.c[..u];
        let bias = if x.bias.is_empty() { [zeros; 3] } else { pieces(x.bias) };
        let state = to.h.chunks_exact_mut(u).zip(to.extra.chunks_exact_mut(u));
        for (r, (gates, (h, inner))) in to.gates.chunks_exact_mut(3 * u).zip(state).enumerate() {
            if step.counts(r) {
                reset_after_row::<FUSED, F>(f, &x.rows[r * x.stride..][..3 * u], bias, gates, inner, h);
            }
        }
    }
}

#[inline(always)]
fn reset_after_row<const FUSED: bool, F: Functions>(
    f: F,
    x: &[f32],
    [bz, br, bg]: [&[f32]; 3],
    gates: &mut [f32],
    inner: &mut [f32],
    h: &mut [f32],
) {
    let ([xz, xr, xg], [gz, gr, gg]) = (pieces(x), cut(gates));
    over!(
        read [xz in xz, xr in xr, xg in xg, bz in bz, br in br, bg in bg],
        update [z in gz, r in gr, g in gg, state in h],
        write [product in inner],
        {
            let (update, reset, candidate);
            product = g;
            (update, z) = f.recurrent().apply::<FUSED>(add(z, add(xz, bz)));
            (reset, r) = f.recurrent().apply::<FUSED>(add(r, add(xr, br)));
            (candidate, g) = f.activation().apply::<FUSED>(add(times(reset, product), add(xg, bg)));
            state = mix(update, state, candidate);
        }
    );
}

simd! {
    pub fn backward_reset_after<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        for (row, (gates, dh)) in kept.gates.chunks_exact(3 * u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            let dz = &mut to.dz[row * to.dz_stride..][..3 * u];
            let dq = &mut to.dq[row * to.dq_stride..][..u];
            if step.counts(row) {
                let ([gz, gr, gg], [dz, dr, dg]) = (pieces(gates), cut(dz));
                let (inner, before) = (&kept.extra[row * u..][..u], kept.before(row));
                over!(
                    read [z in gz, r in gr, g in gg, product in inner, h in before],
                    update [d in dh],
                    write [d_update in dz, d_reset in dr, d_candidate in dg, d_product in dq],
                    {
                        let (update, update_slope) = f.recurrent().again::<FUSED>(z);
                        let (reset, reset_slope) = f.recurrent().again::<FUSED>(r);
                        let (candidate, candidate_slope) = f.activation().again::<FUSED>(g);
                        d_update = times(times(d, zip(h, candidate, |h, g| h - g)), update_slope);
                        let grad = times(zip(d, update, |d, z| d * (1.0 - z)), candidate_slope);
                        d_reset = times(times(grad, product), reset_slope);
                        d_product = times(grad, reset);
                        d_candidate = grad;
                        d = times(d, update);
                    }
                );
            } else {
                dz.fill(0.0);
                dq.fill(0.0);
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
            let reset = &mut reset.0[row * reset.1..][..u];
            let ([xz, xr, _], [gz, gr, _]) = (pieces(&x.rows[row * x.stride..][..3 * u]), cut(gates));
            over!(read [xz in xz, xr in xr, state in h], update [z in gz, r in gr], write [product in reset], {
                let value;
                (_, z) = f.recurrent().apply::<FUSED>(add(z, xz));
                (value, r) = f.recurrent().apply::<FUSED>(add(r, xr));
                product = times(value, state);
            });
            if let Some((factors, stride)) = factors {
                let factors = &factors[row * stride..][..u];
                over!(read [factor in factors], update [product in reset], write [], {
                    product = times(product, factor);
                });
            }
        }
    }
}

simd! {
    /// The candidate and the new state, once the candidate's product is there.
    pub fn forward_candidate<F: Functions>(
        f: F,
        step: Step<'_>,
        x: Inputs<'_>,
        gates: &mut [f32],
        h: &mut [f32],
    ) {
        let u = step.units;
        for (row, (gates, h)) in gates.chunks_exact_mut(3 * u).zip(h.chunks_exact_mut(u)).enumerate() {
            if step.counts(row) {
                let [gz, _, gg] = cut(gates);
                let xg = &x.rows[row * x.stride..][2 * u..3 * u];
                over!(read [xg in xg, z in gz], update [g in gg, state in h], write [], {
                    let candidate;
                    let (update, _) = f.recurrent().again::<FUSED>(z);
                    (candidate, g) = f.activation().apply::<FUSED>(add(g, xg));
                    state = mix(update, state, candidate);
                });
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
            if step.counts(row) {
                let ([gz, _, gg], [dz, _, dg], before) = (pieces(gates), cut(dz), kept.before(row));
                over!(
                    read [z in gz, g in gg, h in before],
                    update [d in dh],
                    write [d_update in dz, d_candidate in dg],
                    {
                        let (update, update_slope) = f.recurrent().again::<FUSED>(z);
                        let (candidate, candidate_slope) = f.activation().again::<FUSED>(g);
                        d_update = times(times(d, zip(h, candidate, |h, g| h - g)), update_slope);
                        d_candidate = times(zip(d, update, |d, z| d * (1.0 - z)), candidate_slope);
                        d = times(d, update);
                    }
                );
            } else {
                dz.fill(0.0);
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
        d_product: &mut [f32],
        factors: Option<(&[f32], usize)>,
    ) {
        let u = step.units;
        let rows = to.dh.chunks_exact_mut(u).zip(d_product.chunks_exact_mut(u));
        for (row, (gates, (dh, product))) in kept.gates.chunks_exact(3 * u).zip(rows).enumerate() {
            if !step.counts(row) {
                continue;
            }
            if let Some((factors, stride)) = factors {
                let factors = &factors[row * stride..][..u];
                over!(read [factor in factors], update [d in product], write [], {
                    d = times(d, factor);
                });
            }
            let (gr, before) = (&gates[u..2 * u], kept.before(row));
            let dr = &mut to.dz[row * to.dz_stride..][u..2 * u];
            over!(read [r in gr, d in product, h in before], update [back in dh], write [d_reset in dr], {
                let (reset, reset_slope) = f.recurrent().again::<FUSED>(r);
                d_reset = times(times(d, h), reset_slope);
                back = add(back, times(d, reset));
            });
        }
    }
}
