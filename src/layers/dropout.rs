//! Dropout: in training sets a share `rate` of the numbers to 0 and scales the others by
//! `1 / (1 - rate)`; in inference leaves all as they are. x, y of any shape. Keras: `layers.Dropout`.
//!
//! Every step drops others, and a step that is repeated drops the same; `seed` gives the layer draws
//! of its own besides those that the run's seed and its name give.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::dropout::{Draws, Dropout as Op};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Dropout",
    aliases: &[],
    about: "drops a random share of the numbers in training",
    parse: |f| Box::new(Dropout { rate: read_rate(f), seed: f.key("seed").optional() }),
};

/// The share that is dropped: in [0, 1).
pub(super) fn read_rate(f: &mut Fields<'_>) -> f64 {
    f.key("rate").within(0.0, 1.0).required()
}

#[derive(Debug)]
struct Dropout {
    rate: f64,
    seed: Option<u64>,
}

impl Layer for Dropout {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        if g.mode() == Mode::Eval || self.rate == 0.0 {
            return Ok(x);
        }
        let draws = Draws::new(g.stream(), self.seed);
        g.push(Op::new(self.rate, draws), &[x])
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Dropout\"\nrate = 0.5" on [5];
    "type = \"Dropout\"\nrate = 0.1\nseed = 3" on [3, 7, 11];
    "type = \"Dropout\"\nrate = 0" on [3];
}
