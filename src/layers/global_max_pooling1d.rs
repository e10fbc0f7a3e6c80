//! GlobalMaxPooling1D: the largest number of each channel. x `[N, T, C]`, y `[N, C]`,
//! or `[N, 1, C]` with `keepdims`. Keras: `layers.GlobalMaxPooling1D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalMaxPooling1D",
    aliases: &[],
    about: "the largest number of each channel",
    parse: |f| Box::new(GlobalPooling::<1>::read(f, Kind::Max)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalMaxPooling1D\"" on [5, 3];
    "type = \"GlobalMaxPooling1D\"\nkeepdims = true" on [3, 1];
}
