//! What can be computed, and cannot be meant: numbers taken for tokens, bounds that the data go beyond,
//! answers that a network is shown, and networks in which nothing learns.
//!
//! It is looked for before training. A checkpoint is opened without.

use std::any::Any;
use std::ops::Range;

use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::{Dataset, Part, Rows};
use crate::diag::{Diag, Failure, Result};
use crate::graph::{Graph, Var};
use crate::layers::Reach;
use crate::losses::gives::Gives;
use crate::model::Experiment;
use crate::model::gan::{DISCRIMINATOR, GENERATOR, Gan};
use crate::model::heads::Head;
use crate::model::layers::{LayerNode, Network};
use crate::model::lower::{Graphs, Model};
use crate::model::supervised;
use crate::model::task::{Supervised, Task};
use crate::ops::cut::Cut;
use crate::ops::embedding::Embedding;
use crate::ops::mask::NotZero;
use crate::target::TargetKind;

/// Looks at the config with its data, and at the model if its shapes fit.
pub fn check(experiment: &Experiment, model: Option<&Model>, dataset: &Dataset) -> Result<()> {
    let mut diags: Vec<Diag> = tokens_given_back(experiment, &dataset.preprocessing).into_iter().collect();
    if let Some(model) = model.filter(|_| diags.is_empty()) {
        diags.extend(nothing_learns(experiment, model));
        match (&experiment.task, &model.graphs) {
            (Task::Supervised(task), Graphs::Supervised(graphs)) => {
                let seen = Seen { experiment, task, graphs, dataset };
                diags.extend(seen.no_tokens());
                diags.extend(seen.masked_tokens());
                diags.extend(seen.answers_shown());
                diags.extend(judged_twice(task, &dataset.preprocessing));
                diags.extend(seen.beyond_bounds(model));
            }
            (Task::Gan(gan), Graphs::Adversarial(graphs)) => {
                let (graph, samples) = graphs.samples();
                diags.extend(never_made(gan, Gives::of(graph, samples), dataset));
            }
            _ => {}
        }
    }
    if diags.is_empty() { Ok(()) } else { Err(Failure::Input(diags)) }
}

/// Numbers of tokens have no order: nothing between two of them means anything.
fn tokens_given_back(experiment: &Experiment, data: &Preprocessing) -> Option<Diag> {
    let what = match &experiment.task {
        Task::Supervised(task) if task.reconstructs => "an autoencoder gives back",
        Task::Gan(_) => "a generator makes",
        _ => return None,
    };
    matches!(data.input, InputEncoding::Tokens { .. }).then(|| {
        let message = format!("{what} numbers, and the dataset has tokens, whose numbers are mere names");
        Diag::new(message)
            .at(&experiment.dataset_at)
            .hint("leave `task` out: a `text` is guessed token by token")
    })
}

/// Networks without a weight that is trained, if they are to be.
fn nothing_learns(experiment: &Experiment, model: &Model) -> Vec<Diag> {
    let owners = match &experiment.task {
        _ if experiment.training.epochs == 0 => vec![],
        Task::Supervised(task) => vec![(&task.network, "", "the network")],
        Task::Gan(gan) => vec![
            (&gan.generator.network, GENERATOR, "the generator"),
            (&gan.discriminator.network, DISCRIMINATOR, "the discriminator"),
        ],
    };
    let idle = |(network, prefix, name): (&Network, &str, &str)| {
        let mut own = model.params.decls.iter().filter(|decl| decl.path.starts_with(prefix));
        if own.clone().any(|decl| decl.trainable) {
            return None;
        }
        let (why, hint) = match own.next() {
            Some(_) => (
                "all its layers are frozen",
                "leave `trainable = false` out where something is to be learned",
            ),
            None => ("no layer has weights", "`Dense`, `Conv2D`, `LSTM`, ... learn"),
        };
        let node = network.layers.iter().find(|node| !node.trainable).or(network.layers.first())?;
        let diag = Diag::new(format!("nothing in {name} is trained: {why}")).at(&node.at);
        Some(node.context.explain(diag.hint(hint)))
    };
    owners.into_iter().filter_map(idle).collect()
}

