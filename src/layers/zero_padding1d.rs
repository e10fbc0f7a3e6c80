//! ZeroPadding1D: zeros around a sequence. x `[N, T, C]`, y `[N, T', C]`.
//! `padding` (1) is one number or `[before, after]`.
//! Keras: `layers.ZeroPadding1D`.

use crate::layers::LayerEntry;
use crate::layers::zero_padding::ZeroPadding;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ZeroPadding1D",
    aliases: &[],
    about: "zeros around a sequence",
    parse: |f| Box::new(ZeroPadding::<1>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"ZeroPadding1D\"" on [3, 2];
    "type = \"ZeroPadding1D\"\npadding = [0, 2]" on [1, 17];
}
