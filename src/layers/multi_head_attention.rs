//! MultiHeadAttention: `y = (softmax(q k^T / sqrt(key_dim)) v of all heads) kernel + bias`, with q, k and v
//! products of the inputs.
//!
//! `from = [query, value]` or `[query, value, key]`; one input attends to itself. Query `[N, T, D]`, value
//! and key `[N, S, ...]`, y `[N, T, D]` or `[N, T, output_shape]`. Kernels `query/kernel` `[D, num_heads, key_dim]`,
//! `key/kernel`, `value/kernel` `[., num_heads, value_dim]`, `attention_output/kernel`
//! `[num_heads, value_dim, D]`. Masks of the inputs and `use_causal_mask` hide keys; y has the query's mask.
//! A query to which all is hidden takes the mean of all values. Keras: `layers.MultiHeadAttention`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Mode, Penalty, Var};
use crate::layers::dense::product;
use crate::layers::{Arity, Layer, LayerEntry, Reach, axes};
use crate::ops::attention::{Attention, Drops, Joined, Masks};
use crate::ops::concatenate::Concatenate;
use crate::ops::dropout::Draws;
use crate::shape::Shape;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "MultiHeadAttention",
    aliases: &[],
    about: "each step of a query takes what it looks for in other steps",
    parse: |f| Box::new(MultiHeadAttention::read(f)),
};

#[derive(Debug)]
pub(super) struct MultiHeadAttention {
    pub heads: Heads,
    pub weights: Weights,
    pub causal: bool,
    /// Width of y; that of the query by default.
    pub output: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub num_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub dropout: f64,
    pub seed: Option<u64>,
}

/// How the products' weights are made.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub use_bias: bool,
    pub kernel_initializer: Arc<dyn Init>,
    pub bias_initializer: Arc<dyn Init>,
    pub kernel_regularizer: Option<Penalty>,
    pub bias_regularizer: Option<Penalty>,
}

