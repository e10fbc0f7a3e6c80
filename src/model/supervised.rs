//! The graphs of training against targets: the layers, then for each output its loss.

use crate::compile::Want;
use crate::data::preprocessing::{Preprocessing, TargetEncoding, TargetPart};
use crate::diag::{Diag, Failure, Result, suggest};
use crate::graph::{Builder, Graph, Mismatch, Mode, Params, Precision, Var};
use crate::losses::{LossInputs, Target};
use crate::model::experiment::Experiment;
use crate::model::heads::{self, Head};
use crate::model::inputs;
use crate::model::layers::LayerNode;
use crate::model::listing;
use crate::model::lower::{Graphs, Model, Output, Purpose, SAMPLE, Sampler};
use crate::model::place::{Misfit, Placed, place};
use crate::model::task;
use crate::model::walk;
use crate::ops::cut::Cut;
use crate::shape::Shape;
use crate::target::{OutputKind, TargetKind};

/// Training and inference over the same parameters.
#[derive(Debug)]
pub struct Supervised {
    train: Lowered,
    eval: Lowered,
    /// From what a variational autoencoder draws to what it makes of it.
    sample: Option<Sample>,
}

#[derive(Debug)]
struct Sample {
    graph: Graph,
    latents: Vec<Var>,
    output: Var,
}

#[derive(Debug)]
struct Lowered {
    graph: Graph,
    /// Whole rows of the dataset, whole rows of targets, and a factor for each sample.
    inputs: [Var; 3],
    heads: Vec<LoweredHead>,
    /// One number per sample, and what it counts in the sum.
    terms: Vec<(Var, f32)>,
    /// What goes on from batch to batch: inputs behind the others, and outputs behind the others.
    states: Vec<[Var; 2]>,
}

#[derive(Debug)]
struct LoweredHead {
    output: Var,
    loss: Var,
    target: Var,
    weight: f32,
}

impl Supervised {
    /// Each program's graph and what it is to compute, in the order of their positions.
    pub fn wants<'g>(&'g self, purpose: Purpose, frame: &Want) -> Vec<Option<(&'g Graph, Want)>> {
        let all = |l: &'g Lowered, losses| {
            let each = |value: fn(&LoweredHead) -> Var| l.heads.iter().map(value);
            let outputs = each(|h| h.output).chain(each(|h| h.loss)).chain(each(|h| h.target));
            let outputs = outputs.chain(l.terms.iter().map(|(term, _)| *term));
            let outputs = outputs.chain(l.states.iter().map(|[_, end]| *end)).collect();
            let inputs = l.inputs.iter().copied().chain(l.states.iter().map(|[begin, _]| *begin)).collect();
            (&l.graph, Want { inputs, outputs, losses, ..frame.clone() })
        };
        let (train, eval) = (&self.train, &self.eval);
        let minimised = train.heads.iter().map(|h| (h.loss, h.weight)).chain(train.terms.iter().copied());
        let outputs = eval.heads.iter().map(|h| h.output).collect();
        vec![
            (purpose == Purpose::Train).then(|| all(train, minimised.collect())),
            Some(all(eval, vec![])),
            Some((&eval.graph, Want { inputs: vec![eval.inputs[0]], outputs, ..frame.clone() })),
        ]
        .into_iter()
        .chain(self.sample.iter().map(|sample| {
            let (inputs, outputs) = (sample.latents.clone(), vec![sample.output]);
            Some((&sample.graph, Want { inputs, outputs, ..frame.clone() }))
        }))
        .collect()
    }

    /// The graph of evaluation, and the rows of the dataset in it.
    pub fn reads(&self) -> (&Graph, Var) {
        (&self.eval.graph, self.eval.inputs[0])
    }

    /// Each output in that graph.
    pub fn judged(&self) -> impl Iterator<Item = Var> {
        self.eval.heads.iter().map(|head| head.output)
    }

    /// The graph that holds most.
    pub fn largest(&self) -> &Graph {
        &self.train.graph
    }
}

