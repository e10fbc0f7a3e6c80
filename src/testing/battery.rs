//! One battery for every layer: parse round trip, kernels against f64 twins, gradients against
//! central differences, fused against unfused, threads, partial batches, Keras's values.

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use crate::compile::{self, Want};
use crate::exec::Session;
use crate::graph::node::Origin;
use crate::graph::twin::{self, TwinCtx};
use crate::graph::{Builder, Graph, Mismatch, Mode, Params, Precision, Var};
use crate::initializers;
use crate::kernels::number::Storage;
use crate::kernels::par::Pool;
use crate::layers::{self, Arity, Layer, Reach};
use crate::rng::Stream;
use crate::shape::Shape;
use crate::testing::ends::{Dot, Lift};
use crate::testing::words::{check_words, parse};

#[derive(Debug)]
struct Stack(Vec<Box<dyn Layer>>);

impl Layer for Stack {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let mut others = x[1..].iter();
        self.0.iter().try_fold(x[0], |y, layer| match layer.arity() {
            Arity::One | Arity::UpTo(_) => layers::lower(&**layer, g, &[y]),
            Arity::Many => {
                layers::lower(&**layer, g, &[y, *others.next().expect("a merge has an input left")])
            }
        })
    }
}

/// A layer with its input shapes, ready to be run in all the ways that must agree.
pub struct LayerCase {
    layer: Box<dyn Layer>,
    inputs: Vec<Vec<usize>>,
    pub mode: Mode,
    pub precision: Precision,
    /// Which steps of the first input's samples count.
    pub mask: Option<Vec<f64>>,
}

/// What a run gave, in f64 for comparing.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub output: Vec<f64>,
    pub input_grads: Vec<Vec<f64>>,
    /// By name, trainable ones only.
    pub weight_grads: Vec<(String, Vec<f64>)>,
    /// All weights after the run, by name: moving statistics move.
    pub weights: Vec<(String, Vec<f64>)>,
}

struct Lowered {
    graph: Graph,
    params: Params,
    output: Var,
    cotangent: Var,
    mask: Option<Var>,
    loss: Var,
}

impl LayerCase {
    pub fn new(toml: &str, inputs: &[&[usize]]) -> LayerCase {
        LayerCase::of(example(toml), inputs)
    }

    /// A layer that no word stands for.
    pub fn of(layer: Box<dyn Layer>, inputs: &[&[usize]]) -> LayerCase {
        let inputs = inputs.iter().map(|s| s.to_vec()).collect();
        LayerCase { layer, inputs, mode: Mode::Train, precision: Precision::Float32, mask: None }
    }

    /// One of a layer's several outputs.
    pub fn part(toml: &str, name: &str, inputs: &[&[usize]]) -> LayerCase {
        let part = example(toml).parts().into_iter().find(|part| part.name == name);
        LayerCase::of(part.unwrap_or_else(|| panic!("{toml} has no output {name}")).layer, inputs)
    }

    /// Layers in a row as one: the first takes the first input, a merge the next input too.
    pub fn stack(tomls: &[&str], inputs: &[&[usize]]) -> LayerCase {
        LayerCase::of(Box::new(Stack(tomls.iter().map(|toml| example(toml)).collect())), inputs)
    }

    fn program(&self) -> compile::Program {
        let l = self.lower(2);
        let want = Want { outputs: vec![l.output], batch: 2, threads: 1, ..Want::default() };
        compile::compile(l.graph, &l.params, &want)
    }

    /// How many values are stored as bfloat16.
    pub fn narrow_values(&self) -> usize {
        self.program().values.iter().filter(|v| v.storage == Storage::Bf16).count()
    }

