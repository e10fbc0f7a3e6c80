//! Activation: `y = f(x)` for a named function. x, y of any shape. Keras: `layers.Activation`.

use crate::activations::{ACTIVATIONS, Activation as Function};
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Activation",
    aliases: &[],
    about: "a named function of every element",
    parse: |f| {
        let function = f.variant("activation", &ACTIVATIONS);
        if function.is_none() && !f.has("activation") {
            f.error("activation", "is missing", Some("for example activation = \"relu\"".into()));
        }
        Box::new(Activation { function: function.unwrap_or_else(|| ACTIVATIONS.make("linear").0) })
    },
};

#[derive(Debug)]
pub(super) struct Activation {
    pub(super) function: Box<dyn Function>,
}

impl Layer for Activation {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        self.function.lower(g, one(x))
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Activation\"\nactivation = \"tanh\"" on [5];
    "type = \"Activation\"\nactivation = \"softmax\"" on [2, 4];
    "type = \"Activation\"\nactivation = \"log_softmax\"" on [4];
}
