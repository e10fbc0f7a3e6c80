//! SimpleRNN: `h' = f(z + h U)`.

use super::lanes::{Functions, Gate, add, over, times};
use super::step::{Backward, Forward, Inputs, Kept, Step};

simd! {
    pub fn forward<F: Functions>(f: F, step: Step<'_>, z: Inputs<'_>, to: Forward<'_>) {
        let u = step.units;
        for (r, (gates, h)) in to.gates.chunks_exact_mut(u).zip(to.h.chunks_exact_mut(u)).enumerate() {
            if step.counts(r) {
                let z_row = &z.rows[r * z.stride..][..u];
                over!(read [z in z_row], update [gate in gates], write [state in h], {
                    (state, gate) = f.activation().apply::<FUSED>(add(gate, z));
                });
            }
        }
    }
}

simd! {
    pub fn backward<F: Functions>(f: F, step: Step<'_>, kept: Kept<'_>, to: Backward<'_>) {
        let u = step.units;
        for (r, (gates, dh)) in kept.gates.chunks_exact(u).zip(to.dh.chunks_exact_mut(u)).enumerate() {
            let dz = &mut to.dz[r * to.dz_stride..][..u];
            if step.counts(r) {
                over!(read [gate in gates, d in dh], update [], write [out in dz], {
                    out = times(d, f.activation().slope::<FUSED>(gate));
                });
                dh.fill(0.0);
            } else {
                dz.fill(0.0);
            }
        }
    }
}
