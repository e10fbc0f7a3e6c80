//! MaxPooling1D: the largest number of each window. x `[N, T, C]`, y `[N, T', C]`.
//! Keys `pool_size` (2), `strides` (pool_size), `padding` (valid or same).
//! Keras: `layers.MaxPooling1D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{Kind, Pooling};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "MaxPooling1D",
    aliases: &[],
    about: "the largest number of each window",
    parse: |f| Box::new(Pooling::<1>::read(f, Kind::Max, Some([2; 1]))),
};

#[cfg(test)]
crate::battery! {
    "type = \"MaxPooling1D\"" on [5, 3];
    "type = \"MaxPooling1D\"\npool_size = 2" on [5, 3];
    "type = \"MaxPooling1D\"\npool_size = 3\nstrides = 1\npadding = \"same\"" on [5, 21];
    "type = \"MaxPooling1D\"\npool_size = 3\nstrides = 2" on [7, 1];
    "type = \"MaxPooling1D\"\npool_size = 2\nstrides = 3\npadding = \"same\"" on [4, 2];
}
