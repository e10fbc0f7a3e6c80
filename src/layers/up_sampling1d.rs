//! UpSampling1D: a larger sequence. x `[N, T, C]`, y `[N, T', C]`, `size` (2) times as large.
//! Keras: `layers.UpSampling1D`.

use crate::layers::LayerEntry;
use crate::layers::up_sampling::UpSampling;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "UpSampling1D",
    aliases: &[],
    about: "every step repeated",
    parse: |f| Box::new(UpSampling::<1>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"UpSampling1D\"" on [3, 2];
    "type = \"UpSampling1D\"\nsize = 3" on [4, 1];
}