/// Two losses on one target, beside a target without any.
fn judged_twice(task: &Supervised, data: &Preprocessing) -> Option<Diag> {
    let parts = data.parts();
    let target =
        |head: &'_ Head| head.target.as_ref().or(head.output.as_ref()).map(|named| named.name.clone());
    let judged: Vec<Option<String>> = task.heads.iter().map(target).collect();
    let left = parts
        .iter()
        .filter_map(|p| p.name)
        .find(|name| !judged.iter().any(|j| j.as_deref() == Some(name)))?;
    let (second, first) =
        (0..judged.len()).find_map(|i| Some((i, judged[..i].iter().position(|j| *j == judged[i])?)))?;
    let place = |head: &Head| {
        head.target.as_ref().or(head.output.as_ref()).map_or(head.loss_at.clone(), |n| n.at.clone())
    };
    let twice = judged[second].as_deref()?;
    let message = format!("two losses judge the target `{twice}`, and none the target `{left}`");
    let diag =
        Diag::new(message).at(&place(&task.heads[second])).also(&place(&task.heads[first]), "the first");
    Some(diag.hint(format!("target = \"{left}\", or leave it out of the dataset's targets")))
}

/// Data that a generator cannot make, as its last activation does not reach so far.
fn never_made(gan: &Gan, gives: Option<Gives>, dataset: &Dataset) -> Option<Diag> {
    let gives = gives?;
    let width = dataset.train.table.inputs.width();
    let found = beyond(&dataset.train, &dataset.train.table.inputs, 0..width, (gives.low, gives.high))?;
    let last = gan.generator.network.layers.last()?;
    let message =
        format!("the generator's `{}` gives {}, but the dataset has {found}", gives.name, gives.words());
    let hint = "let `normalize` in [dataset] bring the numbers within, or choose another activation";
    Some(Diag::new(message).at(&last.at).hint(hint))
}

/// More than rounding.
const BEYOND: f32 = 1e-5;

/// The first number of some columns that lies beyond bounds.
fn beyond(part: &Part, rows: &Rows, columns: Range<usize>, (low, high): (f32, f32)) -> Option<f32> {
    first(part, rows, &[columns], |x| x < low - BEYOND || x > high + BEYOND)
}

/// The first number of some columns that is so, in the rows that are in memory: pictures beyond are like them.
fn first(part: &Part, rows: &Rows, columns: &[Range<usize>], so: impl Fn(f32) -> bool) -> Option<f32> {
    let mut row = vec![0.0; rows.width()];
    part.rows.iter().filter(|sample| rows.holds(**sample as usize)).find_map(|sample| {
        rows.copy_row(*sample as usize, &mut row);
        columns.iter().flat_map(|range| &row[range.clone()]).copied().find(|x| so(*x))
    })
}

/// A supervised model and its data.
struct Seen<'a> {
    experiment: &'a Experiment,
    task: &'a Supervised,
    graphs: &'a supervised::Supervised,
    dataset: &'a Dataset,
}

