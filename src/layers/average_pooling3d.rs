//! AveragePooling3D: the mean of each window, padding left out. x `[N, D, H, W, C]`, y `[N, D', H', W', C]`.
//! Keys `pool_size`, `strides` (pool_size), `padding` (valid or same).
//! Keras: `layers.AveragePooling3D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{Kind, Pooling};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "AveragePooling3D",
    aliases: &[],
    about: "the mean of each window of a volume",
    parse: |f| Box::new(Pooling::<3>::read(f, Kind::Average, None)),
};

#[cfg(test)]
crate::battery! {
    "type = \"AveragePooling3D\"\npool_size = 2" on [3, 2, 4, 5];
    "type = \"AveragePooling3D\"\npool_size = 2\npadding = \"same\"" on [2, 3, 5, 2];
    "type = \"AveragePooling3D\"\npool_size = 3\nstrides = 2\npadding = \"same\"" on [4, 3, 5, 1];
    "type = \"AveragePooling3D\"\npool_size = [1, 2, 3]\nstrides = [2, 1, 1]" on [3, 3, 4, 2];
}
