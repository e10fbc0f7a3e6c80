//! Embedding: a learned vector for each token. x `[N, ...]` of token numbers from 0, embeddings
//! `[input_dim, output_dim]`, y `[N, ..., output_dim]`. With `mask_zero` token 0 is padding: time steps
//! that have it do not count in the layers behind. Keras: `layers.Embedding`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::layers::{Layer, LayerEntry, Reach, one};
use crate::ops::embedding::Embedding as Op;
use crate::ops::mask::NotZero;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Embedding",
    aliases: &[],
    about: "a learned vector for each token",
    parse: |f| Box::new(Embedding::read(f)),
};

#[derive(Debug)]
struct Embedding {
    input_dim: usize,
    output_dim: usize,
    embeddings_initializer: Arc<dyn Init>,
    embeddings_regularizer: Option<Penalty>,
    mask_zero: bool,
}

impl Embedding {
    fn read(f: &mut Fields<'_>) -> Embedding {
        Embedding {
            input_dim: f.key("input_dim").at_least(1).required(),
            output_dim: f.key("output_dim").at_least(1).required(),
            embeddings_initializer: initializers::read(f, "embeddings_initializer", "RandomUniform"),
            embeddings_regularizer: regularizers::read(f, "embeddings_regularizer"),
            mask_zero: f.key("mask_zero").or(false),
        }
    }
}

impl Layer for Embedding {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let (x, shape) = (one(x), [self.input_dim, self.output_dim]);
        check_vocabulary(g, x, "input_dim", self.input_dim)?;
        let table =
            g.weight("embeddings", shape, &self.embeddings_initializer, self.embeddings_regularizer)?;
        let y = g.push(Op::new(self.input_dim, self.output_dim), &[x, table])?;
        if self.mask_zero {
            mask_padding(g, x, y)?;
        }
        Ok(y)
    }

    fn reach(&self) -> Reach {
        Reach::Step
    }
}

/// A table has a row for every token that there is.
pub(super) fn check_vocabulary(g: &Builder<'_>, x: Var, key: &str, rows: usize) -> Result<(), Mismatch> {
    match g.vocabulary(x) {
        Some(tokens) if tokens > rows => {
            let message = format!("`{key}` is {rows}, but the dataset has {tokens} different tokens");
            Err(Mismatch::new(message)
                .hint(format!("{key} = {tokens}, or a smaller `max_tokens` in [dataset]")))
        }
        _ => Ok(()),
    }
}

/// Steps of y count where the token x is not 0.
pub(super) fn mask_padding(g: &mut Builder<'_>, x: Var, y: Var) -> Result<(), Mismatch> {
    let shape = g.shape(x);
    if shape.dims.len() != 1 {
        let message = format!("`mask_zero` needs sequences [N,T] of tokens, got {shape}");
        return Err(Mismatch::new(message).hint("leave `mask_zero` away, or reshape the tokens before"));
    }
    let mask = g.push(NotZero, &[x])?;
    g.set_mask(y, mask);
    Ok(())
}

#[cfg(test)]
crate::battery! {
    "type = \"Embedding\"\ninput_dim = 3\noutput_dim = 5" on [7];
    "type = \"Embedding\"\ninput_dim = 2\noutput_dim = 1\nmask_zero = true" on [4];
    "type = \"Embedding\"\ninput_dim = 3\noutput_dim = 2\nembeddings_initializer = \"zeros\"" on [2, 3];
}

#[cfg(test)]
mod scattering {
    use crate::testing::battery::LayerCase;

    #[test]
    fn gradients_of_a_token_add_up_whatever_the_threads() {
        let case = LayerCase::new("type = \"Embedding\"\ninput_dim = 50\noutput_dim = 6", &[&[300]]);
        let tokens: Vec<f64> = (0..5 * 300).map(|i| f64::from(i * i % 61 - 3)).collect();
        let cotangent: Vec<f64> = (0..tokens.len() * 6).map(|i| f64::from((i as f32 * 0.7).sin())).collect();
        let run = |threads| case.run_with(&[&tokens], &cotangent, 5, 5, threads, true, |_, _| None);
        let alone = run(1);
        assert_eq!(run(2), alone);
        assert_eq!(run(5), alone);
        let mut expected = vec![0.0; 50 * 6];
        for (token, dy) in tokens.iter().zip(cotangent.chunks(6)) {
            // What names no row takes the nearest.
            let row = token.clamp(0.0, 49.0) as usize;
            expected[row * 6..][..6].iter_mut().zip(dy).for_each(|(e, d)| *e += d);
        }
        crate::testing::golden::all_close(&alone.weight_grads[0].1, &expected, 1e-5, "embeddings");
    }
}
