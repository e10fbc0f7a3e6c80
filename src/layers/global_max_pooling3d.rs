//! GlobalMaxPooling3D: the largest number of each channel. x `[N, D, H, W, C]`, y `[N, C]`,
//! or `[N, 1, 1, 1, C]` with `keepdims`. Keras: `layers.GlobalMaxPooling3D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalMaxPooling3D",
    aliases: &[],
    about: "the largest number of each channel of a volume",
    parse: |f| Box::new(GlobalPooling::<3>::read(f, Kind::Max)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalMaxPooling3D\"" on [2, 3, 2, 17];
    "type = \"GlobalMaxPooling3D\"\nkeepdims = true" on [1, 3, 2, 2];
}
