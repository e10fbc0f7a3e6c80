//! RepeatVector: x at each of `n` steps. x `[N, C]`, y `[N, n, C]`. Keras: `layers.RepeatVector`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::time::Repeat;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RepeatVector",
    aliases: &[],
    about: "the input at each of n steps",
    parse: |f| Box::new(RepeatVector { n: f.key("n").at_least(1).required() }),
};

#[derive(Debug)]
struct RepeatVector {
    n: usize,
}

impl Layer for RepeatVector {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        g.push(Repeat::new(self.n), &[one(x)])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"RepeatVector\"\nn = 3" on [4];
    "type = \"RepeatVector\"\nn = 1" on [17];
}