/// Lowers an experiment for data of this shape. All mismatches that can be found are returned.
pub fn lower(
    experiment: &Experiment,
    task: &task::Supervised,
    input: &Shape,
    preprocessing: &Preprocessing,
) -> Result<Model> {
    let mut params = Params::default();
    let mut diags = place_mistakes(task, preprocessing);
    diags.extend(walk::mistakes(experiment, &task.network, preprocessing));
    let mut lowering = Lowering { experiment, task, input, preprocessing, diags: &mut diags };
    let train = lowering.graph(Mode::Train, &mut params);
    if !lowering.diags.is_empty() {
        return Err(Failure::Input(diags));
    }
    let eval = lowering.graph(Mode::Eval, &mut params);
    let (Some((train, ..)), Some((eval, placed, outputs))) = (train, eval) else {
        return Err(Failure::Input(diags));
    };
    let network = &task.network;
    let sample = lowering.sample(&mut params);
    let sampler = sample.as_ref().map(|sample| Sampler {
        program: SAMPLE,
        latents: sample.latents.iter().map(|var| sample.graph.shape(*var).size()).collect(),
        shape: sample.graph.shape(sample.output).clone(),
    });
    let rows = listing::rows(network, &eval.graph, &placed, &params);
    let left_out = placed.left_out.iter().map(|i| network.conditionals[*i].name.clone()).collect();
    let graphs = Graphs::Supervised(Supervised { train, eval, sample });
    Ok(Model { params, outputs, rows, left_out, sampler, graphs })
}

/// What does not go together with targets that say where something is in a picture.
fn place_mistakes(task: &task::Supervised, preprocessing: &Preprocessing) -> Vec<Diag> {
    let (places, ignore) = match &preprocessing.target {
        TargetEncoding::Mask { ignore, .. } => ("masks", *ignore),
        _ if preprocessing.parts().iter().any(|part| part.encoding.is_box()) => ("boxes", None),
        _ => return vec![],
    };
    let moved = task.network.layers.iter().filter(|node| node.layer.moves_pixels()).map(|node| {
        let message = format!("layer `{}` ({}) moves the pictures, but not their {places}", node.name, node.kind);
        node.context.explain(Diag::new(message).at(&node.at).hint(format!(
            "for {places} use what leaves pixels in their places: RandomContrast, RandomBrightness, GaussianNoise",
        )))
    });
    let counted = task.heads.iter().filter_map(|head| {
        let class = ignore.filter(|class| !head.loss.ignores(f32::from(*class)))?;
        let message = format!("pixels of class {class} are of no class, but the loss does not ignore them");
        let hint = format!("loss = {{ type = \"sparse_categorical_crossentropy\", ignore_class = {class} }}");
        Some(Diag::new(message).at(&head.loss_at).hint(hint))
    });
    moved.chain(counted).collect()
}

struct Lowering<'e> {
    experiment: &'e Experiment,
    task: &'e task::Supervised,
    input: &'e Shape,
    preprocessing: &'e Preprocessing,
    diags: &'e mut Vec<Diag>,
}

impl<'e> Lowering<'e> {
    /// Lowers all layers and the losses; `None` after a mismatch, which is noted.
    fn graph(&mut self, mode: Mode, params: &mut Params) -> Option<(Lowered, Placed, Vec<Output>)> {
        let (experiment, task) = (self.experiment, self.task);
        let precision = match mode {
            Mode::Train => experiment.training.precision,
            // What is judged and predicted does not depend on the machine.
            Mode::Eval => Precision::Float32,
        };
        let mut g = Builder::new(params, mode, experiment.seed).with_precision(precision);
        if mode == Mode::Train && experiment.carries() {
            g.open_states();
        }
        let row = g.input(self.input.clone());
        if let Some(tokens) = self.preprocessing.vocabulary() {
            g.set_vocabulary(row, tokens);
        }
        let inputs = self.inputs(&mut g, row)?;
        let diags = &mut *self.diags;
        let giver = |i: usize| match experiment.inputs.get(i) {
            Some(input) => (input.at.clone(), format!("the input `{}`", input.name)),
            None => (experiment.dataset_at.clone(), "the dataset".to_string()),
        };
        let mut complain =
            |g: &Builder<'_>, misfit: Misfit<'_>| diags.push(misfit.explain(&task.network, g, giver));
        let placed = place(&task.network, experiment.seed, &mut g, &inputs, &mut complain);
        if placed.outputs.contains(&None) {
            return None;
        }
        let targets = g.input(self.preprocessing.target_shape());
        let weight = g.input(Shape::batch([]));
        let judged: Vec<Option<(LoweredHead, Output)>> =
            task.heads.iter().map(|head| self.head(&mut g, head, &placed, [row, targets, weight])).collect();
        let (heads, outputs) = judged.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let (terms, states) = (g.take_losses(), g.states().unwrap_or_default().to_vec());
        let lowered = Lowered { graph: g.graph, inputs: [row, targets, weight], heads, terms, states };
        Some((lowered, placed, outputs))
    }

