//! Resizing: pictures in another size, whatever their proportions. x `[N, H, W, C]`, y `[N, height, width,
//! C]`. With `interpolation` (bilinear or nearest, without antialiasing). Keras: `layers.Resizing`.

use crate::graph::{Builder, Mismatch, Var, check_size};
use crate::layers::up_sampling::Interpolation;
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::resize::Resize;
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Resizing",
    aliases: &[],
    about: "pictures brought to a height and a width",
    parse: |f| {
        Box::new(Resizing {
            size: [f.key("height").at_least(1).required(), f.key("width").at_least(1).required()],
            interpolation: f.key("interpolation").or(Interpolation::Bilinear),
        })
    },
};

#[derive(Debug)]
struct Resizing {
    size: [usize; 2],
    interpolation: Interpolation,
}

impl Layer for Resizing {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<2>(&shape)?;
        let channels = shape.last();
        check_size(&Shape::batch([self.size[0], self.size[1], channels]), "its output")?;
        let input = [shape.dims[0], shape.dims[1]];
        let op = match self.interpolation {
            Interpolation::Bilinear => Resize::bilinear(input, self.size, channels),
            Interpolation::Nearest => Resize::nearest(input, self.size, channels),
        };
        g.push(op, &[x])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Resizing\"\nheight = 5\nwidth = 3" on [2, 4, 21];
    "type = \"Resizing\"\nheight = 2\nwidth = 7" on [7, 3, 1];
    "type = \"Resizing\"\nheight = 4\nwidth = 2\ninterpolation = \"nearest\"" on [3, 5, 2];
    "type = \"Resizing\"\nheight = 3\nwidth = 1\ninterpolation = \"nearest\"" on [1, 6, 1];
    "type = \"Resizing\"\nheight = 1\nwidth = 2" on [4, 2, 3];
}
