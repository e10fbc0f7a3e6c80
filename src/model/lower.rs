//! From layers to compiled programs: training, evaluation, prediction.

use std::sync::Arc;

use crate::compile::{self, Program, Want};
use crate::config::names::INPUT;
use crate::config::read::Wrong;
use crate::data::preprocessing::{Preprocessing, TargetEncoding};
use crate::diag::{At, Diag, Failure, Result};
use crate::exec::{Session, machine};
use crate::graph::{Builder, Graph, Mismatch, Mode, Params, Precision, Var};
use crate::kernels::par::Pool;
use crate::losses::{LossInputs, Target};
use crate::metrics::Metric;
use crate::model::experiment::Experiment;
use crate::model::layers::{LayerNode, Network};
use crate::model::place::{Misfit, Placed, place};
use crate::model::scope::Feed;
use crate::model::walk;
use crate::shape::Shape;
use crate::target::{OutputKind, Scores, TargetKind};

/// Programs of a model's session, by position.
pub const TRAIN: usize = 0;
pub const EVAL: usize = 1;
pub const PREDICT: usize = 2;

/// What the programs give, by position: predictions (all of them), and in training and evaluation
/// one loss per sample, and the targets that it was taken against.
pub const OUTPUT: usize = 0;
pub const LOSS: usize = 1;
pub const TARGET: usize = 2;

/// A network lowered to graphs; shapes fit.
#[derive(Debug)]
pub struct Model {
    pub params: Params,
    pub output: OutputKind,
    /// One row per layer that stands, for the summary.
    pub rows: Vec<LayerRow>,
    /// Names of layers and blocks that do not stand, by their `when`.
    pub left_out: Vec<String>,
    train: Lowered,
    eval: Lowered,
}

/// What the summary says of a layer.
#[derive(Clone, Debug)]
pub struct LayerRow {
    pub name: String,
    pub kind: &'static str,
    pub output: Shape,
    pub parameters: usize,
    /// Of these, trained.
    pub trained: usize,
    /// Forward multiplications and additions per sample.
    pub flops: f64,
    /// Names of the layers it reads.
    pub from: Vec<String>,
}

#[derive(Debug)]
struct Lowered {
    graph: Graph,
    input: Var,
    target: Var,
    weight: Var,
    output: Var,
    loss: Var,
}

impl Model {
    /// Lowers an experiment for data of this shape. All mismatches that can be found are returned.
    pub fn lower(experiment: &Experiment, input: &Shape, preprocessing: &Preprocessing) -> Result<Model> {
        let mut params = Params::default();
        let mut diags = mask_mistakes(experiment, &preprocessing.target);
        diags.extend(walk::mistakes(experiment, preprocessing));
        let targets = preprocessing.target_kind();
        let train = lower_graph(experiment, input, preprocessing, Mode::Train, &mut params, &mut diags);
        if !diags.is_empty() {
            return Err(Failure::Input(diags));
        }
        let eval = lower_graph(experiment, input, preprocessing, Mode::Eval, &mut params, &mut diags);
        let (Some((train, _)), Some((eval, placed))) = (train, eval) else {
            return Err(Failure::Input(diags));
        };
        let rows = rows(&experiment.network, &eval.graph, &placed, &params);
        let conditionals = &experiment.network.conditionals;
        let left_out = placed.left_out.iter().map(|i| conditionals[*i].name.clone()).collect();
        let output = OutputKind { shape: eval.graph.shape(eval.output).clone(), targets };
        Ok(Model { params, output, rows, left_out, train, eval })
    }

    /// Compiles the programs for batches of at most `batch` samples. To infer, no training program is
    /// planned: its place holds an empty one.
    pub fn plan(&self, purpose: Purpose, batch: usize, threads: usize) -> Result<Vec<Program>> {
        self.check_countable(batch)?;
        let want = |l: &Lowered, inputs: Vec<Var>, losses: Vec<(Var, f32)>, outputs: Vec<Var>| Want {
            inputs,
            outputs: std::iter::once(l.output).chain(outputs).collect(),
            losses,
            batch,
            threads,
        };
        let all = |l: &Lowered| vec![l.input, l.target, l.weight];
        let judged = |l: &Lowered, losses| want(l, all(l), losses, vec![l.loss, l.target]);
        let (train, eval) = (&self.train, &self.eval);
        let compile = |l: &Lowered, want: &Want| compile::compile(l.graph.clone(), &self.params, want);
        let programs = vec![
            match purpose {
                Purpose::Train => compile(train, &judged(train, vec![(train.loss, 1.0)])),
                Purpose::Infer => compile::compile(Graph::default(), &self.params, &Want::default()),
            },
            compile(eval, &judged(eval, vec![])),
            compile(eval, &want(eval, vec![eval.input], vec![], vec![])),
        ];
        check_memory(&self.params, &programs)?;
        Ok(programs)
    }

