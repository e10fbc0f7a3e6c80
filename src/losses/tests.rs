use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::activations::ACTIVATIONS;
use crate::compile::{Want, compile};
use crate::config::tree;
use crate::diag::{At, Diag, Source};
use crate::exec::Session;
use crate::graph::node::Origin;
use crate::graph::twin::{self, TwinCtx};
use crate::graph::{Graph, Mode, Params};
use crate::initializers;
use crate::kernels::par::Pool;
use crate::ops::function::Affine;
use crate::ops::map::Map;
use crate::ops::matmul::MatMul;
use crate::rng::Stream;
use crate::testing::golden::{self, all_close, close};
use crate::testing::words;

fn parse(toml: &str) -> Result<Box<dyn Loss>, Vec<Diag>> {
    let source = Source::new("loss.toml", toml);
    let value = tree::Value { data: tree::Data::Table(tree::parse(&source)?), at: At::new(&source, 0..0) };
    let mut diags = vec![];
    let read = LOSSES.read(&value, &mut diags);
    if diags.is_empty() { Ok(read.expect("no mistake was found").0) } else { Err(diags) }
}

/// A loss on outputs that are parameters, so that their gradients can be read.
pub(super) struct Case {
    loss: Box<dyn Loss>,
    batch: usize,
    /// Shapes of one output and of one target.
    output: Vec<usize>,
    target: Vec<usize>,
    activation: &'static str,
    /// The output changes its shape to this after the activation.
    reshaped: Option<Vec<usize>>,
}

struct Lowered {
    graph: Graph,
    params: Params,
    /// Rows of the unit matrix, targets, weights.
    inputs: [Var; 3],
    loss: Var,
}

impl Case {
    pub(super) fn new(toml: &str, batch: usize, output: &[usize], target: &[usize]) -> Case {
        let loss = parse(toml).unwrap_or_else(|d| panic!("{toml}\n{}", d[0]));
        let (output, target) = (output.to_vec(), target.to_vec());
        Case { loss, batch, output, target, activation: "linear", reshaped: None }
    }

    pub(super) fn activation(self, activation: &'static str) -> Case {
        Case { activation, ..self }
    }

    fn size(&self) -> usize {
        self.output.iter().product()
    }

