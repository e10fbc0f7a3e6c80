//! TransformerDecoder: causal self-attention, with a second input attention to it, and two dense layers, each
//! added to what it reads and normalized after, or before with `normalize_first`.
//!
//! `from` one sequence `[N, T, D]`, or that and an encoder's `[N, S, ...]`; y `[N, T, D]`; heads are
//! `D / num_heads` wide. Vaswani et al.: Attention is all you need, 2017.
//! keras_hub: `layers.TransformerDecoder`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::transformer::Transformer;
use crate::layers::{Arity, Layer, LayerEntry};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "TransformerDecoder",
    aliases: &[],
    about: "self-attention to earlier steps, attention to a second input, two dense layers",
    parse: |f| Box::new(TransformerDecoder(Transformer::read(f))),
};

#[derive(Debug)]
struct TransformerDecoder(Transformer);

impl Layer for TransformerDecoder {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        self.0.check(g.shape(x[0]))?;
        let names = ("self_attention", "self_attention_layer_norm");
        let mut y = self.0.attention(g, names, x[0], None, true)?;
        if let Some(encoded) = x.get(1) {
            let names = ("cross_attention", "cross_attention_layer_norm");
            y = self.0.attention(g, names, y, Some(*encoded), false)?;
        }
        self.0.feedforward(g, y)
    }

    fn arity(&self) -> Arity {
        Arity::UpTo(2)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"TransformerDecoder\"\nintermediate_dim = 3\nnum_heads = 2" on [3, 4];
    "type = \"TransformerDecoder\"\nintermediate_dim = 4\nnum_heads = 1\nactivation = \"tanh\"\nnormalize_first = true" on [3, 2], [4, 3];
    "type = \"TransformerDecoder\"\nintermediate_dim = 2\nnum_heads = 2\ndropout = 0.3" on [2, 2], [3, 2];
}