    /// The ops of the forward steps that the layer compiles to.
    pub fn ops(&self) -> Vec<&'static str> {
        let program = self.program();
        let names = program.steps.iter().filter_map(|step| match step {
            compile::Step::Forward(s) => Some(program.nodes[s.node].op.name()),
            _ => None,
        });
        names.filter(|n| *n != "lift").collect()
    }

    fn lower(&self, batch: usize) -> Lowered {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, self.mode, 7).with_precision(self.precision);
        g.enter("input", true);
        let x: Vec<Var> = (0..self.inputs.len())
            .map(|i| {
                let shape: Vec<usize> = [batch].iter().chain(&self.inputs[i]).copied().collect();
                let raw =
                    g.weight(&i.to_string(), shape, &initializers::named("RandomNormal"), None).unwrap();
                g.push(Lift { batch }, &[raw]).unwrap()
            })
            .collect();
        g.enter("layer", true);
        let mask = self.mask.as_ref().map(|_| g.input(Shape::batch([self.inputs[0][0]])));
        mask.into_iter().for_each(|mask| g.set_mask(x[0], mask));
        let output =
            self.layer.lower(&mut g, &x).unwrap_or_else(|m| panic!("{:?}: {}", self.layer, m.message));
        let shape = g.shape(output).clone();
        let cotangent = g.input(shape.clone());
        let loss = g.push(Dot { size: shape.size() }, &[output, cotangent]).unwrap();
        let graph = g.graph;
        Lowered { graph, params, output, cotangent, mask, loss }
    }

    pub fn output_shape(&self) -> Shape {
        let l = self.lower(2);
        l.graph.shape(l.output).clone()
    }

    /// Runs with random weights; the gradient of `sum(output * cotangent)`.
    pub fn run(&self, inputs: &[&[f64]], cotangent: &[f64], batch: usize) -> Run {
        self.run_with(inputs, cotangent, batch, batch, 1, true, |_, _| None)
    }

    /// As `run`, planned for `capacity` samples, on some threads, fused or not, with given weights.
    #[allow(clippy::too_many_arguments)]
    pub fn run_with(
        &self,
        inputs: &[&[f64]],
        cotangent: &[f64],
        batch: usize,
        capacity: usize,
        threads: usize,
        fused: bool,
        weights: impl Fn(&str, usize) -> Option<Vec<f64>>,
    ) -> Run {
        let l = self.lower(capacity);
        let want = Want {
            inputs: [l.cotangent].into_iter().chain(l.mask).collect(),
            outputs: vec![l.output],
            // The seed divides by the batch; the gradient of the sum is wanted.
            losses: vec![(l.loss, batch as f32)],
            batch: capacity,
            threads,
            fixed: vec![],
        };
        let program = if fused {
            compile::compile(l.graph, &l.params, &want)
        } else {
            compile::compile_as_is(l.graph, &l.params, &want)
        };
        let mut session = Session::new(&l.params, vec![program], Arc::new(Pool::new(threads)));
        for (index, decl) in l.params.decls.iter().enumerate() {
            let values = match (decl.path.strip_prefix("input/"), decl.path.strip_prefix("layer/")) {
                (Some(i), _) => inputs[i.parse::<usize>().unwrap()].to_vec(),
                (_, Some(name)) => {
                    weights(name, decl.size()).unwrap_or_else(|| random_weights(name, decl.size()))
                }
                _ => unreachable!("only inputs and the layer declare parameters"),
            };
            let target = session.param_mut(index);
            target.iter_mut().zip(&values).for_each(|(t, v)| *t = *v as f32);
        }
        session.input(0, 0, batch).iter_mut().zip(cotangent).for_each(|(t, v)| *t = *v as f32);
        if let Some(mask) = &self.mask {
            session.input(0, 1, batch).iter_mut().zip(mask).for_each(|(t, v)| *t = *v as f32);
        }
        session.run(0, batch, 0);
        let wide = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let mut run = Run {
            output: wide(session.output(0, 0, batch)),
            input_grads: vec![],
            weight_grads: vec![],
            weights: vec![],
        };
        for (index, decl) in l.params.decls.iter().enumerate() {
            if let Some(name) = decl.path.strip_prefix("layer/") {
                run.weights.push((name.to_string(), wide(session.param(index))));
                if decl.trainable {
                    run.weight_grads.push((name.to_string(), wide(session.grad(index))));
                }
            } else {
                let per_sample = decl.size() / capacity;
                run.input_grads.push(wide(&session.grad(index)[..per_sample * batch]));
            }
        }
        run
    }

    /// Output of the f64 twins, and by central differences the gradient of `sum(output * cotangent)`
    /// for every input and trainable weight, in the order inputs, weights.
    fn twin(
        &self,
        inputs: &[Vec<f64>],
        cotangent: &[f64],
        batch: usize,
    ) -> (Vec<f64>, Vec<(String, Vec<f64>)>) {
        let l = self.lower(batch);
        let mut values: Vec<Vec<f64>> = l
            .params
            .decls
            .iter()
            .map(|d| match d.path.strip_prefix("input/") {
                Some(i) => inputs[i.parse::<usize>().unwrap()].clone(),
                None => random_weights(&d.path["layer/".len()..], d.size()),
            })
            .collect();
        let evaluate = |values: &[Vec<f64>]| {
            let all = twin::run(&l.graph, batch, TwinCtx { step: 0 }, |var| {
                let full = l.graph.shape(var).full(batch);
                let data = match l.graph.values[var.0].origin {
                    Origin::Param(p) => values[p].clone(),
                    _ if Some(var) == l.mask => self.mask.clone().unwrap(),
                    _ => cotangent.to_vec(),
                };
                ArrayD::from_shape_vec(IxDyn(&full), data).unwrap()
            });
            (all[l.output.0].iter().copied().collect::<Vec<f64>>(), all[l.loss.0].sum())
        };
        let output = evaluate(&values).0;
        let mut gradients = vec![];
        for p in (0..values.len()).filter(|p| l.params.decls[*p].trainable) {
            let mut gradient = vec![];
            for i in 0..values[p].len() {
                let at = values[p][i];
                let h = 1e-6 * at.abs().max(1.0);
                values[p][i] = at + h;
                let above = evaluate(&values).1;
                values[p][i] = at - h;
                let below = evaluate(&values).1;
                values[p][i] = at;
                gradient.push((above - below) / (2.0 * h));
            }
            gradients.push((l.params.decls[p].path.clone(), gradient));
        }
        (output, gradients)
    }

    /// The fused program gives the bits of the one that is not fused.
    pub fn check_fused_bits(&self, batch: usize) {
        let size = |i: usize| batch * self.inputs[i].iter().product::<usize>();
        let inputs: Vec<Vec<f64>> =
            (0..self.inputs.len()).map(|i| noise(&format!("x{i}"), size(i))).collect();
        let refs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        let cotangent = noise("cotangent", batch * self.output_shape().size());
        let run =
            |threads, fused| self.run_with(&refs, &cotangent, batch, batch, threads, fused, |_, _| None);
        assert_eq!(run(2, true), run(1, false), "{:?} on {:?}", self.layer, self.inputs);
    }

    /// Everything that must agree.
    pub fn check(&self) {
        let masked = if self.mask.is_some() { ", masked" } else { "" };
        let what = format!("{:?} on {:?}{masked}", self.layer, self.inputs);
        let batch = 3;
        let per_sample = |i: usize| self.inputs[i].iter().product::<usize>();
        let inputs: Vec<Vec<f64>> =
            (0..self.inputs.len()).map(|i| noise(&format!("x{i}"), batch * per_sample(i))).collect();
        let refs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        let cotangent = noise("cotangent", batch * self.output_shape().size());
        let run = self.run(&refs, &cotangent, batch);

        let (output, gradients) = self.twin(&inputs, &cotangent, batch);
        super::golden::all_close(&run.output, &output, 2e-5, &format!("output of {what} against its twin"));
        let ours = run.input_grads.iter().chain(run.weight_grads.iter().map(|(_, g)| g));
        assert_eq!(gradients.len(), run.input_grads.len() + run.weight_grads.len());
        // A state that goes on does so in inference alone, and hands no gradient back.
        let one_way = self.mode == Mode::Eval && self.layer.reach() == Reach::Walk;
        for ((name, expected), ours) in gradients.iter().zip(ours).filter(|_| !one_way) {
            super::golden::all_close(ours, expected, 1e-4, &format!("gradient of {name} of {what}"));
        }

        let with = |capacity, threads, fused| {
            self.run_with(&refs, &cotangent, batch, capacity, threads, fused, |_, _| None)
        };
        assert_eq!(with(batch, 3, true), run, "{what}: 3 threads and 1 give the same bits");
        let unfused = with(batch, 1, false);
        super::golden::all_close(&unfused.output, &run.output, 1e-6, &format!("{what}: fused and unfused"));
        for (a, b) in unfused.weight_grads.iter().zip(&run.weight_grads) {
            super::golden::all_close(&a.1, &b.1, 1e-5, &format!("{what}: fused and unfused {}", a.0));
        }

        let mut padded = inputs.clone();
        padded.iter_mut().enumerate().for_each(|(i, x)| x.resize(8 * per_sample(i), 99.0));
        let refs: Vec<&[f64]> = padded.iter().map(Vec::as_slice).collect();
        let prefix = self.run_with(&refs, &cotangent, batch, 8, 2, true, |_, _| None);
        assert_eq!(prefix, run, "{what}: 3 samples in a plan for 8 and for 3 give the same bits");
    }
}