    /// Unit matrix times kernel: the kernel's rows are the outputs, bit by bit.
    fn try_lower(&self) -> Result<Lowered, Mismatch> {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, Mode::Train, 0);
        g.enter("output", true);
        let unit = g.input(Shape::batch([self.batch]));
        let kernel =
            g.weight("kernel", [self.batch, self.size()], &initializers::named("Zeros"), None).unwrap();
        let output = g.push(MatMul::new(self.batch, self.size()), &[unit, kernel]).unwrap();
        let output = g.push(Map::new(Affine { scale: 1.0, offset: 0.0 }), &[output]).unwrap();
        let mut output = g.reshape(output, Shape::batch(self.output.clone())).unwrap();
        output = ACTIVATIONS.make(self.activation).0.lower(&mut g, output).unwrap();
        if let Some(dims) = &self.reshaped {
            output = g.reshape(output, Shape::batch(dims.clone())).unwrap();
        }
        let target = g.input(Shape::batch(self.target.clone()));
        let weight = g.input(Shape::batch([]));
        let loss = self.loss.lower(&mut g, LossInputs { output, target, weight })?;
        assert_eq!(*g.shape(loss), Shape::batch([]), "one number per sample");
        Ok(Lowered { graph: g.graph, params, inputs: [unit, target, weight], loss })
    }

    fn lower(&self) -> Lowered {
        self.try_lower().unwrap_or_else(|m| panic!("{:?}: {}", self.loss, m.message))
    }

    fn unit(&self) -> Vec<f64> {
        let n = self.batch;
        (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect()
    }

    /// Loss of each sample, and the gradient of their mean.
    pub(super) fn run(
        &self,
        x: &[f64],
        t: &[f64],
        w: &[f64],
        capacity: usize,
        threads: usize,
    ) -> (Vec<f64>, Vec<f64>) {
        let Lowered { graph, params, inputs, loss } = self.lower();
        let want = Want {
            inputs: inputs.to_vec(),
            outputs: vec![loss],
            losses: vec![(loss, 1.0)],
            batch: capacity,
            threads,
            fixed: vec![],
        };
        let program = compile(graph, &params, &want);
        let mut session = Session::new(&params, vec![program], Arc::new(Pool::new(threads)));
        let fill = |to: &mut [f32], from: &[f64]| {
            assert_eq!(to.len(), from.len());
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as f32);
        };
        fill(session.param_mut(0), x);
        for (i, values) in [&*self.unit(), t, w].into_iter().enumerate() {
            fill(session.input(0, i, self.batch), values);
        }
        session.run(0, self.batch, 0);
        let wide = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect();
        (wide(session.output(0, 0, self.batch)), wide(session.grad(0)))
    }

    /// The same from the f64 twins, gradients by central differences.
    fn twin(&self, x: &[f64], t: &[f64], w: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let l = self.lower();
        let unit = self.unit();
        let losses = |x: &[f64]| -> Vec<f64> {
            let all = twin::run(&l.graph, self.batch, TwinCtx { step: 0 }, |var| {
                let given = match l.graph.values[var.0].origin {
                    Origin::Param(_) => x,
                    _ if var == l.inputs[0] => &unit,
                    _ if var == l.inputs[1] => t,
                    _ => w,
                };
                let full = l.graph.shape(var).full(self.batch);
                ArrayD::from_shape_vec(IxDyn(&full), given.to_vec()).unwrap()
            });
            all[l.loss.0].iter().copied().collect()
        };
        let mean = |x: &[f64]| losses(x).iter().sum::<f64>() / self.batch as f64;
        let mut x = x.to_vec();
        let mut gradient = vec![];
        for i in 0..x.len() {
            let (at, h) = (x[i], 1e-6 * x[i].abs().max(1.0));
            x[i] = at + h;
            let above = mean(&x);
            x[i] = at - h;
            gradient.push((above - mean(&x)) / (2.0 * h));
            x[i] = at;
        }
        (losses(&x), gradient)
    }

    /// Kernels, twins, threads and partial batches agree.
    pub(super) fn check(&self, t: &[f64]) {
        let what = format!("{:?} after {} on {:?}", self.loss, self.activation, self.output);
        let x = noise("x", self.batch * self.size());
        let w: Vec<f64> = (0..self.batch).map(|n| 0.5 + n as f64).collect();
        let ours = self.run(&x, t, &w, self.batch, 1);
        let reference = self.twin(&x, t, &w);
        all_close(&ours.0, &reference.0, 1e-5, &format!("{what}: loss"));
        all_close(&ours.1, &reference.1, 2e-5, &format!("{what}: gradient"));
        assert_eq!(self.run(&x, t, &w, self.batch, 3), ours, "{what}: 3 threads and 1 give the same bits");
        assert_eq!(self.run(&x, t, &w, self.batch + 5, 2), ours, "{what}: a plan for more samples");
    }
}

/// Rounded to f32, so that kernels and twins start from the same numbers.
fn noise(name: &str, len: usize) -> Vec<f64> {
    (0..len).map(|i| f64::from(Stream::new(3, name).normal(0, i as u64) as f32)).collect()
}

fn class_numbers(len: usize, classes: usize) -> Vec<f64> {
    (0..len).map(|i| ((i * 7 + 1) % classes) as f64).collect()
}

fn one_hot(len: usize, classes: usize) -> Vec<f64> {
    let class = class_numbers(len, classes);
    (0..len * classes).map(|i| f64::from(u8::from(class[i / classes] == (i % classes) as f64))).collect()
}

