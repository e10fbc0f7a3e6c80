//! Words of `activation = ...`: Keras's names, as a string or as a table with keys.

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::registry::{Entry, Registry};
use crate::graph::{Builder, Mismatch, Var};
use crate::ops::function::*;
use crate::ops::map::Map;
use crate::ops::softmax::Softmax;

/// What follows a layer's sums.
pub trait Activation: Debug + Send + Sync {
    fn lower(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch>;

    /// The function of each number by itself, if it is one: for ops that apply it themselves.
    fn function(&self) -> Option<Arc<dyn Function>> {
        None
    }
}

/// Leaves its input as it is.
#[derive(Debug)]
struct Linear;

impl Activation for Linear {
    fn lower(&self, _: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        Ok(x)
    }

    fn function(&self) -> Option<Arc<dyn Function>> {
        Some(Arc::new(Affine { scale: 1.0, offset: 0.0 }))
    }
}

/// An element-wise function.
impl<F: Pointwise> Activation for F {
    fn lower(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        g.push(Map::new(*self), &[x])
    }

    fn function(&self) -> Option<Arc<dyn Function>> {
        Some(Arc::new(*self))
    }
}

/// Over the last axis.
#[derive(Debug)]
struct OverLastAxis {
    log: bool,
}

impl Activation for OverLastAxis {
    fn lower(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let shape = g.shape(x);
        let Some(&width) = shape.dims.last() else {
            return Err(Mismatch::new(format!("softmax needs an axis besides the batch, got {shape}")));
        };
        g.push(if self.log { Softmax::log(width) } else { Softmax::new(width) }, &[x])
    }
}

/// Every activation there is.
pub static ACTIVATIONS: Registry<dyn Activation> = Registry {
    kind: "activation",
    entries: &[
        word("linear", &[], "x", |_| Box::new(Linear)),
        word("relu", &[], "max(x, 0)", read_relu),
        word("relu6", &[], "min(max(x, 0), 6)", |_| Box::new(Relu6 {})),
        word("leaky_relu", &[], "x, or negative_slope x below 0", |f| {
            Box::new(LeakyRelu { negative_slope: f.key("negative_slope").or(0.2) as f32 })
        }),
        word("elu", &[], "x, or alpha (e^x - 1) below 0", |f| Box::new(Elu { alpha: alpha(f) })),
        word("selu", &[], "scaled elu", |_| Box::new(Selu {})),
        word("celu", &[], "x, or alpha (e^(x/alpha) - 1) below 0", |f| {
            Box::new(Celu { alpha: f.key("alpha").above(0).or(1.0) as f32 })
        }),
        word("gelu", &[], "x Phi(x)", |f| match f.key("approximate").or(false) {
            true => Box::new(GeluTanh {}),
            false => Box::new(Gelu {}),
        }),
        word("silu", &["swish"], "x sigmoid(x)", |_| Box::new(Silu {})),
        word("mish", &[], "x tanh(softplus(x))", |_| Box::new(Mish {})),
        word("softplus", &[], "ln(1 + e^x)", |_| Box::new(Softplus {})),
        word("softsign", &[], "x / (1 + |x|)", |_| Box::new(Softsign {})),
        word("tanh", &[], "tanh x", |_| Box::new(Tanh {})),
        word("sigmoid", &[], "1 / (1 + e^-x)", |_| Box::new(Sigmoid {})),
        word("hard_sigmoid", &[], "x/6 + 1/2 cut to [0, 1]", |_| Box::new(HardSigmoid {})),
        word("hard_silu", &["hard_swish"], "x hard_sigmoid(x)", |_| Box::new(HardSilu {})),
        word("hard_tanh", &[], "x cut to [-1, 1]", |_| Box::new(HardTanh {})),
        word("hard_shrink", &[], "0 where |x| <= 1/2, else x", |_| Box::new(HardShrink {})),
        word("soft_shrink", &[], "x moved by 1/2 towards 0", |_| Box::new(SoftShrink {})),
        word("tanh_shrink", &[], "x - tanh x", |_| Box::new(TanhShrink {})),
        word("threshold", &[], "x above the threshold, else default_value", |f| {
            Box::new(Threshold {
                threshold: f.key("threshold").required::<f64>() as f32,
                default_value: f.key("default_value").required::<f64>() as f32,
            })
        }),
        word("squareplus", &[], "(x + sqrt(x^2 + b)) / 2", |f| {
            Box::new(Squareplus { b: f.key("b").at_least(0).or(4.0) as f32 })
        }),
        word("sparse_plus", &[], "0, (x + 1)^2 / 4, x", |_| Box::new(SparsePlus {})),
        word("sparse_sigmoid", &[], "(x + 1) / 2 cut to [0, 1]", |_| Box::new(SparseSigmoid {})),
        word("exponential", &[], "e^x", |_| Box::new(Exponential {})),
        word("log_sigmoid", &[], "ln sigmoid(x)", |_| Box::new(LogSigmoid {})),
        word("softmax", &[], "e^x / sum e^x over the last axis", |_| Box::new(OverLastAxis { log: false })),
        word("log_softmax", &[], "ln softmax(x)", |_| Box::new(OverLastAxis { log: true })),
    ],
};

const fn word(
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    parse: fn(&mut Fields<'_>) -> Box<dyn Activation>,
) -> Entry<dyn Activation> {
    Entry { name, aliases, about, parse }
}

fn alpha(f: &mut Fields<'_>) -> f32 {
    f.key("alpha").or(1.0) as f32
}

/// Keras's `relu(x, negative_slope, max_value, threshold)`: the general form only where it is asked for.
pub fn read_relu(f: &mut Fields<'_>) -> Box<dyn Activation> {
    let max_value: Option<f64> = f.key("max_value").at_least(0).optional();
    let negative_slope = f.key("negative_slope").at_least(0).or(0.0) as f32;
    let threshold = f.key("threshold").at_least(0).or(0.0) as f32;
    match (max_value, threshold == 0.0, negative_slope == 0.0) {
        (None, true, true) => Box::new(Relu {}),
        (None, true, false) => Box::new(LeakyRelu { negative_slope }),
        _ => {
            let max_value = max_value.map_or(f32::INFINITY, |v| v as f32);
            Box::new(ReluGeneral { max_value, negative_slope, threshold })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{tree, write};
    use crate::diag::Source;
    use crate::testing::battery::LayerCase;
    use crate::testing::golden;

    #[test]
    fn values_and_slopes_are_keras_s() {
        let file = golden::load("activations.json");
        let mut seen = 0;
        for case in golden::cases(&file) {
            let name = golden::text(case, "name");
            if ["sparsemax", "glu"].contains(&name) {
                assert!(ACTIVATIONS.find(name).is_none(), "{name} is not element-wise");
                continue;
            }
            seen += 1;
            let toml = format!("type = \"Activation\"\nactivation = \"{name}\"");
            if case["x"].is_array() {
                let x = golden::numbers(&case["x"]);
                let kinks = golden::numbers(&case["kinks"]);
                let run = LayerCase::new(&toml, &[&[x.len()]]).run(&[&x], &vec![1.0; x.len()], 1);
                for (i, x) in x.iter().enumerate() {
                    let (y, dy) = (case["y"][i].as_f64().unwrap(), case["dy"][i].as_f64().unwrap());
                    golden::close(run.output[i], y, 2e-6, &format!("{name}({x})"));
                    // At a kink any slope between the two sides would do; where ours is TensorFlow's
                    // too, fine, else it is written in the function's comment.
                    // At 0 TensorFlow adds both sides' slopes of celu: 2, where each of them is 1.
                    if !(kinks.contains(x) || name == "celu" && *x == 0.0) {
                        golden::close(run.input_grads[0][i], dy, 4e-6, &format!("slope of {name} at {x}"));
                    }
                }
            } else {
                let (x, dy) = (golden::tensor(&case["input"]), golden::tensor(&case["output_grad"]));
                let shape: Vec<usize> = x.shape()[1..].to_vec();
                let flat = |a: &ndarray::ArrayD<f64>| a.iter().copied().collect::<Vec<f64>>();
                let run = LayerCase::new(&toml, &[&shape]).run(&[&flat(&x)], &flat(&dy), x.shape()[0]);
                golden::all_close(&run.output, &flat(&golden::tensor(&case["output"])), 1e-5, name);
                golden::all_close(
                    &run.input_grads[0],
                    &flat(&golden::tensor(&case["input_grad"])),
                    1e-5,
                    name,
                );
            }
        }
        assert!(seen >= 25, "{seen} activations were compared");
        for name in file["accepted_names"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            assert!(
                ACTIVATIONS.find(name).is_some() || ["sparsemax", "glu"].contains(&name),
                "{name} is missing"
            );
        }
    }

    #[test]
    fn every_activation_reads_back_what_it_writes() {
        for entry in ACTIVATIONS.entries.iter().filter(|e| e.name != "threshold") {
            let (activation, plain) = ACTIVATIONS.make(entry.name);
            let source = Source::new("t", format!("v = {}", write::inline(&plain)));
            let table = tree::parse(&source).unwrap();
            let again = ACTIVATIONS.read(&table.entries[0].value, &mut vec![]).unwrap().0;
            assert_eq!(format!("{activation:?}"), format!("{again:?}"));
        }
    }
}
