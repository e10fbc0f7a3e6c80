//! Conv3DTranspose: the transposed convolution of volumes. x `[N, D, H, W, C]`, kernel `[KD, KH, KW, filters, C]`, y `[N, D', H', W', filters]`.
//! Keras: `layers.Conv3DTranspose`.

use crate::layers::LayerEntry;
use crate::layers::conv_transpose::ConvTranspose;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Conv3DTranspose",
    aliases: &["Convolution3DTranspose"],
    about: "larger volumes from smaller ones with kernels that are learned",
    parse: |f| Box::new(ConvTranspose::<3>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Conv3DTranspose\"\nfilters = 2\nkernel_size = 2\nstrides = 2\nactivation = \"relu\"" on [2, 1, 2, 3];
    "type = \"Conv3DTranspose\"\nfilters = 2\nkernel_size = 3\nstrides = [2, 1, 1]\npadding = \"same\"" on [2, 2, 3, 2];
    "type = \"Conv3DTranspose\"\nfilters = 1\nkernel_size = [1, 2, 3]\nstrides = [3, 1, 2]\noutput_padding = [2, 0, 1]\nuse_bias = false" on [2, 2, 1, 2];
}
