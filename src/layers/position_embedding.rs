//! PositionEmbedding: a learned vector for each place in a sequence, the same for every sample; an `Add` puts
//! them on the sequence: `from = ["tokens", "positions"]`.
//!
//! x `[N, T, D]`, embeddings `[sequence_length, D]` of which the first T are used, y `[N, T, D]`.
//! keras_hub: `layers.PositionEmbedding`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::broadcast::Broadcast;
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "PositionEmbedding",
    aliases: &[],
    about: "a learned vector for each place, to be added to a sequence",
    parse: |f| Box::new(PositionEmbedding::read(f)),
};

#[derive(Debug)]
struct PositionEmbedding {
    sequence_length: usize,
    initializer: Arc<dyn Init>,
}

impl PositionEmbedding {
    fn read(f: &mut Fields<'_>) -> PositionEmbedding {
        PositionEmbedding {
            sequence_length: f.key("sequence_length").at_least(1).required(),
            initializer: initializers::read(f, "initializer", "GlorotUniform"),
        }
    }
}

/// Refuses sequences that are longer than there are vectors.
pub(super) fn check_length(shape: &Shape, sequence_length: usize) -> Result<(), Mismatch> {
    if shape.dims[0] <= sequence_length {
        return Ok(());
    }
    let message =
        format!("sequence_length {sequence_length} is less than the {} steps of {shape}", shape.dims[0]);
    Err(Mismatch::new(message).hint("each place of the longest sequence needs a vector"))
}

impl Layer for PositionEmbedding {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let sample = g.shape(x).clone();
        axes::check_places::<1>(&sample)?;
        check_length(&sample, self.sequence_length)?;
        let table = g.weight("embeddings", [self.sequence_length, sample.last()], &self.initializer, None)?;
        g.push(Broadcast { sample }, &[table, x])
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        Reach::Sample
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"PositionEmbedding\"\nsequence_length = 5" on [5, 3];
    "type = \"PositionEmbedding\"\nsequence_length = 7\ninitializer = \"normal\"" on [4, 2];
}
