//! ClassToken: puts a learned vector before a sequence, where attention can gather what a classifier needs;
//! `Take` with `index = 0` picks it out again.
//!
//! x `[N, T, D]`, class_token `[1, 1, D]`, y `[N, 1 + T, D]`. Dosovitskiy et al.: An Image is Worth 16x16 Words,
//! 2021; as in keras_hub's `ViTPatchingAndEmbedding`.

use std::sync::Arc;

use crate::graph::{Builder, Init, Mismatch, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::broadcast::Broadcast;
use crate::ops::concatenate::Concatenate;
use crate::ops::mask::AllOnes;
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ClassToken",
    aliases: &[],
    about: "a learned vector before a sequence",
    parse: |f| Box::new(ClassToken { initializer: initializers::read(f, "initializer", "RandomNormal") }),
};

#[derive(Debug)]
struct ClassToken {
    initializer: Arc<dyn Init>,
}

impl Layer for ClassToken {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<1>(g.shape(x))?;
        let width = g.shape(x).last();
        let token = g.weight("class_token", [1, 1, width], &self.initializer, None)?;
        let first = g.push(Broadcast { sample: Shape::batch([1, width]) }, &[token, x])?;
        let y = before(g, first, x)?;
        if let Some(mask) = g.mask(x) {
            // The token counts in every sample.
            let one = g.push(AllOnes { steps: 1 }, &[mask])?;
            let mask = before(g, one, mask)?;
            g.set_mask(y, mask);
        }
        Ok(y)
    }
}

fn before(g: &mut Builder<'_>, first: Var, rest: Var) -> Result<Var, Mismatch> {
    let op = Concatenate::new(&[g.shape(first), g.shape(rest)], 0)?;
    g.push(op, &[first, rest])
}

#[cfg(test)]
crate::battery! {
    "type = \"ClassToken\"" on [3, 4];
    "type = \"ClassToken\"\ninitializer = \"zeros\"" on [1, 1];
}
