//! What the croppings share: `cropping` is one number, or as [`Sides`] says.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::sides::{Sides, box_size};
use crate::layers::{Layer, axes, one};
use crate::ops::crop::Crop;

/// The inside along `D` axes of places.
#[derive(Debug)]
pub struct Cropping<const D: usize> {
    cropping: Sides<D>,
}

impl<const D: usize> Cropping<D> {
    /// Reads the key; without it, so many are taken from every side.
    pub fn read(f: &mut Fields<'_>, default: usize) -> Cropping<D> {
        Cropping { cropping: f.key("cropping").or(Sides([[default; 2]; D])) }
    }
}

impl<const D: usize> Layer for Cropping<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        let crop = Crop::new(box_size::<D>(&shape), shape.last(), self.cropping.of_box());
        let crop = crop.ok_or_else(|| {
            Mismatch::new(format!("cropping {:?} leaves nothing of {shape}", self.cropping.0))
                .hint("what is taken from an axis must be less than its size")
        })?;
        g.push(crop, &[x])
    }
}
