//! TransformerEncoder: self-attention and two dense layers, each added to what it reads and normalized after,
//! or before with `normalize_first`.
//!
//! x, y `[N, T, D]`; heads are `D / num_heads` wide. Vaswani et al.: Attention is all you need, 2017.
//! keras_hub: `layers.TransformerEncoder`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::transformer::Transformer;
use crate::layers::{Layer, LayerEntry, Reach, one};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "TransformerEncoder",
    aliases: &[],
    about: "self-attention, then two dense layers, each added to its input and normalized",
    parse: |f| Box::new(TransformerEncoder(Transformer::read(f))),
};

#[derive(Debug)]
struct TransformerEncoder(Transformer);

impl Layer for TransformerEncoder {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        self.0.check(g.shape(x))?;
        let names = ("self_attention_layer", "self_attention_layer_norm");
        let y = self.0.attention(g, names, x, None, false)?;
        self.0.feedforward(g, y)
    }

    fn reach(&self) -> Reach {
        Reach::Ahead
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"TransformerEncoder\"\nintermediate_dim = 5\nnum_heads = 2" on [3, 4];
    "type = \"TransformerEncoder\"\nintermediate_dim = 3\nnum_heads = 1\nactivation = \"gelu\"\nnormalize_first = true\ndropout = 0.2" on [4, 3];
}
