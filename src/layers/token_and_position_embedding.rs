//! TokenAndPositionEmbedding: a learned vector for each token, and one for its place added to it.
//!
//! x `[N, T]` of token numbers from 0, y `[N, T, embedding_dim]`. With `mask_zero` token 0 is padding.
//! keras_hub: `layers.TokenAndPositionEmbedding`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Var};
use crate::initializers;
use crate::layers::embedding::mask_padding;
use crate::layers::position_embedding::check_length;
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::add_positions::AddPositions;
use crate::ops::embedding::Embedding;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "TokenAndPositionEmbedding",
    aliases: &[],
    about: "learned vectors of tokens and of their places, added",
    parse: |f| Box::new(TokenAndPositionEmbedding::read(f)),
};

#[derive(Debug)]
struct TokenAndPositionEmbedding {
    vocabulary_size: usize,
    sequence_length: usize,
    embedding_dim: usize,
    embeddings_initializer: Arc<dyn Init>,
    mask_zero: bool,
}

impl TokenAndPositionEmbedding {
    fn read(f: &mut Fields<'_>) -> TokenAndPositionEmbedding {
        TokenAndPositionEmbedding {
            vocabulary_size: f.key("vocabulary_size").at_least(1).required(),
            sequence_length: f.key("sequence_length").at_least(1).required(),
            embedding_dim: f.key("embedding_dim").at_least(1).required(),
            embeddings_initializer: initializers::read(f, "embeddings_initializer", "RandomUniform"),
            mask_zero: f.key("mask_zero").or(false),
        }
    }
}

impl Layer for TokenAndPositionEmbedding {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let (shape, width, init) = (g.shape(x).clone(), self.embedding_dim, &self.embeddings_initializer);
        if shape.dims.len() != 1 {
            return Err(Mismatch::new(format!("needs sequences [N,T] of tokens, got {shape}")));
        }
        check_length(&shape, self.sequence_length)?;
        let tokens = g.weight("token_embedding/embeddings", [self.vocabulary_size, width], init, None)?;
        let places = g.weight("position_embedding/embeddings", [self.sequence_length, width], init, None)?;
        let y = g.push(Embedding::new(self.vocabulary_size, width), &[x, tokens])?;
        let y = g.push(AddPositions::Weight, &[y, places])?;
        if self.mask_zero {
            mask_padding(g, x, y)?;
        }
        Ok(y)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"TokenAndPositionEmbedding\"\nvocabulary_size = 3\nsequence_length = 6\nembedding_dim = 4" on [5];
    "type = \"TokenAndPositionEmbedding\"\nvocabulary_size = 2\nsequence_length = 3\nembedding_dim = 1\nmask_zero = true" on [3];
}
