//! RMSNormalization: `y = x / sqrt(mean of x^2 + epsilon) * scale`, mean of each sample over `axis` (one axis
//! or several). x, y `[N, ...]`; scale has the dimensions of `axis`. Keras: `layers.RMSNormalization`, which
//! drops masks; here a sequence keeps its mask, as through the other normalizations.

use crate::config::fields::Fields;
use crate::config::read::OneOrMany;
use crate::graph::{Builder, Mismatch, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::rms_norm::RmsNorm;
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RMSNormalization",
    aliases: &[],
    about: "mean square 1 within each sample, then scaled",
    parse: |f| Box::new(RmsNormalization::read(f)),
};

#[derive(Debug)]
struct RmsNormalization {
    axis: Vec<i64>,
    epsilon: f64,
}

impl RmsNormalization {
    fn read(f: &mut Fields<'_>) -> RmsNormalization {
        let OneOrMany(axis) = f.key("axis").or(OneOrMany(vec![-1]));
        if axis.is_empty() {
            f.error("axis", "names no axis", None);
        }
        RmsNormalization { axis, epsilon: f.key("epsilon").above(0).or(1e-6) }
    }
}

impl Layer for RmsNormalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let (places, dims) = axes::places(&self.axis, g.shape(x))?;
        axes::with_last(g, x, &places, |g, x| {
            let (shape, width) = (g.shape(x).clone(), dims.iter().product());
            let others = &shape.dims[..shape.dims.len() - dims.len()];
            let rows: Vec<usize> = others.iter().copied().chain([width]).collect();
            let scale = g.weight("scale", &dims[..], &initializers::named("Ones"), None)?;
            let scale = g.reshape(scale, Shape::fixed([width]))?;
            let x = g.reshape(x, Shape::batch(rows))?;
            let y = g.push(RmsNorm { width, epsilon: self.epsilon as f32 }, &[x, scale])?;
            g.reshape(y, shape)
        })
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"RMSNormalization\"" on [5];
    "type = \"RMSNormalization\"\nepsilon = 0.1" on [2, 37];
    "type = \"RMSNormalization\"\naxis = [1, -1]" on [3, 5];
    "type = \"RMSNormalization\"\naxis = 1" on [3, 2];
}
