//! GlobalAveragePooling2D: the mean of each channel. x `[N, H, W, C]`, y `[N, C]`,
//! or `[N, 1, 1, C]` with `keepdims`. Keras: `layers.GlobalAveragePooling2D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalAveragePooling2D",
    aliases: &[],
    about: "the mean of each channel",
    parse: |f| Box::new(GlobalPooling::<2>::read(f, Kind::Average)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalAveragePooling2D\"" on [3, 5, 21];
    "type = \"GlobalAveragePooling2D\"\nkeepdims = true" on [1, 3, 2];
}
