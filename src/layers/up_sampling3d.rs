//! UpSampling3D: a larger volume. x `[N, D, H, W, C]`, y `[N, D', H', W', C]`, `size` (2) times as large.
//! Keras: `layers.UpSampling3D`.

use crate::layers::LayerEntry;
use crate::layers::up_sampling::UpSampling;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "UpSampling3D",
    aliases: &[],
    about: "every pixel repeated",
    parse: |f| Box::new(UpSampling::<3>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"UpSampling3D\"" on [2, 1, 2, 17];
    "type = \"UpSampling3D\"\nsize = [1, 3, 2]" on [2, 2, 3, 1];
}
