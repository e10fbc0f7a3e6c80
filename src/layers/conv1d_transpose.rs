//! Conv1DTranspose: the transposed convolution of sequences. x `[N, T, C]`, kernel `[K, filters, C]`, y `[N, T', filters]`.
//! Keras: `layers.Conv1DTranspose`.

use crate::layers::LayerEntry;
use crate::layers::conv_transpose::ConvTranspose;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Conv1DTranspose",
    aliases: &["Convolution1DTranspose"],
    about: "larger sequences from smaller ones with kernels that are learned",
    parse: |f| Box::new(ConvTranspose::<1>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Conv1DTranspose\"\nfilters = 3\nkernel_size = 3\nactivation = \"relu\"" on [5, 2];
    "type = \"Conv1DTranspose\"\nfilters = 2\nkernel_size = 4\nstrides = 2\npadding = \"same\"" on [4, 3];
    "type = \"Conv1DTranspose\"\nfilters = 2\nkernel_size = 2\nstrides = 3\nuse_bias = false" on [4, 2];
    "type = \"Conv1DTranspose\"\nfilters = 2\nkernel_size = 3\nstrides = 3\noutput_padding = 2\npadding = \"same\"" on [3, 2];
    "type = \"Conv1DTranspose\"\nfilters = 2\nkernel_size = 3\ndilation_rate = 2\nactivation = \"softmax\"" on [4, 1];
}