    /// The model with its memory, for batches of at most `batch` samples.
    pub fn session(&self, purpose: Purpose, batch: usize, pool: Arc<Pool>) -> Result<Session> {
        let programs = self.plan(purpose, batch, pool.threads())?;
        Ok(Session::new(&self.params, programs, pool))
    }

    /// The planner's arithmetic holds for sizes that a machine could at all have.
    fn check_countable(&self, batch: usize) -> Result<()> {
        let values = self.train.graph.values.iter().map(|v| v.shape.len(1) as u128);
        let numbers = values.sum::<u128>() * batch as u128;
        if numbers < MOST_NUMBERS {
            return Ok(());
        }
        let message = format!("a batch of {batch} samples would need {numbers} numbers at once");
        Err(Diag::new(message).hint("choose a smaller batch_size, or fewer units").into())
    }
}

/// More than this no machine holds: 2^46 numbers of 4 bytes.
const MOST_NUMBERS: u128 = 1 << 46;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Train,
    Infer,
}

/// Refuses a plan that is larger than the machine's memory, before anything is allocated.
fn check_memory(params: &Params, programs: &[Program]) -> Result<()> {
    let needed = Session::planned_bytes(params, programs);
    match machine::memory() {
        Some(there) if needed > there => {
            let gigabytes = |bytes: usize| bytes as f64 / 1e9;
            let message = format!(
                "the network and one batch would take {:.1} GB of memory; this machine has {:.1} GB",
                gigabytes(needed),
                gigabytes(there)
            );
            Err(Diag::new(message).hint("choose a smaller batch_size, or fewer units or filters").into())
        }
        _ => Ok(()),
    }
}

/// What does not go together with a mask as the target.
fn mask_mistakes(experiment: &Experiment, target: &TargetEncoding) -> Vec<Diag> {
    let TargetEncoding::Mask { ignore, .. } = target else { return vec![] };
    let training = &experiment.training;
    let moved = experiment.network.layers.iter().filter(|node| node.layer.moves_pixels()).map(|node| {
        let message = format!("layer `{}` ({}) moves the pictures, but not their masks", node.name, node.kind);
        node.context.explain(Diag::new(message).at(&node.at).hint(
            "for masks use what leaves pixels in their places: RandomContrast, RandomBrightness, GaussianNoise",
        ))
    });
    let counted = ignore.filter(|class| !training.loss.ignores(f32::from(*class))).map(|class| {
        let message = format!("pixels of class {class} are of no class, but the loss does not ignore them");
        let hint = format!("loss = {{ type = \"sparse_categorical_crossentropy\", ignore_class = {class} }}");
        Diag::new(message).at(&training.loss_at).hint(hint)
    });
    moved.chain(counted).collect()
}

/// Lowers all layers and the loss; `None` after a mismatch, which is noted.
fn lower_graph(
    experiment: &Experiment,
    input_shape: &Shape,
    preprocessing: &Preprocessing,
    mode: Mode,
    params: &mut Params,
    diags: &mut Vec<Diag>,
) -> Option<(Lowered, Placed)> {
    let (targets, target_shape) = (preprocessing.target_kind(), preprocessing.target_shape());
    let precision = match mode {
        Mode::Train => experiment.training.precision,
        // What is judged and predicted does not depend on the machine.
        Mode::Eval => Precision::Float32,
    };
    let mut g = Builder::new(params, mode, experiment.seed).with_precision(precision);
    let input = g.input(input_shape.clone());
    if let Some(tokens) = preprocessing.vocabulary() {
        g.set_vocabulary(input, tokens);
    }
    let network = &experiment.network;
    let mut complain = |g: &Builder<'_>, misfit: Misfit<'_>| diags.push(mismatch(experiment, g, misfit));
    let placed = place(network, experiment.seed, &mut g, input, &mut complain);
    if placed.outputs.contains(&None) {
        return None;
    }
    let output = (*placed.outputs.last()?)?;
    let output_shape = g.shape(output).clone();
    let training = &experiment.training;
    let last = network.layers.last()?;
    let complain = |m: Mismatch| {
        Diag::new(format!("the loss does not fit: {}", m.message))
            .at(&training.loss_at)
            .also(&last.at, format!("`{}` gives {output_shape}", last.name))
            .maybe_hint(m.hint)
    };
    let target_shape = match targets {
        // Numbers in whatever shape the output gives them.
        TargetKind::OneHot { .. } | TargetKind::Values if output_shape.size() == target_shape.size() => {
            output_shape.clone()
        }
        _ => target_shape,
    };
    if mode == Mode::Train {
        let output = OutputKind { shape: output_shape.clone(), targets };
        diags.extend(wrong_metrics(experiment, &output));
    }
    if let Err(m) = training.loss.fits(&output_shape, &Target { kind: targets, shape: target_shape.clone() })
    {
        diags.push(complain(m));
        return None;
    }
    if let TargetKind::ClassIndex { classes } = targets
        && classes > 2
        && output_shape.last() == 1
    {
        let message = format!("the output has 1 unit, the dataset has {classes} classes");
        diags.push(complain(Mismatch::new(message).hint(format!("give the last layer units = {classes}"))));
        return None;
    }
    g.enter("loss", false);
    let (target, weight) = (g.input(target_shape), g.input(Shape::batch([])));
    let loss = training.loss.lower(&mut g, LossInputs { output, target, weight });
    let loss = loss.map_err(|m| diags.push(complain(m))).ok()?;
    Some((Lowered { graph: g.graph, input, target, weight, output, loss }, placed))
}

