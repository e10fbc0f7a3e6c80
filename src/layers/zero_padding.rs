//! What the zero paddings share: `padding` is one number, or as [`Sides`] says.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::sides::{Sides, box_size};
use crate::layers::{Layer, axes, one};
use crate::ops::pad::Pad;

/// Zeros around `D` axes of places.
#[derive(Debug)]
pub struct ZeroPadding<const D: usize> {
    padding: Sides<D>,
}

impl<const D: usize> ZeroPadding<D> {
    pub fn read(f: &mut Fields<'_>) -> ZeroPadding<D> {
        ZeroPadding { padding: f.key("padding").or(Sides([[1; 2]; D])) }
    }
}

impl<const D: usize> Layer for ZeroPadding<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        g.push(Pad::new(box_size::<D>(&shape), shape.last(), self.padding.of_box()), &[x])
    }
}
