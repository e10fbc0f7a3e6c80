//! BatchNormalization: `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` by channel.
//!
//! Training takes mean and population variance of the batch, over all axes but `axis`, and moves
//! `moving_mean` and `moving_variance` towards them by `1 - momentum`; inference, and training of a
//! frozen layer, takes those. x, y `[N, ..., C]`, weights `[C]`. Keras: `layers.BatchNormalization`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Mode, Penalty, Var};
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::batch_norm::{BatchNorm, Form};
use crate::ops::batch_norm_inference::BatchNormInference;
use crate::ops::normalized::Tail;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "BatchNormalization",
    aliases: &[],
    about: "mean 0 and variance 1 of each channel over the batch, then scaled and moved",
    parse: |f| Box::new(BatchNormalization::read(f)),
};

#[derive(Debug)]
struct BatchNormalization {
    axis: i64,
    momentum: f64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Arc<dyn Init>,
    gamma_initializer: Arc<dyn Init>,
    moving_mean_initializer: Arc<dyn Init>,
    moving_variance_initializer: Arc<dyn Init>,
    beta_regularizer: Option<Penalty>,
    gamma_regularizer: Option<Penalty>,
}

impl BatchNormalization {
    fn read(f: &mut Fields<'_>) -> BatchNormalization {
        let momentum = f.key("momentum").at_least(0).or(0.99);
        if momentum > 1.0 {
            let hint = "it is the share of the old moving statistics that is kept".to_string();
            f.error("momentum", format!("must be at most 1, got {momentum}"), Some(hint));
        }
        BatchNormalization {
            axis: f.key("axis").or(-1),
            momentum,
            epsilon: f.key("epsilon").above(0).or(1e-3),
            center: f.key("center").or(true),
            scale: f.key("scale").or(true),
            beta_initializer: initializers::read(f, "beta_initializer", "Zeros"),
            gamma_initializer: initializers::read(f, "gamma_initializer", "Ones"),
            moving_mean_initializer: initializers::read(f, "moving_mean_initializer", "Zeros"),
            moving_variance_initializer: initializers::read(f, "moving_variance_initializer", "Ones"),
            beta_regularizer: regularizers::read(f, "beta_regularizer"),
            gamma_regularizer: regularizers::read(f, "gamma_regularizer"),
        }
    }

    /// Over the last axis.
    fn push(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let channels = g.shape(x).last();
        let &BatchNormalization { scale, center, epsilon, momentum, .. } = self;
        let mut inputs = vec![x];
        if scale {
            inputs.push(g.weight("gamma", [channels], &self.gamma_initializer, self.gamma_regularizer)?);
        }
        if center {
            inputs.push(g.weight("beta", [channels], &self.beta_initializer, self.beta_regularizer)?);
        }
        inputs.push(g.state("moving_mean", [channels], &self.moving_mean_initializer)?);
        inputs.push(g.state("moving_variance", [channels], &self.moving_variance_initializer)?);
        let form = Form { channels, scale, center, epsilon, tail: Tail::default() };
        if g.mode() == Mode::Train && g.trainable() {
            let momentum = if g.statistics_kept() { 1.0 } else { momentum };
            g.push(BatchNorm { form, momentum }, &inputs)
        } else {
            g.push(BatchNormInference { form }, &inputs)
        }
    }
}

impl Layer for BatchNormalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let axis = axes::place(self.axis, g.shape(x))?;
        axes::with_last(g, x, &[axis], |g, x| self.push(g, x))
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"BatchNormalization\"" on [5];
    "type = \"BatchNormalization\"\nmomentum = 0.5\nepsilon = 0.1" on [2, 3, 21];
    "type = \"BatchNormalization\"\nscale = false" on [7, 6];
    "type = \"BatchNormalization\"\ncenter = false\nscale = false\naxis = 1" on [3, 2];
}