    /// The graph in which draws are inputs, if there are any and the output depends on nothing else.
    fn sample(&mut self, params: &mut Params) -> Option<Sample> {
        let mut g = Builder::new(params, Mode::Eval, self.experiment.seed);
        g.open_latents();
        let row = g.input(self.input.clone());
        let inputs = self.inputs(&mut g, row)?;
        let placed = place(&self.task.network, self.experiment.seed, &mut g, &inputs, &mut |_, _| {});
        let latents = g.latents().to_vec();
        let output = (*placed.outputs.last()?)?;
        let depends = g.graph.depends(output, row);
        (!latents.is_empty() && !depends).then(|| Sample { graph: g.graph, latents, output })
    }

    /// The network's inputs: the row of the dataset, or what `[inputs]` cuts out of it.
    fn inputs(&mut self, g: &mut Builder<'_>, row: Var) -> Option<Vec<Var>> {
        let wanted = &self.experiment.inputs;
        if wanted.is_empty() {
            return Some(vec![row]);
        }
        let cuts =
            inputs::cut(wanted, &self.preprocessing.input).map_err(|wrong| self.diags.extend(wrong)).ok()?;
        g.enter("inputs", false);
        let mut var = |cut: &inputs::Cut| {
            let numbers = g.push(Cut::new(g.shape(row), &cut.ranges), &[row])?;
            g.reshape(numbers, cut.shape.clone())
        };
        let vars: Result<Vec<Var>, Mismatch> = cuts.iter().map(&mut var).collect();
        Some(vars.expect("the cuts were made for these rows"))
    }

    /// The loss of an output.
    fn head(
        &mut self,
        g: &mut Builder<'_>,
        head: &Head,
        placed: &Placed,
        [row, targets, weight]: [Var; 3],
    ) -> Option<(LoweredHead, Output)> {
        let judged = self.judged_layer(head);
        // What names no layer could stand for a target no more than for an output.
        let part = (judged.is_some() || head.target.is_some()).then(|| match self.task.reconstructs {
            true => self.itself(head),
            false => self.target(head),
        });
        let ((position, layer), part) = (judged?, part??);
        let TargetPart { kind, shape, encoding, range, .. } = part;
        let output = placed.outputs[position]?;
        let output_shape = g.shape(output).clone();
        let shape = match kind {
            // Numbers in whatever shape the output gives them.
            TargetKind::OneHot { .. } | TargetKind::Values if output_shape.size() == shape.size() => {
                output_shape.clone()
            }
            _ => shape,
        };
        let described = Output {
            name: head.name.clone(),
            kind: OutputKind { shape: output_shape, targets: kind, ignore: encoding.ignored() },
            target: encoding.clone(),
            scores: head.loss.scores(),
            weight: head.weight,
        };
        if g.mode() == Mode::Train {
            self.diags.extend(heads::wrong_metrics(head, &described.kind));
        }
        self.check_loss(head, layer, &described.kind, &shape)?;
        g.enter("loss", false);
        let target = match self.task.reconstructs {
            true => g.reshape(row, shape),
            false if range.len() == g.shape(targets).size() => g.reshape(targets, shape),
            false => {
                g.push(Cut::new(g.shape(targets), &[range]), &[targets]).and_then(|t| g.reshape(t, shape))
            }
        };
        let target = target.expect("the target has these numbers");
        let loss = head.loss.lower(g, LossInputs { output, target, weight });
        let loss = loss.map_err(|m| self.diags.push(unfit(head, layer, &described.kind.shape, m))).ok()?;
        Some((LoweredHead { output, loss, target, weight: head.weight as f32 }, described))
    }

    /// The layer that a head judges, and its position.
    fn judged_layer(&mut self, head: &Head) -> Option<(usize, &'e LayerNode)> {
        let layers = &self.task.network.layers;
        let position = match &head.output {
            None => layers.len().checked_sub(1),
            Some(named) => {
                let found = layers.iter().position(|l| l.name == named.name);
                if found.is_none() {
                    let known: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
                    let diag = Diag::new(format!("there is no layer `{}`", named.name)).at(&named.at);
                    let inside =
                        |name: &&str| name.strip_prefix(&*named.name).is_some_and(|n| n.starts_with('/'));
                    let parts: Vec<&str> = known.iter().copied().filter(inside).collect();
                    let hint = match parts.is_empty() {
                        true => suggest(&named.name, &known),
                        false => Some(format!("that stands for the layers `{}`", parts.join("`, `"))),
                    };
                    self.diags.push(diag.maybe_hint(hint));
                }
                found
            }
        }?;
        Some((position, &layers[position]))
    }

