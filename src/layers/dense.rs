//! Dense: `y = activation(x * kernel + bias)`.
//!
//! x `[N, ..., I]`, kernel `[I, units]`, bias `[units]`, y `[N, ..., units]`. Keras: `layers.Dense`.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::graph::{Builder, Init, Mismatch, Penalty, Precision, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::matmul::MatMul;
use crate::ops::matmul_bf16::MatMulBf16;
use crate::regularizers;

pub const ENTRY: LayerEntry = Entry {
    name: "Dense",
    aliases: &[],
    about: "every output from every input: y = activation(x kernel + bias)",
    parse: |f| Box::new(Dense::read(f)),
};

#[derive(Debug)]
struct Dense {
    units: usize,
    activation: Box<dyn Activation>,
    use_bias: bool,
    kernel_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    kernel_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
}

impl Dense {
    fn read(f: &mut Fields<'_>) -> Dense {
        Dense {
            units: f.key("units").at_least(1).required(),
            activation: f.variant_or("activation", &ACTIVATIONS, "linear"),
            use_bias: f.key("use_bias").or(true),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            kernel_regularizer: regularizers::read(f, "kernel_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        }
    }
}

/// `x kernel (+ bias)` of inputs x, kernel `[k, m]` and maybe bias, in the run's precision.
pub(super) fn product(g: &mut Builder<'_>, inputs: &[Var]) -> Result<Var, Mismatch> {
    let &[k, m] = &g.shape(inputs[1]).dims[..] else { unreachable!("a kernel is a matrix") };
    let product = MatMul::new(k, m);
    match g.precision() {
        Precision::Float32 => g.push(product, inputs),
        Precision::Bf16 => g.push(MatMulBf16::new(product), inputs),
    }
}

impl Layer for Dense {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        if shape.dims.is_empty() {
            return Err(Mismatch::new(format!("needs an input of rank 2 or more, got {shape}")));
        }
        let (k, m) = (shape.last(), self.units);
        let kernel = g.weight("kernel", [k, m], &self.kernel_initializer, self.kernel_regularizer)?;
        let mut inputs = vec![x, kernel];
        if self.use_bias {
            inputs.push(g.weight("bias", [m], &self.bias_initializer, self.bias_regularizer)?);
        }
        let y = product(g, &inputs)?;
        self.activation.lower(g, y)
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Dense\"\nunits = 5\nactivation = \"relu\"" on [4];
    "type = \"Dense\"\nunits = 3\nuse_bias = false\nactivation = \"gelu\"" on [2, 3];
    "type = \"Dense\"\nunits = 1" on [1];
}
