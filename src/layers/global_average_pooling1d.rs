//! GlobalAveragePooling1D: the mean of each channel. x `[N, T, C]`, y `[N, C]`,
//! or `[N, 1, C]` with `keepdims`. Of a masked sequence the mean of the steps that count; 0 if none does.
//! Keras: `layers.GlobalAveragePooling1D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalAveragePooling1D",
    aliases: &[],
    about: "the mean of each channel",
    parse: |f| Box::new(GlobalPooling::<1>::read(f, Kind::Average)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalAveragePooling1D\"" on [5, 3];
    "type = \"GlobalAveragePooling1D\"\nkeepdims = true" on [3, 1];
}
