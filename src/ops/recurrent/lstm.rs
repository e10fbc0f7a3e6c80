//! LSTM, gates i, f, g, o: `c' = f c + i g`, `h' = o act(c')`. The cell state is what is kept besides.

use super::lanes::{Functions, Gate, add, cut, over, pieces, times};
use super::step::{Backward, Forward, Inputs, Kept, Step};

simd! {
    pub fn forward<F: Functions>(f: F, step: Step<'_>, z: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        let state = to.h.chunks_exact_mut(u).zip(to.c.chunks_exact_mut(u));
        for (r, (gates, (h, c))) in to.gates.chunks_exact_mut(4 * u).zip(state).enumerate() {
            if step.counts(r) {
                forward_row::<FUSED, F>(f, &z.rows[r * z.stride..][..4 * u], gates, h, c);
            }
            to.extra[r * u..][..u].copy_from_slice(c);
        }
    }
}

#[inline(always)]
fn forward_row<const FUSED: bool, F: Functions>(
    f: F,
    z: &[f32],
    gates: &mut [f32],
    h: &mut [f32],
    c: &mut [f32],
) {
    let ([zi, zf, zg, zo], [gi, gf, gg, go]) = (pieces(z), cut(gates));
    over!(
        read [xi in zi, xf in zf, xg in zg, xo in zo],
        update [i in gi, f_gate in gf, g in gg, o in go, cell in c],
        write [],
        {
            let (input, candidate, forget);
            (input, i) = f.recurrent().apply::<FUSED>(add(i, xi));
            (candidate, g) = f.activation().apply::<FUSED>(add(g, xg));
            (forget, f_gate) = f.recurrent().apply::<FUSED>(add(f_gate, xf));
            (_, o) = f.recurrent().apply::<FUSED>(add(o, xo));
            cell = add(times(forget, cell), times(input, candidate));
        }
    );
    // By itself: the processor looks ahead over more of these than of both, which wait for each other.
    let (cells, outputs) = (&*c, &*go);
    over!(read [cell in cells, o in outputs], update [], write [state in h], {
        state = times(f.recurrent().again::<FUSED>(o).0, f.activation().value::<FUSED>(cell));
    });
}

simd! {
    pub fn backward<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        let state = to.dh.chunks_exact_mut(u).zip(to.dc.chunks_exact_mut(u));
        for (r, (gates, (dh, dc))) in kept.gates.chunks_exact(4 * u).zip(state).enumerate() {
            let dz = &mut to.dz[r * to.dz_stride..][..4 * u];
            if step.counts(r) {
                let before = kept.extra_before.get(r * u..(r + 1) * u).unwrap_or(kept.zeros);
                backward_row::<FUSED, F>(f, gates, [&kept.extra[r * u..][..u], before], dh, dc, dz);
                dh.fill(0.0);
            } else {
                dz.fill(0.0);
            }
        }
    }
}

#[inline(always)]
fn backward_row<const FUSED: bool, F: Functions>(
    f: F,
    gates: &[f32],
    [c, c_before]: [&[f32]; 2],
    dh: &[f32],
    dc: &mut [f32],
    dz: &mut [f32],
) {
    let ([gi, gf, gg, go], [di, df, dg, d_o]) = (pieces(gates), cut(dz));
    over!(
        read [i in gi, f_gate in gf, g in gg, o in go, cell in c, before in c_before, d in dh],
        update [d_cell in dc],
        write [d_input in di, d_forget in df, d_candidate in dg, d_output in d_o],
        {
            let (shown, shown_slope) = f.activation().at::<FUSED>(cell);
            let (output, output_slope) = f.recurrent().again::<FUSED>(o);
            d_output = times(times(d, shown), output_slope);
            let grad = add(d_cell, times(times(d, output), shown_slope));
            let (input, input_slope) = f.recurrent().again::<FUSED>(i);
            let (candidate, candidate_slope) = f.activation().again::<FUSED>(g);
            let (forget, forget_slope) = f.recurrent().again::<FUSED>(f_gate);
            d_input = times(times(grad, candidate), input_slope);
            d_forget = times(times(grad, before), forget_slope);
            d_candidate = times(times(grad, input), candidate_slope);
            d_cell = times(grad, forget);
        }
    );
}
