//! What the layers share that change pictures at random: active in training only, other numbers for each
//! sample and step, and in a step that is repeated the same ones.

use crate::config::fields::Fields;
use crate::config::read::{OneOrMany, Read, Wrong};
use crate::config::tree::Value;
use crate::config::write::Plain;
use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::{Layer, axes, one};
use crate::ops::dropout::Draws;
use crate::ops::warp::{Fill, Interpolation, Motion, Span, Warp};

/// A number f, for the span from -f to f, or `[lower, upper]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor(pub Span);

impl Read for Factor {
    fn read(value: &Value) -> Result<Factor, Wrong> {
        match OneOrMany::<f64>::read(value)?.0[..] {
            [f] => Ok(Factor(Span(-f.abs(), f.abs()))),
            [lower, upper] if lower <= upper => Ok(Factor(Span(lower, upper))),
            [lower, upper] => Err(Wrong::new(format!("goes from {lower} down to {upper}"))),
            _ => Err(Wrong::expected("a number or [lower, upper]", value)),
        }
    }

    fn write(&self) -> Plain {
        let Span(lower, upper) = self.0;
        if lower == -upper { upper.write() } else { Plain::Array(vec![lower.write(), upper.write()]) }
    }

    fn blank() -> Factor {
        Factor(Span(0.0, 0.0))
    }
}

/// A factor in [-1, 1], or a mistake.
pub(super) fn within_one(f: &mut Fields<'_>, key: &'static str, factor: Factor) -> Span {
    let Span(lower, upper) = factor.0;
    if lower < -1.0 || upper > 1.0 {
        f.error(key, format!("must be from -1 to 1, got [{lower}, {upper}]"), None);
    }
    factor.0
}

/// A layer that moves pictures.
#[derive(Debug)]
pub(super) struct Moved {
    pub motion: Motion,
    pub fill: Fill,
    pub fill_value: f64,
    pub interpolation: Interpolation,
    pub seed: Option<u64>,
}

impl Moved {
    /// Reads the keys that the layers share.
    pub fn read(f: &mut Fields<'_>, motion: Motion) -> Moved {
        Moved {
            motion,
            fill: f.key("fill_mode").or(Fill::Reflect),
            interpolation: f.key("interpolation").or(Interpolation::Bilinear),
            seed: f.key("seed").optional(),
            fill_value: f.key("fill_value").or(0.0),
        }
    }

    /// Adds the op, for outputs of this size.
    pub fn push(&self, g: &mut Builder<'_>, x: Var, to: [usize; 2], motion: Motion) -> Result<Var, Mismatch> {
        let dims = &g.shape(x).dims;
        let warp = Warp {
            motion,
            draws: Draws::new(g.stream(), self.seed),
            from: [dims[0], dims[1], dims[2]],
            to,
            fill: self.fill,
            fill_value: self.fill_value as f32,
            interpolation: self.interpolation,
        };
        g.push(warp, &[x])
    }
}

impl Layer for Moved {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<2>(g.shape(x))?;
        if g.mode() == Mode::Eval {
            return Ok(x);
        }
        let to = [g.shape(x).dims[0], g.shape(x).dims[1]];
        self.push(g, x, to, self.motion)
    }

    fn moves_pixels(&self) -> bool {
        true
    }
}
