//! What `SimpleRNN`, `LSTM` and `GRU` share: their keys, their weights, and how they lower.
//!
//! x `[N, T, I]`; y `[N, units]`, the last step's state, or `[N, T, units]` with `return_sequences`. Kernel
//! `[I, G units]`, recurrent_kernel `[units, G units]`, bias `[G units]`, of the G gates side by side. All
//! steps' products with the kernel are one product. With `go_backwards` the steps are taken from the last to
//! the first, and come out in that order. A masked step leaves the state as it is.
//!
//! `stateful`: in inference the samples are taken as stretches of one long sequence, and the state goes on from
//! each to the next. In training, where samples are not shuffled, it goes on from batch to batch as in Keras: each
//! sample's from the one in its place of the batch before. Shuffled samples begin with zeros.
//!
//! `dropout` drops inputs, `recurrent_dropout` the state before the recurrent product, gate by gate: both the
//! same at all steps of a sample.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::config::registry::{Entry, Registry};
use crate::graph::{Builder, Init, Mismatch, Mode, Penalty, Precision, Var};
use crate::initializers;
use crate::layers::{Layer, Reach, gru, lstm, one, simple_rnn};
use crate::ops::dropout::{Draws, Dropout, DropoutFactors};
use crate::ops::function::Function;
use crate::ops::matmul::MatMul;
use crate::ops::matmul_bf16::MatMulBf16;
use crate::ops::recurrent::{Cell, Optional, Recurrent, Walk};
use crate::ops::time::Reverse;
use crate::regularizers;
use crate::shape::Shape;

/// The layers that `Bidirectional` runs in both directions.
pub static RECURRENT: Registry<Recurrence> = Registry {
    kind: "recurrent layer",
    entries: &[
        entry("SimpleRNN", simple_rnn::ENTRY.about, |f| Box::new(simple_rnn::read(f))),
        entry("LSTM", lstm::ENTRY.about, |f| Box::new(lstm::read(f))),
        entry("GRU", gru::ENTRY.about, |f| Box::new(gru::read(f))),
    ],
};

