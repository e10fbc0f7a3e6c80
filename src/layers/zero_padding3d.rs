//! ZeroPadding3D: zeros around a volume. x `[N, D, H, W, C]`, y `[N, D', H', W', C]`.
//! `padding` (1) is one number, or `[planes, rows, columns]`, each a number or `[before, after]`.
//! Keras: `layers.ZeroPadding3D`.

use crate::layers::LayerEntry;
use crate::layers::zero_padding::ZeroPadding;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ZeroPadding3D",
    aliases: &[],
    about: "zeros around a volume",
    parse: |f| Box::new(ZeroPadding::<3>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"ZeroPadding3D\"" on [1, 2, 1, 2];
    "type = \"ZeroPadding3D\"\npadding = [[1, 0], 0, [2, 1]]" on [2, 2, 1, 3];
}
