//! AveragePooling1D: the mean of each window, padding left out. x `[N, T, C]`, y `[N, T', C]`.
//! Keys `pool_size`, `strides` (pool_size), `padding` (valid or same).
//! Keras: `layers.AveragePooling1D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{Kind, Pooling};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "AveragePooling1D",
    aliases: &[],
    about: "the mean of each window",
    parse: |f| Box::new(Pooling::<1>::read(f, Kind::Average, None)),
};

#[cfg(test)]
crate::battery! {
    "type = \"AveragePooling1D\"\npool_size = 2" on [5, 3];
    "type = \"AveragePooling1D\"\npool_size = 3\nstrides = 1\npadding = \"same\"" on [5, 21];
    "type = \"AveragePooling1D\"\npool_size = 3\nstrides = 2" on [7, 1];
    "type = \"AveragePooling1D\"\npool_size = 2\nstrides = 3\npadding = \"same\"" on [4, 2];
}
