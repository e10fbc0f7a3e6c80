//! Cropping2D: the inside of an image. x `[N, H, W, C]`, y `[N, H', W', C]`.
//! `cropping` (0) is one number, `[rows, columns]` or `[[top, bottom], [left, right]]`.
//! Keras: `layers.Cropping2D`.

use crate::layers::LayerEntry;
use crate::layers::cropping::Cropping;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Cropping2D",
    aliases: &[],
    about: "the inside of an image",
    parse: |f| Box::new(Cropping::<2>::read(f, 0)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Cropping2D\"" on [2, 3, 2];
    "type = \"Cropping2D\"\ncropping = [1, 0]" on [4, 2, 3];
    "type = \"Cropping2D\"\ncropping = [[0, 2], [1, 1]]" on [3, 5, 1];
}
