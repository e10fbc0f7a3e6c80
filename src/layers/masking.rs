//! Masking: steps whose every feature is `mask_value` do not count in the layers behind, and are zeros in y.
//! x, y `[N, T, C]`. Keras: `layers.Masking`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::mask::Differs;
use crate::ops::time::ZeroMasked;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Masking",
    aliases: &[],
    about: "steps of one value alone do not count",
    parse: |f| Box::new(Masking { mask_value: f.key("mask_value").or(0.0) }),
};

#[derive(Debug)]
struct Masking {
    mask_value: f64,
}

impl Layer for Masking {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<1>(g.shape(x))?;
        let mask = g.push(Differs { value: self.mask_value as f32 }, &[x])?;
        let y = g.push(ZeroMasked, &[x, mask])?;
        g.set_mask(y, mask);
        Ok(y)
    }

    fn reach(&self) -> Reach {
        Reach::Step
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Masking\"" on [4, 3];
    "type = \"Masking\"\nmask_value = -1.5" on [5, 1];
}
