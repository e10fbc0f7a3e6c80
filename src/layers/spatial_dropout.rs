//! What `SpatialDropout1D` and `SpatialDropout2D` share.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::dropout::read_rate;
use crate::layers::{Layer, axes, one};
use crate::ops::dropout::{Draws, Dropout};

/// Dropout of channels with `D` axes of places.
#[derive(Debug)]
pub struct SpatialDropout<const D: usize> {
    rate: f64,
    seed: Option<u64>,
}

impl<const D: usize> SpatialDropout<D> {
    pub fn read(f: &mut Fields<'_>) -> SpatialDropout<D> {
        SpatialDropout { rate: read_rate(f), seed: f.key("seed").optional() }
    }
}

impl<const D: usize> Layer for SpatialDropout<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        if g.mode() == Mode::Eval || self.rate == 0.0 {
            return Ok(x);
        }
        let draws = Draws::new(g.stream(), self.seed);
        let channels = shape.last();
        g.push(Dropout::of_channels(self.rate, draws, shape.size() / channels, channels), &[x])
    }

    fn passes_mask(&self) -> bool {
        true
    }
}
