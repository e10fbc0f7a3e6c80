//! ZeroPadding2D: zeros around an image. x `[N, H, W, C]`, y `[N, H', W', C]`.
//! `padding` (1) is one number, `[rows, columns]` or `[[top, bottom], [left, right]]`.
//! Keras: `layers.ZeroPadding2D`.

use crate::layers::LayerEntry;
use crate::layers::zero_padding::ZeroPadding;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ZeroPadding2D",
    aliases: &[],
    about: "zeros around an image",
    parse: |f| Box::new(ZeroPadding::<2>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"ZeroPadding2D\"" on [3, 1, 2];
    "type = \"ZeroPadding2D\"\npadding = [0, 2]" on [1, 3, 3];
    "type = \"ZeroPadding2D\"\npadding = [[1, 0], [2, 3]]" on [2, 5, 1];
}
