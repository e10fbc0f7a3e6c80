//! LSTM, gates i, f, g, o: `c' = f c + i g`, `h' = o act(c')`. The cell state is what is kept besides.

use super::lanes::{Functions, Gate, LANES, Lanes, add, load, store, times};
use super::step::{Backward, Forward, Inputs, Kept, Step};

simd! {
    pub fn forward<F: Functions>(f: F, step: Step<'_>, z: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        let state = to.h.chunks_exact_mut(u).zip(to.c.chunks_exact_mut(u));
        for (r, (gates, (h, c))) in to.gates.chunks_exact_mut(4 * u).zip(state).enumerate() {
            if step.counts(r) {
                forward_row(f, &z.rows[r * z.stride..][..4 * u], gates, h, c);
            }
            if let Some(extra) = to.extra.get_mut(r * u..(r + 1) * u) {
                extra.copy_from_slice(c);
            }
        }
    }
}

#[inline(always)]
fn forward_row<F: Functions>(f: F, z: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32]) {
    let u = h.len();
    let (zi, zf, zg, zo) = quarters(z);
    let (input, rest) = gates.split_at_mut(u);
    let (forget, rest) = rest.split_at_mut(u);
    let (candidate, output) = rest.split_at_mut(u);
    for j in (0..u).step_by(LANES) {
        let (i, kept_i) = f.recurrent().apply(add(load(input, j), load(zi, j)));
        let (g, kept_g) = f.activation().apply(add(load(candidate, j), load(zg, j)));
        let ig = times(i, g);
        store(kept_i, input, j);
        store(kept_g, candidate, j);
        let (forgotten, kept_f) = f.recurrent().apply(add(load(forget, j), load(zf, j)));
        store(kept_f, forget, j);
        let cell = add(times(forgotten, load(c, j)), ig);
        store(cell, c, j);
        let (o, kept_o) = f.recurrent().apply(add(load(output, j), load(zo, j)));
        store(kept_o, output, j);
        store(times(o, f.activation().value(cell)), h, j);
    }
}

#[inline(always)]
fn quarters(x: &[f32]) -> (&[f32], &[f32], &[f32], &[f32]) {
    let (a, b) = x.split_at(x.len() / 2);
    let ((a, b), (c, d)) = (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
    (a, b, c, d)
}

simd! {
    pub fn backward<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        let state = to.dh.chunks_exact_mut(u).zip(to.dc.chunks_exact_mut(u));
        for (r, (gates, (dh, dc))) in kept.gates.chunks_exact(4 * u).zip(state).enumerate() {
            let dz = &mut to.dz[r * to.dz_stride..][..4 * u];
            if !step.counts(r) {
                dz.fill(0.0);
                continue;
            }
            let c = &kept.extra[r * u..][..u];
            let before = kept.extra_before.get(r * u..(r + 1) * u);
            backward_row(f, gates, c, before, dh, dc, dz);
            dh.fill(0.0);
        }
    }
}

#[inline(always)]
fn backward_row<F: Functions>(
    f: F,
    gates: &[f32],
    c: &[f32],
    before: Option<&[f32]>,
    dh: &[f32],
    dc: &mut [f32],
    dz: &mut [f32],
) {
    let u = c.len();
    let (input, forget, candidate, output) = quarters(gates);
    let (di, rest) = dz.split_at_mut(u);
    let (df, rest) = rest.split_at_mut(u);
    let (dg, d_o) = rest.split_at_mut(u);
    for j in (0..u).step_by(LANES) {
        let grad = load(dh, j);
        let (shown, shown_slope) = f.activation().at(load(c, j));
        let (o, o_slope) = f.recurrent().again(load(output, j));
        store(times(times(grad, shown), o_slope), d_o, j);
        let cell: Lanes = add(load(dc, j), times(times(grad, o), shown_slope));
        let (i, i_slope) = f.recurrent().again(load(input, j));
        let (g, g_slope) = f.activation().again(load(candidate, j));
        store(times(times(cell, g), i_slope), di, j);
        store(times(times(cell, i), g_slope), dg, j);
        let (forgotten, f_slope) = f.recurrent().again(load(forget, j));
        let c_before = before.map_or([0.0; LANES], |before| load(before, j));
        store(times(times(cell, c_before), f_slope), df, j);
        store(times(cell, forgotten), dc, j);
    }
}
