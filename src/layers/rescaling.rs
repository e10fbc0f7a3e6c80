//! Rescaling: `y = scale * x + offset`; x, y of any shape. Keras: `layers.Rescaling`.

use crate::layers::LayerEntry;
use crate::layers::activation::Activation;
use crate::ops::function::Affine;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Rescaling",
    aliases: &[],
    about: "scale x + offset",
    parse: |f| {
        let scale = f.key("scale").required::<f64>() as f32;
        let offset = f.key("offset").or(0.0) as f32;
        Box::new(Activation { function: Box::new(Affine { scale, offset }) })
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"Rescaling\"\nscale = 0.5" on [7];
    "type = \"Rescaling\"\nscale = 2\noffset = -0.25" on [3, 5];
}
