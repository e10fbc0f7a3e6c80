//! Concatenate: inputs one after the other along `axis`, which counts the batch as 0; the other axes
//! must be equal. x `[N, ..., Di, ...]`, y `[N, ..., sum of Di, ...]`. Keras: `layers.Concatenate`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Arity, Layer, LayerEntry, Reach, axes, masks};
use crate::ops::concatenate::Concatenate as Op;
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Concatenate",
    aliases: &[],
    about: "inputs one after the other along an axis",
    parse: |f| Box::new(Concatenate { axis: f.key("axis").or(-1) }),
};

#[derive(Debug)]
struct Concatenate {
    axis: i64,
}

impl Layer for Concatenate {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let shapes: Vec<&Shape> = x.iter().map(|x| g.shape(*x)).collect();
        let place = axes::place(self.axis, shapes[0])?;
        let op = Op::new(&shapes, place)?;
        let y = g.push(op, x)?;
        if place == 0 && g.shape(y).dims.len() > 1 {
            masks::joined(g, x, y)?
        } else {
            masks::merged(g, x, y)?
        }
        Ok(y)
    }

    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn reach(&self) -> Reach {
        Reach::Step
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Concatenate\"" on [3], [5];
    "type = \"Concatenate\"\naxis = 1" on [3, 5], [1, 5], [2, 5];
    "type = \"Concatenate\"\naxis = -2" on [2, 3, 5], [2, 1, 5];
}
