//! GroupNormalization: `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and population variance
//! of each sample over the channels of a group and all places. `groups = -1`: each channel for itself.
//!
//! x, y `[N, ...]`, channels at `axis`; gamma and beta `[C]`. Keras: `layers.GroupNormalization`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::group_norm::GroupNorm;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GroupNormalization",
    aliases: &[],
    about: "mean 0 and variance 1 within groups of channels, then scaled and moved",
    parse: |f| Box::new(GroupNormalization::read(f)),
};

#[derive(Debug)]
struct GroupNormalization {
    groups: i64,
    axis: i64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Arc<dyn Init>,
    gamma_initializer: Arc<dyn Init>,
    beta_regularizer: Option<Penalty>,
    gamma_regularizer: Option<Penalty>,
}

impl GroupNormalization {
    fn read(f: &mut Fields<'_>) -> GroupNormalization {
        let groups = f.key("groups").or(32);
        if groups < 1 && groups != -1 {
            let hint = "-1 gives each channel a group of its own".to_string();
            f.error("groups", format!("must be at least 1, or -1, got {groups}"), Some(hint));
        }
        GroupNormalization {
            groups,
            axis: f.key("axis").or(-1),
            epsilon: f.key("epsilon").above(0).or(1e-3),
            center: f.key("center").or(true),
            scale: f.key("scale").or(true),
            beta_initializer: initializers::read(f, "beta_initializer", "Zeros"),
            gamma_initializer: initializers::read(f, "gamma_initializer", "Ones"),
            beta_regularizer: regularizers::read(f, "beta_regularizer"),
            gamma_regularizer: regularizers::read(f, "gamma_regularizer"),
        }
    }

    /// Channels are the last axis.
    fn push(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let channels = g.shape(x).last();
        let groups = usize::try_from(self.groups).unwrap_or(channels);
        if !channels.is_multiple_of(groups) {
            let message = format!("{channels} channels cannot be shared out to {groups} groups");
            return Err(Mismatch::new(message).hint("`groups` must divide the channels of the input"));
        }
        let mut inputs = vec![x];
        if self.scale {
            inputs.push(g.weight("gamma", [channels], &self.gamma_initializer, self.gamma_regularizer)?);
        }
        if self.center {
            inputs.push(g.weight("beta", [channels], &self.beta_initializer, self.beta_regularizer)?);
        }
        let &GroupNormalization { scale, center, .. } = self;
        g.push(GroupNorm { channels, groups, scale, center, epsilon: self.epsilon as f32 }, &inputs)
    }
}

impl Layer for GroupNormalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let axis = axes::place(self.axis, g.shape(x))?;
        axes::with_last(g, x, &[axis], |g, x| self.push(g, x))
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
    "type = \"GroupNormalization\"\ngroups = 2" on [4];
    "type = \"GroupNormalization\"\ngroups = 3\nepsilon = 0.1" on [3, 2, 6];
    "type = \"GroupNormalization\"\ngroups = -1\nscale = false" on [5, 3];
    "type = \"GroupNormalization\"\ngroups = 1\ncenter = false\naxis = 1" on [4, 3];
}
