//! Building a graph: layers push ops, shapes are inferred as they go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::node::{Graph, Node, Origin, Value, Var};
use crate::graph::op::{Bits, Mismatch, Op, op_stream};
use crate::graph::param::{Init, ParamDecl, Params, Penalty};
use crate::graph::per_step::{self, PerStep};
use crate::graph::precision::Precision;
use crate::kernels::number::Storage;
use crate::rng::Stream;
use crate::shape::Shape;

/// Training and inference are two graphs over the same parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Train,
    Eval,
}

/// A size that no machine can hold is a mistake of the config, and one that cannot even be counted
/// must not reach the arithmetic of the memory plan.
pub fn check_size(shape: &Shape, what: &str) -> Result<(), Mismatch> {
    match shape.is_sane() {
        true => Ok(()),
        false => {
            Err(Mismatch::new(format!("{what} would have the shape {shape}: too large to compute with")))
        }
    }
}

/// A graph under construction.
pub struct Builder<'a> {
    pub graph: Graph,
    params: &'a mut Params,
    mode: Mode,
    precision: Precision,
    seed: u64,
    scope: String,
    /// The layer whose parameters are used: `scope`, or an earlier one that shares its own.
    owner: String,
    /// Layers within the current layer, each with a slash behind it.
    within: String,
    /// Parameters of the current layer are trained.
    trainable: bool,
    /// Moving statistics stay as they are, also in training.
    statistics_kept: bool,
    /// Which of several uses of a network is lowered: each draws random numbers of its own.
    pass: &'static str,
    /// The one value of each parameter: gradients of all its uses add up there.
    weights: BTreeMap<usize, Var>,
    masks: BTreeMap<Var, Var>,
    vocabularies: BTreeMap<Var, usize>,
    /// Losses that layers add: one number per sample, and what it counts in the sum.
    losses: Vec<(Var, f32)>,
    /// What stands in the place of draws from distributions, if they are given from outside.
    latents: Option<Vec<Var>>,
    /// States that go on from batch to batch, if they do: what a batch begins with, and where it ends.
    states: Option<Vec<[Var; 2]>>,
}

