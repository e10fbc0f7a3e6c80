//! RandomContrast: in training y = (x - m) f + m, m the mean of the sample's channel, f from
//! 1 - lower to 1 + upper, where `factor` is `[lower, upper]` or one number for both; y is cut to
//! `value_range`. x, y `[N, H, W, C]`. Keras: `layers.RandomContrast`.

use crate::config::fields::Fields;
use crate::config::read::OneOrMany;
use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::adjust::{Adjust, Change};
use crate::ops::dropout::Draws;
use crate::ops::warp::Span;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomContrast",
    aliases: &[],
    about: "changes the contrast of pictures at random in training",
    parse: |f| {
        let OneOrMany(factor) = f.key("factor").at_least(0).required::<OneOrMany<f64>>();
        let (lower, upper) = match factor[..] {
            [f] => (f, f),
            [lower, upper] => (lower, upper),
            _ => {
                f.error("factor", format!("expected one number or two, found {}", factor.len()), None);
                (0.0, 0.0)
            }
        };
        if lower > 1.0 || upper > 1.0 {
            f.error("factor", format!("must be from 0 to 1, got {lower} and {upper}"), None);
        }
        let range = read_value_range(f);
        let change = Change::Contrast(Span(1.0 - lower, 1.0 + upper));
        Box::new(Adjusted { change, range, seed: f.key("seed").optional() })
    },
};

/// The range that values are cut to; Keras's default is that of bytes.
pub(super) fn read_value_range(f: &mut Fields<'_>) -> [f64; 2] {
    let range = f.key("value_range").or(vec![0.0, 255.0]);
    match range[..] {
        [low, high] if low < high => [low, high],
        _ => {
            f.error("value_range", format!("expected [low, high], got {range:?}"), None);
            [0.0, 255.0]
        }
    }
}

#[derive(Debug)]
pub(super) struct Adjusted {
    pub change: Change,
    pub range: [f64; 2],
    pub seed: Option<u64>,
}

impl Layer for Adjusted {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<2>(g.shape(x))?;
        if g.mode() == Mode::Eval {
            return Ok(x);
        }
        let (size, channels) = (g.shape(x).size(), g.shape(x).last());
        let adjust = Adjust {
            change: self.change,
            draws: Draws::new(g.stream(), self.seed),
            places: size / channels,
            channels,
            range: self.range.map(|v| v as f32),
        };
        g.push(adjust, &[x])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"RandomContrast\"\nfactor = 0.4\nvalue_range = [-9, 9]" on [3, 4, 2];
    "type = \"RandomContrast\"\nfactor = [0.5, 0.2]\nvalue_range = [-1, 1]\nseed = 2" on [4, 3, 3];
    "type = \"RandomContrast\"\nfactor = 0.3" on [2, 2, 1];
}
