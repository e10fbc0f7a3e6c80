//! Conv3D: `y = activation(conv(x, kernel) + bias)` over volumes and clips.
//!
//! x `[N, D, H, W, C]`, kernel `[KD, KH, KW, C / groups, filters]`, bias `[filters]`,
//! y `[N, OD, OH, OW, filters]`. Keras: `layers.Conv3D`.

use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::conv2d::{Filters, check_input, read_windows};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::volume_conv::VolumeConv;
use crate::shape::Window;

pub const ENTRY: LayerEntry = Entry {
    name: "Conv3D",
    aliases: &["Convolution3D"],
    about: "convolution of volumes, or of clips in space and time, with kernels that are learned",
    parse: |f| Box::new(Conv3D { windows: read_windows(f), rest: Filters::read(f) }),
};

#[derive(Debug)]
struct Conv3D {
    windows: [Window; 3],
    rest: Filters,
}

impl Layer for Conv3D {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        check_input(g.shape(x), &self.windows)?;
        let &[d, h, w, channels] = &g.shape(x).dims[..] else { unreachable!("the rank is checked") };
        let &Filters { filters, groups, ref activation, .. } = &self.rest;
        let [depth, rows, columns] = self.windows.map(|w| w.kernel);
        let kernel = vec![depth, rows, columns, self.rest.kernel_channels(channels)?, filters];
        let inputs = self.rest.inputs(g, x, kernel)?;
        let conv = VolumeConv::new(self.windows, [d, h, w], channels, filters, groups);
        let y = g.push(conv, &inputs)?;
        activation.lower(g, y)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Conv3D\"\nfilters = 3\nkernel_size = 2\nactivation = \"relu\"" on [3, 3, 4, 2];
    "type = \"Conv3D\"\nfilters = 2\nkernel_size = [3, 2, 1]\npadding = \"same\"\nactivation = \"tanh\"" on [2, 3, 3, 1];
    "type = \"Conv3D\"\nfilters = 2\nkernel_size = 2\nstrides = [2, 1, 3]\npadding = \"same\"\nuse_bias = false" on [3, 2, 4, 2];
    "type = \"Conv3D\"\nfilters = 2\nkernel_size = 2\ndilation_rate = [3, 1, 2]\npadding = \"same\"" on [2, 2, 3, 1];
    "type = \"Conv3D\"\nfilters = 4\nkernel_size = 2\ngroups = 2\nactivation = \"softmax\"" on [2, 3, 2, 2];
    "type = \"Conv3D\"\nfilters = 3\nkernel_size = 1\nstrides = 2\nactivation = \"gelu\"" on [3, 2, 3, 2];
}

#[cfg(test)]
mod batches {
    use crate::layers::conv2d::convolutions::check;

    #[test]
    fn gradients_of_a_batch_are_sums_over_its_volumes() {
        let toml = "type = \"Conv3D\"\nfilters = 8\nkernel_size = 3\nactivation = \"relu\"\n";
        check(&format!("{toml}padding = \"same\""), &[3, 5, 4, 4]);
        check(&format!("{toml}strides = 2\ngroups = 2"), &[5, 7, 9, 2]);
    }
}
