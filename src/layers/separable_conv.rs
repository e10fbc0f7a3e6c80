//! What the separable convolutions share: `y = activation(conv1x1(depthwise_conv(x, depthwise_kernel), pointwise_kernel) + bias)`.
//!
//! x `[N, sizes.., C]`, depthwise kernel `[kernel_size.., C, depth_multiplier]`, pointwise kernel
//! `[1.., C * depth_multiplier, filters]`, bias `[filters]`, y `[N, sizes'.., filters]`.
//! Keras: `layers.SeparableConv1D`, `SeparableConv2D`.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Penalty, Precision, Var};
use crate::initializers;
use crate::layers::conv2d::{check_input, read_windows};
use crate::layers::{Layer, one};
use crate::ops::conv::Conv;
use crate::ops::conv_bf16::ConvBf16;
use crate::ops::depthwise::DepthwiseConv;
use crate::regularizers;
use crate::shape::{Padding, Shape, Window};

/// A separable convolution along `D` axes.
#[derive(Debug)]
pub struct SeparableConv<const D: usize> {
    filters: usize,
    windows: [Window; D],
    depth_multiplier: usize,
    activation: Box<dyn Activation>,
    use_bias: bool,
    depthwise_initializer: Arc<dyn Init>,
    pointwise_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    depthwise_regularizer: Option<Penalty>,
    pointwise_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
}

impl<const D: usize> SeparableConv<D> {
    pub fn read(f: &mut Fields<'_>) -> SeparableConv<D> {
        SeparableConv {
            filters: f.key("filters").at_least(1).required(),
            windows: read_windows(f),
            depth_multiplier: f.key("depth_multiplier").at_least(1).or(1),
            activation: f.variant_or("activation", &ACTIVATIONS, "linear"),
            use_bias: f.key("use_bias").or(true),
            depthwise_initializer: initializers::read(f, "depthwise_initializer", "GlorotUniform"),
            pointwise_initializer: initializers::read(f, "pointwise_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            depthwise_regularizer: regularizers::read(f, "depthwise_regularizer"),
            pointwise_regularizer: regularizers::read(f, "pointwise_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        }
    }

    /// The convolution of 1 x 1 that mixes channels, and what is done after it.
    fn mix(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let &[h, w, channels] = &g.shape(x).dims[..] else {
            unreachable!("a depthwise convolution of images")
        };
        let shape = [vec![1; D], vec![channels, self.filters]].concat();
        let kernel =
            g.weight("pointwise_kernel", shape, &self.pointwise_initializer, self.pointwise_regularizer)?;
        let mut inputs = vec![x, kernel];
        if self.use_bias {
            inputs.push(g.weight("bias", [self.filters], &self.bias_initializer, self.bias_regularizer)?);
        }
        let conv = Conv::new([SINGLE; 2], [h, w], channels, self.filters, 1);
        let y = match g.precision() {
            Precision::Float32 => g.push(conv, &inputs)?,
            Precision::Bf16 => g.push(ConvBf16::new(conv), &inputs)?,
        };
        self.activation.lower(g, y)
    }
}

const SINGLE: Window = Window { kernel: 1, stride: 1, dilation: 1, padding: Padding::Valid };

impl<const D: usize> Layer for SeparableConv<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        check_input(&shape, &self.windows)?;
        let channels = shape.last();
        // A sequence is an image of one row.
        let size = if D == 1 { [1, shape.dims[0]] } else { [shape.dims[0], shape.dims[1]] };
        let windows = if D == 1 { [SINGLE, self.windows[0]] } else { [self.windows[0], self.windows[1]] };
        let image = g.reshape(x, Shape::batch([size[0], size[1], channels]))?;
        let kernel = self.windows.iter().map(|w| w.kernel).chain([channels, self.depth_multiplier]);
        let kernel: Vec<usize> = kernel.collect();
        let kernel =
            g.weight("depthwise_kernel", kernel, &self.depthwise_initializer, self.depthwise_regularizer)?;
        let depthwise = DepthwiseConv::new(windows, size, channels, self.depth_multiplier);
        let y = g.push(depthwise, &[image, kernel])?;
        let y = self.mix(g, y)?;
        let output = Shape::batch(&g.shape(y).dims[2 - D..]);
        g.reshape(y, output)
    }
}
