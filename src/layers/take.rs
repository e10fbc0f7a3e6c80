//! Take: the entry at `index` along `axis`, which disappears: a class token, the last step of a sequence.
//! x `[N, ..., L, ...]`, y `[N, ..., ...]`. In Keras `ops.take(x, index, axis)`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::take::Take as Op;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Take",
    aliases: &[],
    about: "one entry along an axis: a class token, the last step",
    parse: |f| Box::new(Take { index: f.key("index").required(), axis: f.key("axis").or(1) }),
};

#[derive(Debug)]
struct Take {
    /// From 0; negative ones count from the end.
    index: i64,
    axis: i64,
}

impl Layer for Take {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        let place = axes::place(self.axis, &shape)?;
        let length = shape.dims[place] as i64;
        let index = if self.index < 0 { self.index + length } else { self.index };
        if !(0..length).contains(&index) {
            let message =
                format!("index {} is not among the {length} of axis {} of {shape}", self.index, place + 1);
            return Err(Mismatch::new(message).hint(format!("0 to {}, or -1 for the last", length - 1)));
        }
        g.push(Op::new(&shape, place, index as usize), &[x])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Take\"\nindex = 0" on [3, 5];
    "type = \"Take\"\nindex = -1\naxis = 2" on [2, 3, 2];
    "type = \"Take\"\nindex = 1\naxis = -1" on [4];
}
