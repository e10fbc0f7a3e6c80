//! GlobalMaxPooling2D: the largest number of each channel. x `[N, H, W, C]`, y `[N, C]`,
//! or `[N, 1, 1, C]` with `keepdims`. Keras: `layers.GlobalMaxPooling2D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalMaxPooling2D",
    aliases: &[],
    about: "the largest number of each channel",
    parse: |f| Box::new(GlobalPooling::<2>::read(f, Kind::Max)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalMaxPooling2D\"" on [3, 5, 21];
    "type = \"GlobalMaxPooling2D\"\nkeepdims = true" on [1, 3, 2];
}