/// A case of losses.json; where Keras's weights stand for positions, positions become samples.
fn golden_case(case: &serde_json::Value, toml: &str) -> (Case, [Vec<f64>; 3]) {
    let (t, x) = (golden::tensor(&case["y_true"]), golden::tensor(&case["y_pred"]));
    let weight = (!case["sample_weight"].is_null()).then(|| golden::tensor(&case["sample_weight"]));
    let by_position = weight.as_ref().is_some_and(|w| w.len() > x.shape()[0]);
    let merged = if by_position { 2 } else { 1 };
    let batch: usize = x.shape()[..merged].iter().product();
    let flat = |a: &ArrayD<f64>| a.iter().copied().collect::<Vec<f64>>();
    let w = weight.as_ref().map_or_else(|| vec![1.0; batch], flat);
    (Case::new(toml, batch, &x.shape()[merged..], &t.shape()[merged..]), [flat(&x), flat(&t), w])
}

fn compare(case: &Case, [x, t, w]: &[Vec<f64>; 3], reference: &serde_json::Value, name: &str) {
    let (losses, gradient) = case.run(x, t, w, case.batch, 2);
    let mean = losses.iter().sum::<f64>() / case.batch as f64;
    close(mean, reference["loss"].as_f64().unwrap(), 1e-5, name);
    let expected: Vec<f64> = golden::tensor(&reference["grad"]).iter().copied().collect();
    all_close(&gradient, &expected, 1e-5, &format!("{name}: gradient"));
}

#[test]
fn values_and_gradients_are_keras_s() {
    let file = golden::load("losses.json");
    for reference in golden::cases(&file) {
        let name = golden::text(reference, "name");
        let (case, numbers) = golden_case(reference, golden::text(reference, "toml"));
        compare(&case, &numbers, reference, name);
    }
}

