//! Cropping1D: the inside of a sequence. x `[N, T, C]`, y `[N, T', C]`.
//! `cropping` (1) is one number or `[before, after]`.
//! Keras: `layers.Cropping1D`.

use crate::layers::LayerEntry;
use crate::layers::cropping::Cropping;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Cropping1D",
    aliases: &[],
    about: "the inside of a sequence",
    parse: |f| Box::new(Cropping::<1>::read(f, 1)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Cropping1D\"" on [4, 2];
    "type = \"Cropping1D\"\ncropping = [0, 2]" on [3, 17];
}
