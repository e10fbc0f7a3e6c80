//! Conv2DTranspose: the transposed convolution of images. x `[N, H, W, C]`, kernel `[KH, KW, filters, C]`, y `[N, H', W', filters]`.
//! Keras: `layers.Conv2DTranspose`.

use crate::layers::LayerEntry;
use crate::layers::conv_transpose::ConvTranspose;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Conv2DTranspose",
    aliases: &["Convolution2DTranspose"],
    about: "larger images from smaller ones with kernels that are learned",
    parse: |f| Box::new(ConvTranspose::<2>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Conv2DTranspose\"\nfilters = 3\nkernel_size = 3\nactivation = \"relu\"" on [3, 4, 2];
    "type = \"Conv2DTranspose\"\nfilters = 9\nkernel_size = 4\nstrides = 2\npadding = \"same\"\nactivation = \"tanh\"" on [3, 2, 2];
    "type = \"Conv2DTranspose\"\nfilters = 2\nkernel_size = 2\nstrides = 2" on [2, 3, 9];
    "type = \"Conv2DTranspose\"\nfilters = 1\nkernel_size = 5\nstrides = 2\npadding = \"same\"\nuse_bias = false\nactivation = \"sigmoid\"" on [3, 2, 3];
    "type = \"Conv2DTranspose\"\nfilters = 2\nkernel_size = [1, 2]\nstrides = [2, 3]\noutput_padding = [1, 2]" on [3, 2, 1];
    "type = \"Conv2DTranspose\"\nfilters = 2\nkernel_size = 3\ndilation_rate = [2, 1]\npadding = \"same\"" on [3, 4, 2];
    "type = \"Conv2DTranspose\"\nfilters = 5\nkernel_size = 1\nactivation = \"gelu\"" on [2, 3, 2];
}
