//! DepthwiseConv2D: `y = activation(depthwise_conv(x, kernel) + bias)`.
//!
//! x `[N, H, W, C]`, kernel `[KH, KW, C, depth_multiplier]`, bias `[C * depth_multiplier]`,
//! y `[N, OH, OW, C * depth_multiplier]`. Keras: `layers.DepthwiseConv2D`.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::initializers;
use crate::layers::conv2d::{check_input, read_windows};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::depthwise::DepthwiseConv;
use crate::regularizers;
use crate::shape::Window;

pub const ENTRY: LayerEntry = Entry {
    name: "DepthwiseConv2D",
    aliases: &["DepthwiseConvolution2D"],
    about: "convolution of every channel for itself",
    parse: |f| Box::new(DepthwiseConv2D::read(f)),
};

#[derive(Debug)]
struct DepthwiseConv2D {
    windows: [Window; 2],
    depth_multiplier: usize,
    activation: Box<dyn Activation>,
    use_bias: bool,
    depthwise_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    depthwise_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
}

impl DepthwiseConv2D {
    fn read(f: &mut Fields<'_>) -> DepthwiseConv2D {
        DepthwiseConv2D {
            windows: read_windows(f),
            depth_multiplier: f.key("depth_multiplier").at_least(1).or(1),
            activation: f.variant_or("activation", &ACTIVATIONS, "linear"),
            use_bias: f.key("use_bias").or(true),
            depthwise_initializer: initializers::read(f, "depthwise_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            depthwise_regularizer: regularizers::read(f, "depthwise_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        }
    }
}

impl Layer for DepthwiseConv2D {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        check_input(g.shape(x), &self.windows)?;
        let &[h, w, channels] = &g.shape(x).dims[..] else { unreachable!("the rank is checked") };
        let shape = [self.windows[0].kernel, self.windows[1].kernel, channels, self.depth_multiplier];
        let kernel = g.weight("kernel", shape, &self.depthwise_initializer, self.depthwise_regularizer)?;
        let conv = DepthwiseConv::new(self.windows, [h, w], channels, self.depth_multiplier);
        let y = if self.use_bias {
            let size = channels * self.depth_multiplier;
            let bias = g.weight("bias", [size], &self.bias_initializer, self.bias_regularizer)?;
            g.push(conv, &[x, kernel, bias])?
        } else {
            g.push(conv, &[x, kernel])?
        };
        self.activation.lower(g, y)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"DepthwiseConv2D\"\nkernel_size = 3\nactivation = \"relu\"" on [5, 4, 17];
    "type = \"DepthwiseConv2D\"\nkernel_size = 2\nactivation = \"tanh\"" on [2, 3, 83];
    "type = \"DepthwiseConv2D\"\nkernel_size = [2, 3]\npadding = \"same\"\ndepth_multiplier = 2" on [3, 5, 3];
    "type = \"DepthwiseConv2D\"\nkernel_size = 3\nstrides = 2\npadding = \"same\"\nuse_bias = false" on [6, 5, 2];
    "type = \"DepthwiseConv2D\"\nkernel_size = 1\nstrides = [2, 1]\ndepth_multiplier = 3" on [5, 4, 1];
    "type = \"DepthwiseConv2D\"\nkernel_size = 2\ndilation_rate = [2, 1]" on [4, 4, 2];
}

#[cfg(test)]
mod batches {
    #[test]
    fn gradients_of_a_batch_are_sums_over_its_images() {
        let toml = "type = \"DepthwiseConv2D\"\nkernel_size = 3\npadding = \"same\"\nactivation = \"relu\"";
        crate::layers::conv2d::convolutions::check(toml, &[9, 8, 21]);
        crate::layers::conv2d::convolutions::check(
            &format!("{toml}\ndepth_multiplier = 2\nstrides = 2"),
            &[9, 8, 21],
        );
    }
}
