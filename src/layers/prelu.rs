//! PReLU: x where x > 0, else `alpha * x` with alpha learnt. x, y `[N, ...]`; alpha has the shape of
//! a sample, with 1 in `shared_axes` (counted from 1). Keras: `layers.PReLU`.

use std::sync::Arc;

use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::prelu::PRelu as Op;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "PReLU",
    aliases: &[],
    about: "x, or a learnt alpha times x below 0",
    parse: |f| {
        Box::new(PReLU {
            alpha_initializer: initializers::read(f, "alpha_initializer", "Zeros"),
            alpha_regularizer: regularizers::read(f, "alpha_regularizer"),
            shared_axes: f.key("shared_axes").at_least(1).or(vec![]),
        })
    },
};

#[derive(Debug)]
struct PReLU {
    alpha_initializer: Arc<dyn Init>,
    alpha_regularizer: Option<Penalty>,
    shared_axes: Vec<usize>,
}

impl Layer for PReLU {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        let rank = shape.dims.len();
        if let Some(axis) = self.shared_axes.iter().find(|a| **a > rank) {
            return Err(Mismatch::new(format!(
                "shared_axes has {axis}, but the input {shape} has axes 1 to {rank}"
            )));
        }
        let shared: Vec<bool> = (1..=rank).map(|axis| self.shared_axes.contains(&axis)).collect();
        let op = Op::new(&shape.dims, &shared);
        let alpha = g.weight("alpha", op.alpha(), &self.alpha_initializer, self.alpha_regularizer)?;
        g.push(op, &[x, alpha])
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"PReLU\"" on [5];
    "type = \"PReLU\"\nshared_axes = [1, 2]" on [3, 2, 5];
    "type = \"PReLU\"\nshared_axes = [2]" on [3, 2, 5];
    "type = \"PReLU\"\nshared_axes = [3]" on [3, 2, 5];
    "type = \"PReLU\"\nshared_axes = [1]\nalpha_initializer = \"ones\"" on [3];
}