/// What `from_logits` gives, the activation in front gives too.
#[test]
fn a_crossentropy_after_its_activation_is_computed_from_the_logits() {
    let file = golden::load("losses.json");
    let mut compared = 0;
    for reference in golden::cases(&file) {
        let (name, toml) = (golden::text(reference, "name"), golden::text(reference, "toml"));
        if !toml.contains("from_logits = true") || name.starts_with("categorical_focal") {
            continue;
        }
        compared += 1;
        let activation = if name.starts_with("binary") { "sigmoid" } else { "softmax" };
        let (case, numbers) = golden_case(reference, &toml.replace("from_logits = true", ""));
        let mut case = case.activation(activation);
        compare(&case, &numbers, reference, &format!("{name} after {activation}"));
        // Also behind a change of shape that leaves the rows as they are.
        case.reshaped = Some([&[1], &case.output[..]].concat());
        case.target.insert(0, 1);
        compare(&case, &numbers, reference, &format!("{name} after {activation} and a reshape"));
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn kernels_agree_with_twins_and_central_differences() {
    for word in LOSSES.names() {
        let toml = format!("type = {word:?}");
        match word {
            "sparse_categorical_crossentropy" => {
                for extra in ["", "\nlabel_smoothing = 0.2", "\nignore_class = 1", "\nfrom_logits = true"] {
                    let toml = format!("{toml}{extra}");
                    let softmax = if extra.contains("logits") { "linear" } else { "softmax" };
                    Case::new(&toml, 4, &[5], &[]).activation(softmax).check(&class_numbers(4, 5));
                    let steps = Case::new(&toml, 2, &[3, 20], &[3]).activation(softmax);
                    steps.check(&class_numbers(6, 20));
                    if softmax == "softmax" {
                        Case::new(&toml, 4, &[5], &[]).activation("sigmoid").check(&class_numbers(4, 5));
                    }
                }
            }
            "categorical_crossentropy" | "categorical_focal_crossentropy" | "categorical_hinge" => {
                for activation in ["softmax", "sigmoid"] {
                    Case::new(&toml, 4, &[5], &[5]).activation(activation).check(&one_hot(4, 5));
                    Case::new(&toml, 2, &[3, 4], &[3, 4]).activation(activation).check(&one_hot(6, 4));
                }
            }
            "binary_crossentropy" | "binary_focal_crossentropy" => {
                for (activation, extra) in [
                    ("sigmoid", ""),
                    ("hard_sigmoid", ""),
                    ("linear", "\nfrom_logits = true\nlabel_smoothing = 0.1"),
                ] {
                    let toml = format!("{toml}{extra}");
                    Case::new(&toml, 4, &[1], &[]).activation(activation).check(&class_numbers(4, 2));
                    Case::new(&toml, 2, &[3, 20], &[3, 20]).activation(activation).check(&one_hot(6, 20));
                }
            }
            _ => {
                let targets: Vec<f64> = noise("t", 2 * 60).iter().map(|t| (t.abs() + 0.1).min(0.9)).collect();
                Case::new(&toml, 4, &[3], &[3]).activation("sigmoid").check(&targets[..12]);
                Case::new(&toml, 2, &[3, 20], &[3, 20]).activation("sigmoid").check(&targets);
            }
        }
    }
}

/// More numbers than one task takes, and rows that end inside a vector.
#[test]
fn large_outputs_give_the_same_bits_on_any_number_of_threads() {
    for (toml, activation, width) in [
        ("type = \"mse\"", "linear", 7001),
        ("type = \"hinge\"", "linear", 7001),
        ("type = \"categorical_crossentropy\"", "softmax", 7001),
        ("type = \"categorical_crossentropy\"", "sigmoid", 7001),
    ] {
        let case = Case::new(toml, 6, &[width], &[width]).activation(activation);
        let (x, t) = (noise("large", 6 * width), one_hot(6, width));
        let one = case.run(&x, &t, &[1.0; 6], 6, 1);
        assert!(one.0.iter().all(|l| l.is_finite() && *l > 0.0), "{toml}: {:?}", one.0);
        for threads in [2, 3] {
            assert_eq!(case.run(&x, &t, &[1.0; 6], 6, threads), one, "{toml} with {threads} threads");
        }
    }
}

#[test]
fn extreme_logits_give_exact_losses_and_finite_gradients() {
    let sparse = Case::new("type = \"sparse_categorical_crossentropy\"", 2, &[2], &[]).activation("softmax");
    let (loss, gradient) = sparse.run(&[120.0, 0.0, 0.0, -120.0], &[1.0, 1.0], &[1.0, 1.0], 2, 1);
    assert_eq!(loss, [120.0, 120.0]);
    assert_eq!(gradient, [0.5, -0.5, 0.5, -0.5]);
    let binary = Case::new("type = \"bce\"", 3, &[1], &[1]).activation("sigmoid");
    let (loss, gradient) = binary.run(&[120.0, -120.0, 120.0], &[0.0, 1.0, 1.0], &[1.0; 3], 3, 1);
    assert_eq!(loss, [120.0, 120.0, 0.0]);
    all_close(&gradient, &[1.0 / 3.0, -1.0 / 3.0, 0.0], 1e-6, "gradient");
}

#[test]
fn a_nan_in_the_output_is_a_nan_in_the_loss() {
    for word in LOSSES.names() {
        let sparse = word.starts_with("sparse");
        for activation in ["linear", "softmax", "sigmoid"] {
            let target: &[usize] = if sparse { &[] } else { &[3] };
            let case = Case::new(&format!("type = {word:?}"), 1, &[3], target).activation(activation);
            let t: &[f64] = if sparse { &[1.0] } else { &[0.0, 1.0, 0.0] };
            let (loss, _) = case.run(&[0.3, f64::NAN, 0.2], t, &[1.0], 1, 1);
            assert!(loss[0].is_nan(), "{word} after {activation}: {}", loss[0]);
        }
    }
}

/// The first loss of curves.json: two dense layers, softmax, class numbers.
#[test]
fn the_first_loss_of_a_small_network_is_keras_s() {
    let file = golden::load("curves.json");
    let model = &file["models"]["mlp"];
    let mut params = Params::default();
    let mut g = Builder::new(&mut params, Mode::Train, 0);
    let input = g.input(Shape::batch([8]));
    let mut output = input;
    for (layer, name) in model["layers"].as_array().unwrap().iter().zip(["dense", "dense_1"]) {
        g.enter(name, true);
        output = words::parse(layer.as_str().unwrap()).unwrap().lower(&mut g, &[output]).unwrap();
    }
    let (target, weight) = (g.input(Shape::batch([])), g.input(Shape::batch([])));
    let loss = LOSSES.make("sparse_categorical_crossentropy").0;
    let loss = loss.lower(&mut g, LossInputs { output, target, weight }).unwrap();
    let inputs = vec![input, target, weight];
    let want =
        Want { inputs, outputs: vec![loss], losses: vec![(loss, 1.0)], batch: 16, threads: 1, fixed: vec![] };
    let program = compile(g.graph, &params, &want);
    let mut session = Session::new(&params, vec![program], Arc::new(Pool::new(1)));
    let narrow =
        |value: &serde_json::Value| golden::tensor(value).iter().map(|v| *v as f32).collect::<Vec<f32>>();
    for (index, decl) in params.decls.iter().enumerate() {
        let (layer, weight) = decl.path.split_once('/').unwrap();
        let values = narrow(&model["initial_weights"][format!("{layer}/{weight}")]);
        session.param_mut(index).copy_from_slice(&values);
    }
    let batch = &model["batches"][0];
    session.input(0, 0, 16).copy_from_slice(&narrow(&batch["x"]));
    session.input(0, 1, 16).copy_from_slice(&narrow(&batch["y"]));
    session.input(0, 2, 16).fill(1.0);
    session.run(0, 16, 0);
    let mean = session.output(0, 0, 16).iter().map(|l| f64::from(*l)).sum::<f64>() / 16.0;
    close(mean, golden::cases(&file)[0]["losses"][0].as_f64().unwrap(), 1e-6, "first loss");
}

#[test]
fn keras_class_names_are_understood() {
    for (alias, name) in
        [("mse", "mean_squared_error"), ("Huber", "huber"), ("KLDivergence", "kl_divergence")]
    {
        assert_eq!(LOSSES.find(alias).unwrap().name, name);
    }
    let diags = parse("type = \"huber\"\ndelta = 0").unwrap_err();
    assert!(diags[0].message.contains("must be more than 0"), "{}", diags[0]);
}

#[test]
fn probabilities_and_logits_are_not_confused() {
    let lower = |toml: &str, activation: &str| {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, Mode::Train, 0);
        g.enter("dense", true);
        let x = g.input(Shape::batch([4]));
        let layer = format!("type = \"Dense\"\nunits = 3\nactivation = {activation:?}");
        let output = words::parse(&layer).unwrap().lower(&mut g, &[x]).unwrap();
        let (target, weight) = (g.input(Shape::batch([])), g.input(Shape::batch([])));
        parse(toml).unwrap().lower(&mut g, LossInputs { output, target, weight }).map(|_| ())
    };
    let sparse = "type = \"sparse_categorical_crossentropy\"";
    assert!(
        lower(sparse, "softmax").is_ok() && lower(&format!("{sparse}\nfrom_logits = true"), "linear").is_ok()
    );
    let refused = lower(sparse, "linear").unwrap_err();
    assert!(refused.hint.unwrap().contains("activation = \"softmax\""), "{}", refused.message);
    let refused = lower(&format!("{sparse}\nfrom_logits = true"), "softmax").unwrap_err();
    assert!(refused.message.contains("already is probabilities"), "{}", refused.message);
}
