//! Normalization: y = (x - mean) / max(sqrt(variance), 1e-7) for each channel, or with `invert` back.
//! `mean` and `variance` are one number each, or one for each channel; x, y `[N, ..., C]`.
//! Keras: `layers.Normalization`, whose `adapt` has no counterpart here: the numbers are given.

use crate::config::read::OneOrMany;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::channel_affine::ChannelAffine;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Normalization",
    aliases: &[],
    about: "takes given means off and divides by given standard deviations",
    parse: |f| {
        Box::new(Normalization {
            mean: f.key("mean").required::<OneOrMany<f64>>().0,
            variance: f.key("variance").at_least(0).required::<OneOrMany<f64>>().0,
            invert: f.key("invert").or(false),
        })
    },
};

#[derive(Debug)]
struct Normalization {
    mean: Vec<f64>,
    variance: Vec<f64>,
    invert: bool,
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

impl Layer for Normalization {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let channels = g.shape(x).last();
        let mean = spread("mean", &self.mean, channels)?;
        let deviation = spread("variance", &self.variance, channels)?.into_iter().map(|v| v.sqrt().max(1e-7));
        let lines = mean.iter().zip(deviation);
        let line = |(mean, deviation): (&f64, f64)| match self.invert {
            true => (deviation as f32, *mean as f32),
            false => ((1.0 / deviation) as f32, (-mean / deviation) as f32),
        };
        let (scale, offset) = lines.map(line).unzip();
        g.push(ChannelAffine { scale, offset }, &[x])
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
}