impl<'a> Seen<'a> {
    fn node(&self, layer: &str) -> Option<&'a LayerNode> {
        self.task.network.layers.iter().find(|node| node.name == layer)
    }

    /// The layers whose op reads the dataset's numbers as they are, and which of them.
    fn readers<T: Any>(&self) -> Vec<(&'a LayerNode, &'a T, Vec<Range<usize>>)> {
        let (graph, row) = self.graphs.reads();
        let reader = |node: &'a crate::graph::Node| {
            let op = (&*node.op as &dyn Any).downcast_ref::<T>()?;
            Some((self.node(&node.layer)?, op, columns(graph, node.inputs[0], row)?))
        };
        graph.nodes.iter().filter_map(reader).collect()
    }

    /// `Embedding` of what are no tokens, or more of them than it has rows.
    fn no_tokens(&self) -> Vec<Diag> {
        if self.dataset.preprocessing.vocabulary().is_some() {
            return vec![];
        }
        let parts = [Some(&self.dataset.train), self.dataset.validation.as_ref()];
        let wrong = |(node, op, columns): (&LayerNode, &Embedding, Vec<Range<usize>>)| {
            let none = |x: f32| x < 0.0 || x.fract() != 0.0 || x >= op.rows() as f32;
            let found =
                parts.iter().flatten().find_map(|part| first(part, &part.table.inputs, &columns, none))?;
            let message = format!(
                "layer `{}` ({}) takes token numbers from 0 to {}, but the dataset has {found}",
                node.name,
                node.kind,
                op.rows() - 1
            );
            let hint = match found >= 0.0 && found.fract() == 0.0 {
                true => "it needs a row for each token: the largest number and one more",
                false => {
                    "tokens are whole numbers from 0 on (normalize = \"none\" leaves them so); for others use `Dense`"
                }
            };
            let diag = Diag::new(message).at(&node.at).also(&self.experiment.dataset_at, "the dataset");
            Some(node.context.explain(diag.hint(hint)))
        };
        self.readers::<Embedding>().into_iter().filter_map(wrong).collect()
    }

    fn guesses_tokens(&self) -> bool {
        self.dataset.preprocessing.target == TargetEncoding::NextToken
    }

    /// Padding where there is none.
    fn masked_tokens(&self) -> Vec<Diag> {
        let masks = self.readers::<NotZero>().into_iter().filter(|_| self.guesses_tokens());
        let diag = masks.map(|(node, ..)| {
            let message = format!(
                "layer `{}` ({}) masks token 0, which is a token of the text like any other",
                node.name, node.kind
            );
            let diag =
                Diag::new(message).at(&node.at).also(&self.experiment.dataset_at, "nothing of it is padded");
            node.context.explain(diag.hint("leave `mask_zero` out"))
        });
        diag.collect()
    }

    /// A network that is to guess the next token, and sees it.
    fn answers_shown(&self) -> Vec<Diag> {
        let several = self.dataset.preprocessing.target_width() > 1 && self.guesses_tokens();
        let seers =
            self.task.network.layers.iter().filter(|node| several && node.layer.reach() == Reach::Ahead);
        let diag = seers.map(|node| {
            let message = format!(
                "layer `{}` ({}) looks ahead: it shows the network the tokens that it is to guess",
                node.name, node.kind
            );
            let diag = Diag::new(message).at(&node.at).also(&self.experiment.dataset_at, "each token's target is the next");
            let hint = "what looks back alone: recurrent layers with `return_sequences = true`, `TransformerDecoder`, \
                        attention with `use_causal_mask = true`, `Conv1D` with padding = \"causal\"";
            node.context.explain(diag.hint(hint))
        });
        diag.collect()
    }

    /// Targets beyond the bounds of their loss, or of what the output can be.
    fn beyond_bounds(&self, model: &Model) -> Vec<Diag> {
        let parts = self.dataset.preprocessing.parts();
        let heads = self.task.heads.iter().zip(&model.outputs).zip(self.graphs.judged());
        let wrong = heads.filter_map(|((head, output), var)| {
            if output.kind.targets != TargetKind::Values {
                return None;
            }
            let table = &self.dataset.train.table;
            let (rows, columns) = match self.task.reconstructs {
                true => (&table.inputs, 0..table.inputs.width()),
                false => {
                    let part = parts.iter().find(|part| *part.encoding == output.target)?;
                    (&table.targets, part.range.clone())
                }
            };
            let bounded = Gives::of(self.graphs.reads().0, var).filter(|_| self.task.reconstructs);
            let found = |bounds| beyond(&self.dataset.train, rows, columns.clone(), bounds);
            let (message, found) = match (head.loss.target_bounds(), bounded) {
                (Some((low, high)), _) => {
                    (format!("its targets are from {low} to {high}"), found((low, high))?)
                }
                (None, Some(gives)) => {
                    (format!("`{}` gives {}", gives.name, gives.words()), found((gives.low, gives.high))?)
                }
                (None, None) => return None,
            };
            let message = format!("the loss does not fit: {message}, but the dataset has {found}");
            let hint = match self.task.reconstructs {
                true => "let `normalize` in [dataset] bring the inputs within, or use `mean_squared_error` and no activation in the last layer",
                false => "for numbers use `mean_squared_error`, without an activation in the last layer",
            };
            Some(Diag::new(message).at(&head.loss_at).also(&self.experiment.dataset_at, "the dataset").hint(hint))
        });
        wrong.collect()
    }
}

/// Which numbers of the dataset's rows a value is, if it is some of them as they are.
fn columns(graph: &Graph, var: Var, row: Var) -> Option<Vec<Range<usize>>> {
    if graph.root(var) == row {
        let all = 0..graph.shape(row).size();
        return Some(vec![all]);
    }
    let node = graph.producer(var)?;
    let cut = (&*node.op as &dyn Any).downcast_ref::<Cut>()?;
    (graph.root(node.inputs[0]) == row).then(|| cut.ranges().to_vec())
}