impl<'a> Builder<'a> {
    pub fn new(params: &'a mut Params, mode: Mode, seed: u64) -> Builder<'a> {
        Builder {
            graph: Graph::default(),
            params,
            mode,
            precision: Precision::default(),
            seed,
            scope: String::new(),
            owner: String::new(),
            within: String::new(),
            trainable: true,
            statistics_kept: false,
            pass: "",
            weights: BTreeMap::new(),
            masks: BTreeMap::new(),
            vocabularies: BTreeMap::new(),
            losses: vec![],
            latents: None,
            states: None,
        }
    }

    /// The same, with products of this precision.
    pub fn with_precision(self, precision: Precision) -> Builder<'a> {
        Builder { precision, ..self }
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What follows belongs to the layer of this path; `trainable = false` freezes its parameters.
    pub fn enter(&mut self, path: &str, trainable: bool) {
        self.enter_shared(path, path, trainable);
    }

    /// As [`Self::enter`], with the parameters of the layer `owner`. Random numbers stay its own.
    pub fn enter_shared(&mut self, path: &str, owner: &str, trainable: bool) {
        self.scope = path.to_string();
        self.owner = owner.to_string();
        self.trainable = trainable;
    }

    /// What `lower` declares is named within `name` within the current layer.
    pub fn within<R>(&mut self, name: &str, lower: impl FnOnce(&mut Self) -> R) -> R {
        let len = self.within.len();
        self.within += name;
        self.within.push('/');
        let result = lower(self);
        self.within.truncate(len);
        result
    }

    /// Lowers a layer for each step of `x`, `[T, ...]`, by itself, as if the steps were samples.
    pub fn per_step(
        &mut self,
        x: Var,
        lower: impl FnOnce(&mut Builder<'_>, Var) -> Result<Var, Mismatch>,
    ) -> Result<Var, Mismatch> {
        let shape = self.shape(x).clone();
        let Some((&steps, dims)) = shape.dims.split_first() else {
            return Err(Mismatch::new(format!("needs steps [N,T,...], got {shape}")));
        };
        let mut inner = Builder {
            graph: Graph::default(),
            params: &mut *self.params,
            scope: self.scope.clone(),
            owner: self.owner.clone(),
            within: self.within.clone(),
            weights: BTreeMap::new(),
            masks: BTreeMap::new(),
            vocabularies: BTreeMap::new(),
            losses: vec![],
            latents: None,
            states: None,
            ..*self
        };
        let input = inner.input(Shape::batch(dims));
        let output = lower(&mut inner, input)?;
        if !inner.losses.is_empty() {
            return Err(Mismatch::new("a layer that adds a loss cannot be applied to each step"));
        }
        let inner = inner.graph;
        let mut places = vec![];
        for value in &inner.values {
            let shape = per_step::with_steps(&value.shape, steps);
            let place = match value.origin {
                Origin::Input => x,
                Origin::Param(index) => self.param(index, shape),
                Origin::Alias(of) => self.value(shape, Origin::Alias(places[of.0])),
                Origin::Node { node, output: 0 } => {
                    let node = &inner.nodes[node];
                    let inputs: Vec<Var> = node.inputs.iter().map(|v| places[v.0]).collect();
                    let of_samples = |i: &usize| self.shape(inputs[*i]).batched;
                    let samples: Vec<usize> = (0..inputs.len()).filter(of_samples).collect();
                    self.push(PerStep::new(node.op.clone(), steps, Bits::of(&samples)), &inputs)?
                }
                Origin::Node { node, output } => {
                    let first = places[inner.nodes[node].outputs[0].0];
                    self.graph.producer(first).expect("a node made it").outputs[output]
                }
            };
            places.push(place);
        }
        Ok(places[output.0])
    }

    /// What follows uses batch statistics as in training, but leaves moving ones as they are: the network is
    /// another one's judge, and not trained.
    pub fn keep_statistics(&mut self, kept: bool) {
        self.statistics_kept = kept;
    }

    /// Whether moving statistics stay as they are.
    pub fn statistics_kept(&self) -> bool {
        self.statistics_kept
    }

    /// What follows is another use of layers that were lowered before.
    pub fn begin_pass(&mut self, pass: &'static str) {
        self.pass = pass;
    }

    /// Whether the current layer's parameters are trained: a frozen batch normalization infers.
    pub fn trainable(&self) -> bool {
        self.trainable
    }

    pub fn shape(&self, var: Var) -> &Shape {
        self.graph.shape(var)
    }

    /// Which time steps of a sequence `[T, ...]` count: a value `[T]` of 1 and 0. None: all of them.
    pub fn mask(&self, var: Var) -> Option<Var> {
        self.masks.get(&var).copied()
    }

    pub fn set_mask(&mut self, var: Var, mask: Var) {
        self.masks.insert(var, mask);
    }

    /// How many different tokens a value's numbers name, if they are known to be tokens.
    pub fn vocabulary(&self, var: Var) -> Option<usize> {
        self.vocabularies.get(&var).copied()
    }

    pub fn set_vocabulary(&mut self, var: Var, tokens: usize) {
        self.vocabularies.insert(var, tokens);
    }

    /// Adds a term to the loss, which its layer announces in `Layer::term`: one number per sample.
    pub fn add_loss(&mut self, loss: Var, weight: f64) {
        self.losses.push((loss, weight as f32));
    }

    /// The losses that layers have added, in their order.
    pub fn take_losses(&mut self) -> Vec<(Var, f32)> {
        std::mem::take(&mut self.losses)
    }

    /// From here on what would be drawn from a distribution is given from outside.
    pub fn open_latents(&mut self) {
        self.latents = Some(vec![]);
    }

    /// The value in the place of a draw of this value's shape, if it is given from outside.
    pub fn latent(&mut self, like: Var) -> Option<Var> {
        self.latents.as_ref()?;
        let input = self.input(self.shape(like).clone());
        self.latents.as_mut()?.push(input);
        Some(input)
    }

    /// What stands in the place of draws, in their order.
    pub fn latents(&self) -> &[Var] {
        self.latents.as_deref().unwrap_or_default()
    }

    /// From here on the states of stateful layers go on from batch to batch in training too, each sample's from
    /// the one in its place.
    pub fn open_states(&mut self) {
        self.states = Some(vec![]);
    }

    /// A state that goes on: the input that a batch begins with, and the value at its end.
    pub fn go_on(&mut self, begin: Var, end: Var) {
        self.states.get_or_insert_default().push([begin, end]);
    }

    /// All of them, in their order; none if they do not go on.
    pub fn states(&self) -> Option<&[[Var; 2]]> {
        self.states.as_deref()
    }

    /// A value filled from outside.
    pub fn input(&mut self, shape: Shape) -> Var {
        self.value(shape, Origin::Input)
    }

    /// A parameter that is trained, named within the current layer.
    pub fn weight(
        &mut self,
        name: &str,
        shape: impl Into<Vec<usize>>,
        init: &Arc<dyn Init>,
        penalty: Option<Penalty>,
    ) -> Result<Var, Mismatch> {
        self.declare(name, shape.into(), init, self.trainable, penalty)
    }

    /// A parameter that training does not touch by gradient: moving statistics.
    pub fn state(
        &mut self,
        name: &str,
        shape: impl Into<Vec<usize>>,
        init: &Arc<dyn Init>,
    ) -> Result<Var, Mismatch> {
        self.declare(name, shape.into(), init, false, None)
    }

    /// Numbers that a forward step updates for the next run: zeros at the start of a walk
    /// ([`crate::exec::Session::begin_walk`]).
    pub fn carried(&mut self, name: &str, shape: impl Into<Vec<usize>>) -> Result<Var, Mismatch> {
        #[derive(Debug)]
        struct Zeros;
        impl Init for Zeros {
            fn fill(&self, _: &[usize], _: u64, _: &str, out: &mut [f32]) {
                out.fill(0.0);
            }
        }
        let init: Arc<dyn Init> = Arc::new(Zeros);
        let state = self.declare(name, shape.into(), &init, false, None)?;
        if let Origin::Param(index) = self.graph.values[state.0].origin {
            self.params.decls[index].carried = true;
        }
        Ok(state)
    }

    fn declare(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        init: &Arc<dyn Init>,
        trainable: bool,
        penalty: Option<Penalty>,
    ) -> Result<Var, Mismatch> {
        let path = format!("{}/{}{name}", self.owner, self.within);
        check_size(&Shape::fixed(&*shape), &format!("`{name}`"))?;
        if let Some(problem) = init.check(&shape) {
            return Err(Mismatch::new(format!("initializer of `{name}`: {problem}")));
        }
        let index = match self.params.find(&path) {
            // The inference graph, or a shared layer: the parameter is there already.
            Some(index) if self.params.decls[index].shape == shape => index,
            Some(index) => {
                let first = &self.params.decls[index].shape;
                return Err(Mismatch::new(format!("`{path}` is used with shapes {first:?} and {shape:?}")));
            }
            None => {
                let init = init.clone();
                let shape = shape.clone();
                self.params.decls.push(ParamDecl { path, shape, init, trainable, carried: false, penalty });
                self.params.decls.len() - 1
            }
        };
        Ok(self.param(index, Shape::fixed(shape)))
    }

    fn param(&mut self, index: usize, shape: Shape) -> Var {
        if let Some(var) = self.weights.get(&index) {
            return *var;
        }
        let var = self.value(shape, Origin::Param(index));
        self.weights.insert(index, var);
        var
    }

    /// Adds an op; its first output.
    pub fn push(&mut self, op: impl Op, inputs: &[Var]) -> Result<Var, Mismatch> {
        self.push_all(op, inputs).map(|outputs| outputs[0])
    }

    /// Adds an op; all its outputs.
    pub fn push_all(&mut self, op: impl Op, inputs: &[Var]) -> Result<Vec<Var>, Mismatch> {
        let shapes: Vec<&Shape> = inputs.iter().map(|v| self.graph.shape(*v)).collect();
        let signature = op.infer(&shapes)?;
        signature.y.iter().try_for_each(|shape| check_size(shape, "its output"))?;
        let node = self.graph.nodes.len();
        let outputs: Vec<Var> = signature
            .y
            .clone()
            .into_iter()
            .enumerate()
            .map(|(output, shape)| self.value(shape, Origin::Node { node, output }))
            .collect();
        let layer = self.scope.clone();
        self.graph.nodes.push(Node {
            op: Arc::new(op),
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            signature,
            layer,
            fused: vec![],
        });
        Ok(outputs)
    }

    /// The same numbers under another shape of the same size; costs nothing.
    pub fn reshape(&mut self, x: Var, shape: Shape) -> Result<Var, Mismatch> {
        let from = self.shape(x);
        if from.size() != shape.size() || from.batched != shape.batched {
            return Err(Mismatch::new(format!(
                "cannot reshape {from} to {shape}: {} against {} numbers",
                from.size(),
                shape.size()
            )));
        }
        Ok(self.value(shape, Origin::Alias(x)))
    }

    /// Random numbers for an op of the current layer.
    pub fn stream(&self) -> Stream {
        let within = self.within.strip_suffix('/').map_or(String::new(), |within| format!("/{within}"));
        let pass = if self.pass.is_empty() { String::new() } else { format!("#{}", self.pass) };
        op_stream(self.seed, &format!("{}{within}{pass}", self.scope))
    }

    fn value(&mut self, shape: Shape, origin: Origin) -> Var {
        self.graph.values.push(Value { shape, origin, storage: Storage::F32 });
        Var(self.graph.values.len() - 1)
    }
}
