//! Cropping3D: the inside of a volume. x `[N, D, H, W, C]`, y `[N, D', H', W', C]`.
//! `cropping` (1) is one number, or `[planes, rows, columns]`, each a number or `[before, after]`.
//! Keras: `layers.Cropping3D`.

use crate::layers::LayerEntry;
use crate::layers::cropping::Cropping;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Cropping3D",
    aliases: &[],
    about: "the inside of a volume",
    parse: |f| Box::new(Cropping::<3>::read(f, 1)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Cropping3D\"" on [3, 4, 3, 2];
    "type = \"Cropping3D\"\ncropping = [[1, 0], 0, [1, 2]]" on [2, 2, 4, 3];
}
