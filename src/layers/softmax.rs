//! Softmax: `y = e^x / sum e^x` along an axis, the last by default. Keras: `layers.Softmax`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::softmax::Softmax as Op;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Softmax",
    aliases: &[],
    about: "e^x / sum e^x along an axis",
    parse: |f| Box::new(Softmax { axis: f.key("axis").or(-1) }),
};

#[derive(Debug)]
struct Softmax {
    axis: i64,
}

impl Layer for Softmax {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let axis = axes::place(self.axis, g.shape(x))?;
        axes::with_last(g, x, &[axis], |g, x| {
            let width = g.shape(x).last();
            g.push(Op::new(width), &[x])
        })
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        if matches!(self.axis, -1 | 2) { Reach::Step } else { Reach::Sample }
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Softmax\"" on [5];
    "type = \"Softmax\"\naxis = 1" on [3, 5];
    "type = \"Softmax\"\naxis = -2" on [2, 3, 1];
}
