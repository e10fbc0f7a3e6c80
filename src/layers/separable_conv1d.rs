//! SeparableConv1D: a convolution of every channel for itself, then one of 1 x 1, over sequences.
//! x `[N, T, C]`, y `[N, T', filters]`. Keras: `layers.SeparableConv1D`.

use crate::layers::LayerEntry;
use crate::layers::separable_conv::SeparableConv;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "SeparableConv1D",
    aliases: &["SeparableConvolution1D"],
    about: "convolution of every channel for itself, then one of 1 x 1",
    parse: |f| Box::new(SeparableConv::<1>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"SeparableConv1D\"\nfilters = 4\nkernel_size = 3\npadding = \"same\"\nactivation = \"relu\"" on [6, 3];
    "type = \"SeparableConv1D\"\nfilters = 3\nkernel_size = 2\nstrides = 2\ndepth_multiplier = 2" on [7, 2];
    "type = \"SeparableConv1D\"\nfilters = 2\nkernel_size = 2\ndilation_rate = 2\nuse_bias = false\nactivation = \"tanh\"" on [5, 17];
}
