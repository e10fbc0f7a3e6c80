//! UpSampling2D: a larger image. x `[N, H, W, C]`, y `[N, H', W', C]`, `size` (2) times as large.
//! With `interpolation` (nearest or bilinear). Keras: `layers.UpSampling2D`.

use crate::layers::LayerEntry;
use crate::layers::up_sampling::UpSampling;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "UpSampling2D",
    aliases: &[],
    about: "every pixel repeated, or blended with its neighbours",
    parse: |f| Box::new(UpSampling::<2>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"UpSampling2D\"" on [3, 2, 21];
    "type = \"UpSampling2D\"\nsize = [3, 1]" on [2, 4, 1];
    "type = \"UpSampling2D\"\ninterpolation = \"bilinear\"" on [3, 2, 21];
    "type = \"UpSampling2D\"\nsize = [3, 4]\ninterpolation = \"bilinear\"" on [1, 4, 2];
    "type = \"UpSampling2D\"\nsize = [1, 2]\ninterpolation = \"bilinear\"" on [2, 1, 1];
}