const fn entry(
    name: &'static str,
    about: &'static str,
    parse: fn(&mut Fields<'_>) -> Box<Recurrence>,
) -> Entry<Recurrence> {
    Entry { name, aliases: &[], about, parse }
}

/// A recurrent layer.
#[derive(Debug)]
pub struct Recurrence {
    pub cell: Cell,
    pub units: usize,
    activation: Box<dyn Activation>,
    recurrent_activation: Box<dyn Activation>,
    use_bias: bool,
    kernel_initializer: Arc<dyn Init>,
    recurrent_initializer: Arc<dyn Init>,
    pub bias_initializer: Arc<dyn Init>,
    kernel_regularizer: Option<Penalty>,
    recurrent_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
    dropout: f64,
    recurrent_dropout: f64,
    seed: Option<u64>,
    pub return_sequences: bool,
    pub go_backwards: bool,
    pub stateful: bool,
}

impl Recurrence {
    /// The keys that all have; `recurrent_activation` only where there are gates.
    pub fn read(f: &mut Fields<'_>, cell: Cell) -> Recurrence {
        if f.key("return_state").optional() == Some(true) {
            let message = "is not supported: a layer has one output, and its states go nowhere";
            f.error("return_state", message, Some("leave it out".into()));
        }
        let (stateful, go_backwards) = (f.key("stateful").or(false), f.key("go_backwards").or(false));
        if stateful && go_backwards {
            let message = "does not go with `go_backwards`: a state that goes on would come from the future";
            f.error("stateful", message, Some("leave one of them out".into()));
        }
        Recurrence {
            cell,
            units: f.key("units").at_least(1).required(),
            activation: f.variant_or("activation", &ACTIVATIONS, "tanh"),
            recurrent_activation: match cell {
                Cell::Simple => ACTIVATIONS.make("linear").0,
                _ => f.variant_or("recurrent_activation", &ACTIVATIONS, "sigmoid"),
            },
            use_bias: f.key("use_bias").or(true),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            recurrent_initializer: initializers::read(f, "recurrent_initializer", "Orthogonal"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            kernel_regularizer: regularizers::read(f, "kernel_regularizer"),
            recurrent_regularizer: regularizers::read(f, "recurrent_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
            dropout: f.key("dropout").within(0.0, 1.0).or(0.0),
            recurrent_dropout: f.key("recurrent_dropout").within(0.0, 1.0).or(0.0),
            seed: f.key("seed").optional(),
            return_sequences: f.key("return_sequences").or(false),
            go_backwards,
            stateful,
        }
    }

    /// As [`Layer::lower`], from the last step to the first or not.
    pub fn lower_in(&self, g: &mut Builder<'_>, x: Var, backwards: bool) -> Result<Var, Mismatch> {
        let shape = g.shape(x).clone();
        let [steps, features] = *shape.dims else {
            return Err(Mismatch::new(format!("needs sequences [N,T,C], got {shape}")));
        };
        let functions = self.functions()?;
        let (mut x, mut mask) = (x, g.mask(x));
        if backwards {
            x = g.push(Reverse::new(steps), &[x])?;
            mask = mask.map(|mask| g.push(Reverse::new(steps), &[mask])).transpose()?;
        }
        if g.mode() == Mode::Train && self.dropout > 0.0 {
            let draws = Draws::new(g.stream(), self.seed);
            x = g.push(Dropout::of_channels(self.dropout, draws, steps, features), &[x])?;
        }
        let width = self.cell.gates() * self.units;
        let kernel =
            g.weight("kernel", [features, width], &self.kernel_initializer, self.kernel_regularizer)?;
        let recurrent = g.weight(
            "recurrent_kernel",
            [self.units, width],
            &self.recurrent_initializer,
            self.recurrent_regularizer,
        )?;
        let two_biases = self.cell == Cell::Gru { reset_after: true };
        let bias = self.use_bias.then(|| {
            let shape = if two_biases { vec![2, width] } else { vec![width] };
            g.weight("bias", shape, &self.bias_initializer, self.bias_regularizer)
        });
        let bias = bias.transpose()?;
        let inputs: Vec<Var> = [x, kernel].into_iter().chain(bias.filter(|_| !two_biases)).collect();
        let product = MatMul::new(features, width);
        let z = match g.precision() {
            Precision::Float32 => g.push(product, &inputs)?,
            Precision::Bf16 => g.push(MatMulBf16::new(product), &inputs)?,
        };
        let factors = (g.mode() == Mode::Train && self.recurrent_dropout > 0.0).then(|| {
            let draws = Draws::new(g.within("recurrent_dropout", |g| g.stream()), self.seed);
            g.push(DropoutFactors::new(self.recurrent_dropout, draws, width), &[z])
        });
        let factors = factors.transpose()?;
        let bias = bias.filter(|_| two_biases);
        let begin = self.stateful && g.mode() == Mode::Train && g.states().is_some();
        let has = Optional { bias: bias.is_some(), mask: mask.is_some(), factors: factors.is_some(), begin };
        let op = Recurrent::new(self.cell, [steps, self.units], functions, self.return_sequences, has);
        let mut inputs: Vec<Var> =
            [z, recurrent].into_iter().chain(bias).chain(mask).chain(factors).collect();
        let y = if self.stateful && g.mode() == Mode::Eval {
            let walk = Walk::new(op);
            inputs.push(g.carried("state", walk.state())?);
            g.push(walk, &inputs)?
        } else if begin {
            let begins: Vec<Var> =
                (0..self.cell.states()).map(|_| g.input(Shape::batch([self.units]))).collect();
            let outputs = g.push_all(op, &[inputs, begins.clone()].concat())?;
            begins.into_iter().zip(&outputs[1..]).for_each(|(begin, end)| g.go_on(begin, *end));
            outputs[0]
        } else {
            g.push(op, &inputs)?
        };
        if let Some(mask) = mask.filter(|_| self.return_sequences) {
            g.set_mask(y, mask);
        }
        Ok(y)
    }

    /// Activation and recurrent activation.
    fn functions(&self) -> Result<[Arc<dyn Function>; 2], Mismatch> {
        let function = |activation: &dyn Activation, key: &str| {
            activation.function().ok_or_else(|| {
                Mismatch::new(format!("`{key}` must work on each number by itself, not over an axis"))
                    .hint("for example \"tanh\", \"relu\" or \"sigmoid\"")
            })
        };
        Ok([
            function(&*self.activation, "activation")?,
            function(&*self.recurrent_activation, "recurrent_activation")?,
        ])
    }
}

impl Layer for Recurrence {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        self.lower_in(g, one(x), self.go_backwards)
    }

    fn reach(&self) -> Reach {
        if self.stateful { Reach::Walk } else { Reach::Sample }
    }
}

/// The steps of a sequence in reverse order, with their mask.
pub fn reversed(g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
    let Shape { dims, .. } = g.shape(x);
    let steps = dims.first().copied().unwrap_or(1);
    let y = g.push(Reverse::new(steps), &[x])?;
    if let Some(mask) = g.mask(x) {
        let mask = g.push(Reverse::new(steps), &[mask])?;
        g.set_mask(y, mask);
    }
    Ok(y)
}
