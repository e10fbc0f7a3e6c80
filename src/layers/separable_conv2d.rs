//! SeparableConv2D: a convolution of every channel for itself, then one of 1 x 1, over images.
//! x `[N, H, W, C]`, y `[N, H', W', filters]`. Keras: `layers.SeparableConv2D`.

use crate::layers::LayerEntry;
use crate::layers::separable_conv::SeparableConv;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "SeparableConv2D",
    aliases: &["SeparableConvolution2D"],
    about: "convolution of every channel for itself, then one of 1 x 1",
    parse: |f| Box::new(SeparableConv::<2>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"SeparableConv2D\"\nfilters = 4\nkernel_size = 3\npadding = \"same\"\nactivation = \"relu\"" on [4, 5, 3];
    "type = \"SeparableConv2D\"\nfilters = 3\nkernel_size = 2\nstrides = 2\ndepth_multiplier = 2" on [5, 4, 2];
    "type = \"SeparableConv2D\"\nfilters = 2\nkernel_size = 2\ndilation_rate = 2\nuse_bias = false\nactivation = \"tanh\"" on [3, 3, 17];
}
