//! MaxPooling3D: the largest number of each window. x `[N, D, H, W, C]`, y `[N, D', H', W', C]`.
//! Keys `pool_size` (2), `strides` (pool_size), `padding` (valid or same).
//! Keras: `layers.MaxPooling3D`.

use crate::layers::LayerEntry;
use crate::layers::pooling::{Kind, Pooling};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "MaxPooling3D",
    aliases: &[],
    about: "the largest number of each window of a volume",
    parse: |f| Box::new(Pooling::<3>::read(f, Kind::Max, Some([2; 3]))),
};

#[cfg(test)]
crate::battery! {
    "type = \"MaxPooling3D\"\npool_size = 2" on [3, 2, 4, 5];
    "type = \"MaxPooling3D\"\npool_size = 2\npadding = \"same\"" on [2, 3, 5, 2];
    "type = \"MaxPooling3D\"\npool_size = 3\nstrides = 2\npadding = \"same\"" on [4, 3, 5, 1];
    "type = \"MaxPooling3D\"\npool_size = [1, 2, 3]\nstrides = [2, 1, 1]" on [3, 3, 4, 2];
}
