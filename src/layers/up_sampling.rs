//! What the upsamplings share: every pixel is repeated `size` times along each axis, or, in images with
//! `interpolation = "bilinear"`, pixels are blended with their neighbours.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Var, check_size};
use crate::layers::sides::box_size;
use crate::layers::{Layer, axes, one};
use crate::ops::resize::Resize;
use crate::ops::up_sampling::UpSampling as Repeat;
use crate::shape::Shape;

/// Larger images from smaller ones, along `D` axes.
#[derive(Debug)]
pub struct UpSampling<const D: usize> {
    size: [usize; D],
    interpolation: Interpolation,
}

/// What lies between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    Nearest,
    Bilinear,
}

crate::words!(Interpolation, Nearest = "nearest", Bilinear = "bilinear");

impl<const D: usize> UpSampling<D> {
    pub fn read(f: &mut Fields<'_>) -> UpSampling<D> {
        let size = f.key("size").at_least(1).or([2; D]);
        let interpolation = match D {
            2 => f.key("interpolation").or(Interpolation::Nearest),
            _ => Interpolation::Nearest,
        };
        UpSampling { size, interpolation }
    }
}

impl<const D: usize> Layer for UpSampling<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        let sizes = self.size.iter().zip(&shape.dims).map(|(factor, size)| factor.saturating_mul(*size));
        check_size(&Shape::batch(sizes.chain([shape.last()]).collect::<Vec<_>>()), "its output")?;
        let (size, channels) = (box_size::<D>(&shape), shape.last());
        let factors = std::array::from_fn(|i| if i + D < 3 { 1 } else { self.size[i + D - 3] });
        match self.interpolation {
            Interpolation::Nearest => g.push(Repeat::new(size, channels, factors), &[x]),
            Interpolation::Bilinear => {
                let output = [size[1] * factors[1], size[2] * factors[2]];
                g.push(Resize::bilinear([size[1], size[2]], output, channels), &[x])
            }
        }
    }
}