/// Of a product: its name and the numbers for each head.
type Projection = (&'static str, usize);

impl MultiHeadAttention {
    fn read(f: &mut Fields<'_>) -> MultiHeadAttention {
        let num_heads = f.key("num_heads").at_least(1).required();
        let key_dim: usize = f.key("key_dim").at_least(1).required();
        let value_dim = f.key("value_dim").at_least(1).or(key_dim);
        let dropout = f.key("dropout").within(0.0, 1.0).or(0.0);
        let weights = Weights {
            use_bias: f.key("use_bias").or(true),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            kernel_regularizer: regularizers::read(f, "kernel_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        };
        MultiHeadAttention {
            heads: Heads { num_heads, key_dim, value_dim, dropout, seed: f.key("seed").optional() },
            weights,
            causal: f.key("use_causal_mask").or(false),
            output: f.key("output_shape").at_least(1).optional(),
        }
    }

    /// Products of one input, side by side.
    fn project(&self, g: &mut Builder<'_>, x: Var, parts: &[Projection]) -> Result<Var, Mismatch> {
        let (width, heads, w) = (g.shape(x).last(), self.heads.num_heads, &self.weights);
        let (mut kernels, mut biases) = (vec![], vec![]);
        for &(name, dim) in parts {
            let path = format!("{name}/kernel");
            let kernel = g.weight(&path, [width, heads, dim], &w.kernel_initializer, w.kernel_regularizer)?;
            kernels.push(g.reshape(kernel, Shape::fixed([width, heads * dim]))?);
            if w.use_bias {
                let path = format!("{name}/bias");
                let bias = g.weight(&path, [heads, dim], &w.bias_initializer, w.bias_regularizer)?;
                biases.push(g.reshape(bias, Shape::fixed([heads * dim]))?);
            }
        }
        let mut inputs = vec![x, side_by_side(g, &kernels, 1)?];
        if w.use_bias {
            inputs.push(side_by_side(g, &biases, 0)?);
        }
        product(g, &inputs)
    }

    /// Queries, keys and values for the op: what has one source is one product.
    fn sources(&self, g: &mut Builder<'_>, x: [Var; 3]) -> Result<(Joined, Vec<Var>), Mismatch> {
        let [query, value, key] = x;
        let Heads { key_dim, value_dim, .. } = self.heads;
        let (q, k, v) = (("query", key_dim), ("key", key_dim), ("value", value_dim));
        if query == value && value == key {
            return Ok((Joined::Everything, vec![self.project(g, query, &[q, k, v])?]));
        }
        let queries = self.project(g, query, &[q])?;
        if value == key {
            return Ok((Joined::KeysAndValues, vec![queries, self.project(g, value, &[k, v])?]));
        }
        Ok((Joined::Nothing, vec![queries, self.project(g, key, &[k])?, self.project(g, value, &[v])?]))
    }

    /// Attention of x = query, value, key; the key's mask counts only if it is neither of the others.
    pub fn attend(&self, g: &mut Builder<'_>, x: [Var; 3]) -> Result<Var, Mismatch> {
        let [query, value, key] = x;
        for x in x {
            axes::check_places::<1>(g.shape(x))?;
        }
        let (steps, others) = (g.shape(value).dims[0], g.shape(key).dims[0]);
        if steps != others {
            let message = format!("value has {steps} steps and key {others}: each key belongs to a value");
            return Err(Mismatch::new(message));
        }
        let width = self.output.unwrap_or(g.shape(query).last());
        let (joined, mut inputs) = self.sources(g, x)?;
        let masks = [g.mask(query), g.mask(value), g.mask(key).filter(|_| key != value)];
        inputs.extend(masks.iter().flatten());
        let Heads { num_heads: heads, key_dim, value_dim, dropout, seed } = self.heads;
        let dropped = dropout > 0.0 && g.mode() == Mode::Train;
        let attention = Attention {
            heads,
            key_dim,
            value_dim,
            joined,
            causal: self.causal,
            masks: Masks { query: masks[0].is_some(), value: masks[1].is_some(), key: masks[2].is_some() },
            drops: dropped.then(|| Drops::new(dropout, Draws::new(g.stream(), seed))),
        };
        let y = g.push(attention, &inputs)?;
        let w = &self.weights;
        let kernel = g.weight(
            "attention_output/kernel",
            [heads, value_dim, width],
            &w.kernel_initializer,
            w.kernel_regularizer,
        )?;
        let mut inputs = vec![y, g.reshape(kernel, Shape::fixed([heads * value_dim, width]))?];
        if w.use_bias {
            let bias = g.weight("attention_output/bias", [width], &w.bias_initializer, w.bias_regularizer)?;
            inputs.push(bias);
        }
        let y = product(g, &inputs)?;
        if let Some(mask) = masks[0] {
            g.set_mask(y, mask);
        }
        Ok(y)
    }
}

/// Parameters as one, along an axis.
fn side_by_side(g: &mut Builder<'_>, parts: &[Var], axis: usize) -> Result<Var, Mismatch> {
    if let [only] = parts {
        return Ok(*only);
    }
    let shapes: Vec<&Shape> = parts.iter().map(|v| g.shape(*v)).collect();
    let op = Concatenate::new(&shapes, axis)?;
    g.push(op, parts)
}

impl Layer for MultiHeadAttention {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let value = *x.get(1).unwrap_or(&x[0]);
        self.attend(g, [x[0], value, *x.get(2).unwrap_or(&value)])
    }

    fn arity(&self) -> Arity {
        Arity::UpTo(3)
    }

    fn reach(&self) -> Reach {
        if self.causal { Reach::Sample } else { Reach::Ahead }
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"MultiHeadAttention\"\nnum_heads = 2\nkey_dim = 3" on [5, 4];
    "type = \"MultiHeadAttention\"\nnum_heads = 1\nkey_dim = 2\nvalue_dim = 4\nuse_causal_mask = true\nuse_bias = false" on [4, 3];
    "type = \"MultiHeadAttention\"\nnum_heads = 2\nkey_dim = 2\ndropout = 0.3\noutput_shape = 5" on [3, 4], [5, 3];
    "type = \"MultiHeadAttention\"\nnum_heads = 3\nkey_dim = 1\nvalue_dim = 2\nseed = 4" on [2, 3], [3, 2], [3, 5];
}