/// Runs the battery over an example, in training and in inference mode; over each of several outputs.
pub fn check_example(toml: &str, inputs: &[&[usize]]) {
    let parts = example(toml).parts();
    let cases = match parts.is_empty() {
        true => vec![LayerCase::new(toml, inputs)],
        false => parts.into_iter().map(|part| LayerCase::of(part.layer, inputs)).collect(),
    };
    for mut case in cases {
        for mode in [Mode::Train, Mode::Eval] {
            case.mode = mode;
            case.check();
        }
    }
    check_words(toml);
}

pub fn example(toml: &str) -> Box<dyn Layer> {
    parse(toml).unwrap_or_else(|d| panic!("{toml}\n{}", d[0]))
}

fn noise(name: &str, len: usize) -> Vec<f64> {
    // Rounded to f32, so that kernels and twins start from the same numbers.
    (0..len).map(|i| f64::from(Stream::new(11, name).normal(0, i as u64) as f32)).collect()
}

/// Positive where the name says a variance.
fn random_weights(name: &str, len: usize) -> Vec<f64> {
    let draws = noise(name, len);
    if name.contains("variance") {
        draws.iter().map(|v| f64::from((0.5 + v * v) as f32)).collect()
    } else {
        draws
    }
}

/// The battery as a test of the layer's own file: fragments of TOML, each with the shapes of its
/// inputs (without the batch).
#[macro_export]
macro_rules! battery {
    ($($toml:literal on $([$($dim:literal),*]),+;)+) => {
        mod tests {
            #[test]
            fn battery() {
                $($crate::testing::battery::check_example($toml, &[$(&[$($dim),*]),+]);)+
            }
        }
    };
}
