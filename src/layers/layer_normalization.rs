//! LayerNormalization: `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and population
//! variance of each sample over `axis` (one axis or several).
//!
//! x, y `[N, ...]`; gamma and beta have the dimensions of `axis`, in the input's order.
//! Keras: `layers.LayerNormalization`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::read::OneOrMany;
use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::layer_norm::LayerNorm;
use crate::shape::Shape;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "LayerNormalization",
    aliases: &[],
    about: "mean 0 and variance 1 within each sample, then scaled and moved",
    parse: |f| Box::new(LayerNormalization::read(f)),
};

#[derive(Debug)]
struct LayerNormalization {
    axis: Vec<i64>,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Arc<dyn Init>,
    gamma_initializer: Arc<dyn Init>,
    beta_regularizer: Option<Penalty>,
    gamma_regularizer: Option<Penalty>,
}

impl LayerNormalization {
    fn read(f: &mut Fields<'_>) -> LayerNormalization {
        let OneOrMany(axis) = f.key("axis").or(OneOrMany(vec![-1]));
        if axis.is_empty() {
            f.error("axis", "names no axis", None);
        }
        LayerNormalization {
            axis,
            epsilon: f.key("epsilon").above(0).or(1e-3),
            center: f.key("center").or(true),
            scale: f.key("scale").or(true),
            beta_initializer: initializers::read(f, "beta_initializer", "Zeros"),
            gamma_initializer: initializers::read(f, "gamma_initializer", "Ones"),
            beta_regularizer: regularizers::read(f, "beta_regularizer"),
            gamma_regularizer: regularizers::read(f, "gamma_regularizer"),
        }
    }

    /// Over the last axes, which have these dimensions.
    fn push(&self, g: &mut Builder<'_>, x: Var, dims: &[usize]) -> Result<Var, Mismatch> {
        let (shape, width) = (g.shape(x).clone(), dims.iter().product());
        let others = &shape.dims[..shape.dims.len() - dims.len()];
        let rows: Vec<usize> = others.iter().copied().chain([width]).collect();
        let mut inputs = vec![g.reshape(x, Shape::batch(rows))?];
        let mut weight = |name: &str, init: &Arc<dyn Init>, penalty: Option<Penalty>| {
            let weight = g.weight(name, dims, init, penalty)?;
            inputs.push(g.reshape(weight, Shape::fixed([width]))?);
            Ok(())
        };
        if self.scale {
            weight("gamma", &self.gamma_initializer, self.gamma_regularizer)?;
        }
        if self.center {
            weight("beta", &self.beta_initializer, self.beta_regularizer)?;
        }
        let &LayerNormalization { scale, center, epsilon, .. } = self;
        let y = g.push(LayerNorm { width, scale, center, epsilon: epsilon as f32 }, &inputs)?;
        g.reshape(y, shape)
    }
}

impl Layer for LayerNormalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let (places, dims) = axes::places(&self.axis, g.shape(x))?;
        axes::with_last(g, x, &places, |g, x| self.push(g, x, &dims))
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        if matches!(self.axis[..], [-1 | 2]) { Reach::Step } else { Reach::Sample }
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"LayerNormalization\"" on [5];
    "type = \"LayerNormalization\"\nepsilon = 0.1" on [2, 37];
    "type = \"LayerNormalization\"\nscale = false\naxis = [1, -1]" on [3, 5];
    "type = \"LayerNormalization\"\ncenter = false\naxis = 2" on [2, 3, 2];
}
