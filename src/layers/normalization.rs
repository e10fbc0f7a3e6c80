//! Normalization: y = (x - mean) / max(sqrt(variance), 1e-7) for each channel, or with `invert` back.
//!
//! `mean` and `variance` are one number each, or one for each channel; x, y `[N, ..., C]`. Without them
//! they are weights `[C]` that training does not touch, taken from the training part before it starts.
//! Keras: `layers.Normalization` and its `adapt`.

use crate::config::fields::Fields;
use crate::config::read::OneOrMany;
use crate::graph::{Builder, Mismatch, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::channel_affine::ChannelAffine;
use crate::ops::standardize::{LEAST_DEVIATION, Standardize};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Normalization",
    aliases: &[],
    about: "takes means off and divides by standard deviations: given ones, or those of the data",
    parse: |f| Box::new(Normalization::read(f)),
};

#[derive(Debug)]
struct Normalization {
    /// None: of the training part.
    given: Option<Given>,
    invert: bool,
}

#[derive(Debug)]
struct Given {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Normalization {
    fn read(f: &mut Fields<'_>) -> Normalization {
        let mean: Option<OneOrMany<f64>> = f.key("mean").optional();
        let variance: Option<OneOrMany<f64>> = f.key("variance").at_least(0).optional();
        if f.has("mean") != f.has("variance") {
            let (given, missing) = if f.has("mean") { ("mean", "variance") } else { ("variance", "mean") };
            let hint = "give both, or none: then they are those of the training data".to_string();
            f.error(given, format!("is given without `{missing}`"), Some(hint));
        }
        let given = mean.zip(variance).map(|(mean, variance)| Given { mean: mean.0, variance: variance.0 });
        Normalization { given, invert: f.key("invert").or(false) }
    }
}

/// One number for each channel.
fn spread(key: &str, numbers: &[f64], channels: usize) -> Result<Vec<f64>, Mismatch> {
    match numbers {
        [one] => Ok(vec![*one; channels]),
        _ if numbers.len() == channels => Ok(numbers.to_vec()),
        _ => {
            let message = format!("`{key}` has {} numbers, the input {channels} channels", numbers.len());
            Err(Mismatch::new(message).hint("give one number, or one for each channel"))
        }
    }
}

impl Given {
    fn push(&self, g: &mut Builder<'_>, x: Var, invert: bool) -> Result<Var, Mismatch> {
        let channels = g.shape(x).last();
        let mean = spread("mean", &self.mean, channels)?;
        let variance = spread("variance", &self.variance, channels)?;
        let deviation = variance.into_iter().map(|v| v.sqrt().max(LEAST_DEVIATION));
        let lines = mean.iter().zip(deviation);
        let line = |(mean, deviation): (&f64, f64)| match invert {
            true => (deviation as f32, *mean as f32),
            false => ((1.0 / deviation) as f32, (-mean / deviation) as f32),
        };
        let (scale, offset) = lines.map(line).unzip();
        g.push(ChannelAffine { scale, offset }, &[x])
    }
}

impl Layer for Normalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        if let Some(given) = &self.given {
            return given.push(g, x, self.invert);
        }
        let channels = g.shape(x).last();
        let mean = g.state("mean", [channels], &initializers::named("Zeros"))?;
        let variance = g.state("variance", [channels], &initializers::named("Ones"))?;
        g.push(Standardize { channels, invert: self.invert }, &[x, mean, variance])
    }

    fn adapts(&self) -> bool {
        self.given.is_none()
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Normalization\"\nmean = 0.5\nvariance = 4" on [7];
    "type = \"Normalization\"\nmean = [0.1, -0.2, 0.3]\nvariance = [1.0, 0.25, 2.0]" on [3, 2, 3];
    "type = \"Normalization\"\nmean = [0.1, -0.2]\nvariance = 9\ninvert = true" on [5, 2];
    "type = \"Normalization\"" on [2, 3, 3];
    "type = \"Normalization\"\ninvert = true" on [7];
}
