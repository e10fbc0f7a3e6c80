//! Flatten: one axis of all numbers of a sample. x `[N, ...]`, y `[N, product]`. Keras: `layers.Flatten`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Flatten",
    aliases: &[],
    about: "all numbers of a sample in one axis",
    parse: |_| Box::new(Flatten),
};

#[derive(Debug)]
struct Flatten;

impl Layer for Flatten {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let size = g.shape(x).size();
        g.reshape(x, Shape::batch([size]))
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Flatten\"" on [3, 1, 5];
    "type = \"Flatten\"" on [];
}
