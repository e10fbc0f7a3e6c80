//! GaussianNoise: in training adds normal noise of mean 0 and deviation `stddev`; in inference leaves
//! all as it is. x, y of any shape. Keras: `layers.GaussianNoise`.

use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::dropout::Draws;
use crate::ops::gaussian_noise::GaussianNoise as Op;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GaussianNoise",
    aliases: &[],
    about: "adds normal noise in training",
    parse: |f| {
        let stddev = f.key("stddev").at_least(0).required();
        Box::new(GaussianNoise { stddev, seed: f.key("seed").optional() })
    },
};

#[derive(Debug)]
struct GaussianNoise {
    stddev: f64,
    seed: Option<u64>,
}

impl Layer for GaussianNoise {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        if g.mode() == Mode::Eval || self.stddev == 0.0 {
            return Ok(x);
        }
        let draws = Draws::new(g.stream(), self.seed);
        g.push(Op::new(self.stddev, draws), &[x])
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"GaussianNoise\"\nstddev = 0.5" on [5];
    "type = \"GaussianNoise\"\nstddev = 1\nseed = 3" on [3, 7];
}
