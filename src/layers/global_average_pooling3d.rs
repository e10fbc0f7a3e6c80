//! GlobalAveragePooling3D: the mean of each channel. x `[N, D, H, W, C]`, y `[N, C]`,
//! or `[N, 1, 1, 1, C]` with `keepdims`. Keras: `layers.GlobalAveragePooling3D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{GlobalPooling, Kind};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GlobalAveragePooling3D",
    aliases: &[],
    about: "the mean of each channel of a volume",
    parse: |f| Box::new(GlobalPooling::<3>::read(f, Kind::Average)),
};

#[cfg(test)]
crate::battery! {
    "type = \"GlobalAveragePooling3D\"" on [2, 3, 2, 17];
    "type = \"GlobalAveragePooling3D\"\nkeepdims = true" on [1, 3, 2, 2];
}
