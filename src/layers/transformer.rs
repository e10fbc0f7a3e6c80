//! What `TransformerEncoder` and `TransformerDecoder` share: attention, then two dense layers, each with
//! dropout, what it read added to what it gives, and a layer normalization before or after.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Mode, Var};
use crate::initializers;
use crate::layers::axes;
use crate::layers::dense::product;
use crate::layers::multi_head_attention::{Heads, MultiHeadAttention, Weights};
use crate::ops::dropout::{Draws, Dropout};
use crate::ops::layer_norm::LayerNorm;
use crate::ops::merge::Merge;
use crate::shape::Shape;

/// The keys of a block.
#[derive(Debug)]
pub struct Transformer {
    intermediate_dim: usize,
    num_heads: usize,
    dropout: f64,
    activation: Box<dyn Activation>,
    layer_norm_epsilon: f64,
    kernel_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    normalize_first: bool,
}

impl Transformer {
    pub fn read(f: &mut Fields<'_>) -> Transformer {
        Transformer {
            intermediate_dim: f.key("intermediate_dim").at_least(1).required(),
            num_heads: f.key("num_heads").at_least(1).required(),
            dropout: f.key("dropout").within(0.0, 1.0).or(0.0),
            activation: f.variant_or("activation", &ACTIVATIONS, "relu"),
            layer_norm_epsilon: f.key("layer_norm_epsilon").above(0).or(1e-5),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            normalize_first: f.key("normalize_first").or(false),
        }
    }

    /// Refuses what is no sequence, or too narrow for the heads.
    pub fn check(&self, shape: &Shape) -> Result<(), Mismatch> {
        axes::check_places::<1>(shape)?;
        if shape.last() >= self.num_heads {
            return Ok(());
        }
        let message = format!("{} heads need as many channels, the input {shape} has fewer", self.num_heads);
        Err(Mismatch::new(message).hint("each head works on the channels divided by `num_heads`"))
    }

    /// Attention to `other`, or of x to itself; the parts are called `name`.
    pub fn attention(
        &self,
        g: &mut Builder<'_>,
        (name, norm): (&'static str, &'static str),
        x: Var,
        other: Option<Var>,
        causal: bool,
    ) -> Result<Var, Mismatch> {
        let key_dim = g.shape(x).last() / self.num_heads;
        let &Transformer { num_heads, dropout, .. } = self;
        let attention = MultiHeadAttention {
            heads: Heads { num_heads, key_dim, value_dim: key_dim, dropout, seed: None },
            weights: Weights {
                use_bias: true,
                kernel_initializer: self.kernel_initializer.clone(),
                bias_initializer: self.bias_initializer.clone(),
                kernel_regularizer: None,
                bias_regularizer: None,
            },
            causal,
            output: None,
        };
        self.residual(g, norm, x, |g, x| {
            g.within(name, |g| {
                let value = other.unwrap_or(x);
                let y = attention.attend(g, [x, value, value])?;
                self.dropped(g, "dropout", y)
            })
        })
    }

    /// The two dense layers.
    pub fn feedforward(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let width = g.shape(x).last();
        self.residual(g, "feedforward_layer_norm", x, |g, x| {
            let y = self.dense(g, "feedforward_intermediate_dense", x, self.intermediate_dim)?;
            let y = self.activation.lower(g, y)?;
            let y = self.dense(g, "feedforward_output_dense", y, width)?;
            self.dropped(g, "feedforward_dropout", y)
        })
    }

    /// x and what a part makes of it, added, with the normalization before or after.
    fn residual(
        &self,
        g: &mut Builder<'_>,
        norm: &str,
        x: Var,
        part: impl FnOnce(&mut Builder<'_>, Var) -> Result<Var, Mismatch>,
    ) -> Result<Var, Mismatch> {
        let read = if self.normalize_first { self.normalized(g, norm, x)? } else { x };
        let given = part(g, read)?;
        let y = g.push(Merge::Add, &[given, x])?;
        same_mask(g, x, y);
        if self.normalize_first { Ok(y) } else { self.normalized(g, norm, y) }
    }

    fn normalized(&self, g: &mut Builder<'_>, name: &str, x: Var) -> Result<Var, Mismatch> {
        let width = g.shape(x).last();
        let gamma = g.weight(&format!("{name}/gamma"), [width], &initializers::named("Ones"), None)?;
        let beta = g.weight(&format!("{name}/beta"), [width], &initializers::named("Zeros"), None)?;
        let epsilon = self.layer_norm_epsilon as f32;
        let y = g.push(LayerNorm { width, scale: true, center: true, epsilon }, &[x, gamma, beta])?;
        same_mask(g, x, y);
        Ok(y)
    }

    fn dense(&self, g: &mut Builder<'_>, name: &str, x: Var, units: usize) -> Result<Var, Mismatch> {
        let shape = [g.shape(x).last(), units];
        let kernel = g.weight(&format!("{name}/kernel"), shape, &self.kernel_initializer, None)?;
        let bias = g.weight(&format!("{name}/bias"), [units], &self.bias_initializer, None)?;
        product(g, &[x, kernel, bias])
    }

    fn dropped(&self, g: &mut Builder<'_>, name: &str, x: Var) -> Result<Var, Mismatch> {
        if self.dropout == 0.0 || g.mode() == Mode::Eval {
            return Ok(x);
        }
        let draws = g.within(name, |g| Draws::new(g.stream(), None));
        g.push(Dropout::new(self.dropout, draws), &[x])
    }
}

fn same_mask(g: &mut Builder<'_>, x: Var, y: Var) {
    if let Some(mask) = g.mask(x) {
        g.set_mask(y, mask);
    }
}