/// Metrics that do not fit the output, its targets or the loss.
fn wrong_metrics(experiment: &Experiment, output: &OutputKind) -> Vec<Diag> {
    let training = &experiment.training;
    let wrong = |metric: &dyn Metric| {
        let binary_logits = training.loss.scores() == Scores::Sigmoid;
        if let Err(wrong) = metric.bind(output) {
            return Some(wrong);
        }
        if metric.judges_labels() && output.targets == TargetKind::Values && !training.loss.takes_labels() {
            let message = "counts right and wrong classes, but the target is a number".into();
            let hint = "`mae`, `rmse` and `r2_score` judge numbers; for classes give the dataset task = \"classification\"";
            return Some(Wrong { message, hint: Some(hint.into()) });
        }
        let instead = metric.instead_for_logits().filter(|_| binary_logits)?;
        let message = "would take the logits that the loss is given for probabilities".into();
        Some(Wrong { message, hint: Some(format!("use {instead}")) })
    };
    let places = training.metrics.iter().zip(&training.metrics_at);
    let diag = |metric: &dyn Metric, at: &At, wrong: Wrong| {
        Diag::new(format!("metric `{}` {}", metric.name(), wrong.message)).at(at).maybe_hint(wrong.hint)
    };
    places.filter_map(|(m, at)| wrong(&**m).map(|w| diag(&**m, at, w))).collect()
}

fn mismatch(experiment: &Experiment, g: &Builder<'_>, misfit: Misfit<'_>) -> Diag {
    let Misfit { node, inputs, mismatch } = misfit;
    let mut diag = Diag::new(format!("layer `{}` ({}): {}", node.name, node.kind, mismatch.message))
        .at(&node.at)
        .maybe_hint(mismatch.hint);
    for (feed, var) in node.from.iter().zip(inputs) {
        let shape = g.shape(var);
        match feed {
            Feed::Input => diag = diag.also(&experiment.dataset_at, format!("the dataset gives {shape}")),
            Feed::Layer(i) => {
                let from = &experiment.network.layers[*i];
                diag = diag.also(&from.at, format!("`{}` gives {shape}", from.name));
            }
        }
    }
    node.context.explain(diag)
}

fn rows(network: &Network, graph: &Graph, placed: &Placed, params: &Params) -> Vec<LayerRow> {
    // What is read in the place of layers that do not stand.
    let mut instead = vec![None; network.layers.len()];
    for conditional in placed.left_out.iter().map(|i| &network.conditionals[*i]) {
        instead[conditional.first..conditional.end].fill(Some(conditional.input));
    }
    let name = |feed: &Feed| {
        let mut feed = *feed;
        while let Feed::Layer(i) = feed {
            match instead[i] {
                Some(other) => feed = other,
                None => return network.layers[i].name.clone(),
            }
        }
        INPUT.to_string()
    };
    let describe = |node: &LayerNode, output: Var| {
        let own = |path: &str| path.strip_prefix(&*node.name).is_some_and(|rest| rest.starts_with('/'));
        let sizes = || params.decls.iter().filter(|d| own(&d.path) && !d.carried);
        let ops = graph.nodes.iter().filter(|n| n.layer == node.name);
        let flops = ops.map(|n| {
            let shapes = |vars: &[Var]| vars.iter().map(|v| graph.shape(*v).clone()).collect::<Vec<_>>();
            let (x, y) = (shapes(&n.inputs), shapes(&n.outputs));
            n.op.flops(&x.iter().collect::<Vec<_>>(), &y.iter().collect::<Vec<_>>())
        });
        LayerRow {
            name: node.name.clone(),
            kind: node.kind,
            output: graph.shape(output).clone(),
            parameters: sizes().map(|d| d.size()).sum(),
            trained: sizes().filter(|d| d.trainable).map(|d| d.size()).sum(),
            flops: flops.sum(),
            from: node.from.iter().map(name).collect(),
        }
    };
    let standing = network.layers.iter().zip(&placed.outputs).zip(&instead).filter(|(_, i)| i.is_none());
    standing.filter_map(|((node, output), _)| Some(describe(node, (*output)?))).collect()
}
