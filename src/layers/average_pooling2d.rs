//! AveragePooling2D: the mean of each window, padding left out. x `[N, H, W, C]`, y `[N, H', W', C]`.
//! Keys `pool_size`, `strides` (pool_size), `padding` (valid or same).
//! Keras: `layers.AveragePooling2D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{Kind, Pooling};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "AveragePooling2D",
    aliases: &[],
    about: "the mean of each window",
    parse: |f| Box::new(Pooling::<2>::read(f, Kind::Average, None)),
};

#[cfg(test)]
crate::battery! {
    "type = \"AveragePooling2D\"\npool_size = 2" on [5, 4, 21];
    "type = \"AveragePooling2D\"\npool_size = 2\npadding = \"same\"" on [5, 3, 6];
    "type = \"AveragePooling2D\"\npool_size = 3\nstrides = 2\npadding = \"same\"" on [5, 6, 2];
    "type = \"AveragePooling2D\"\npool_size = [3, 1]\nstrides = 1" on [4, 3, 3];
    "type = \"AveragePooling2D\"\npool_size = [1, 2]\nstrides = [2, 3]\npadding = \"same\"" on [3, 7, 1];
    "type = \"AveragePooling2D\"\npool_size = 3\npadding = \"same\"" on [7, 1, 2];
}