    /// The target that a head is judged by: the one it names, or that has its output's name, or the only one.
    fn target(&mut self, head: &Head) -> Option<TargetPart<'e>> {
        let mut parts = self.preprocessing.parts();
        let known: Vec<&str> = parts.iter().filter_map(|part| part.name).collect();
        let wanted = head.target.as_ref().or(head.output.as_ref().filter(|_| !known.is_empty()));
        let found = match wanted {
            None => parts.iter().position(|_| known.is_empty()),
            Some(named) => parts.iter().position(|part| part.name == Some(&named.name)),
        };
        if let Some(found) = found {
            return Some(parts.swap_remove(found));
        }
        let at = wanted.map_or(&head.loss_at, |named| &named.at);
        let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let diag = match (&head.target, wanted) {
            (Some(named), _) if known.is_empty() => {
                Diag::new(format!("there is no target `{}`: the dataset has one target only", named.name))
                    .hint("leave `target` out")
            }
            (Some(named), _) => Diag::new(format!("the dataset has no target `{}`", named.name))
                .hint(suggest(&named.name, &known).unwrap_or(format!("it has {list}"))),
            _ => Diag::new(format!("the dataset has several targets: {list}"))
                .hint("say in each [[training.loss]] which one it judges: target = ..."),
        };
        self.diags.push(diag.at(at));
        None
    }

    /// The input as the target.
    fn itself(&mut self, head: &Head) -> Option<TargetPart<'e>> {
        if let Some(named) = &head.target {
            let diag = Diag::new("an autoencoder's target is its input").at(&named.at);
            self.diags.push(diag.hint("leave `target` out"));
            return None;
        }
        let (kind, shape, range) = (TargetKind::Values, self.input.clone(), 0..self.input.size());
        Some(TargetPart { name: None, encoding: &TargetEncoding::Input, kind, shape, range })
    }

    /// Whether a head's loss fits its output and target.
    fn check_loss(
        &mut self,
        head: &Head,
        layer: &LayerNode,
        output: &OutputKind,
        target: &Shape,
    ) -> Option<()> {
        let fits = head.loss.fits(&output.shape, &Target { kind: output.targets, shape: target.clone() });
        let mismatch = match (fits, output.targets) {
            (Err(_), _) if self.task.reconstructs && output.shape.size() != self.input.size() => {
                let message =
                    format!("an autoencoder gives back its input {}, not {}", self.input, output.shape);
                Mismatch::new(message)
                    .hint("Dense and Reshape, Conv2DTranspose or UpSampling2D lead to any shape")
            }
            (Ok(()), _) if self.task.reconstructs && !same_places(&output.shape, self.input) => {
                let message =
                    format!("an autoencoder gives back its input {}, not {}", self.input, output.shape);
                let dims: Vec<String> = self.input.dims.iter().map(usize::to_string).collect();
                Mismatch::new(message)
                    .hint(format!("end in `Reshape` with target_shape = [{}]", dims.join(", ")))
            }
            (Err(mismatch), _) => mismatch,
            (Ok(()), TargetKind::ClassIndex { classes }) if classes > 2 && output.units() == 1 => {
                let message = format!("the output has 1 unit, the dataset has {classes} classes");
                Mismatch::new(message).hint(format!("give the last layer units = {classes}"))
            }
            (Ok(()), _) => return Some(()),
        };
        self.diags.push(unfit(head, layer, &output.shape, mismatch));
        None
    }
}

/// Whether two shapes are one, but for channels of a single number.
fn same_places(a: &Shape, b: &Shape) -> bool {
    let places = |shape: &Shape| shape.dims.iter().copied().filter(|d| *d > 1).collect::<Vec<_>>();
    places(a) == places(b)
}

fn unfit(head: &Head, layer: &LayerNode, output: &Shape, mismatch: Mismatch) -> Diag {
    Diag::new(format!("the loss does not fit: {}", mismatch.message))
        .at(&head.loss_at)
        .also(&layer.at, format!("`{}` gives {output}", layer.name))
        .maybe_hint(mismatch.hint)
}
