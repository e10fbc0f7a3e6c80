//! SimpleRNN: `h' = f(z + h U)`.

use super::lanes::{Functions, Gate, LANES, add, load, store, times};
use super::step::{Backward, Forward, Inputs, Kept, Step};

simd! {
    pub fn forward<F: Functions>(f: F, step: Step<'_>, z: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        for (r, (gates, h)) in to.gates.chunks_exact_mut(u).zip(to.h.chunks_exact_mut(u)).enumerate() {
            if !step.counts(r) {
                continue;
            }
            let z = &z.rows[r * z.stride..][..u];
            for j in (0..u).step_by(LANES) {
                let (value, kept) = f.activation().apply(add(load(gates, j), load(z, j)));
                store(kept, gates, j);
                store(value, h, j);
            }
        }
    }
}

simd! {
    pub fn backward<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        for (r, (gates, dh)) in kept.gates.chunks_exact(u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            let dz = &mut to.dz[r * to.dz_stride..][..u];
            if !step.counts(r) {
                dz.fill(0.0);
                continue;
            }
            for j in (0..u).step_by(LANES) {
                store(times(load(dh, j), f.activation().slope(load(gates, j))), dz, j);
            }
            dh.fill(0.0);
        }
    }
}
