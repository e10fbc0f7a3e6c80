//! From graphs to compiled programs: training, evaluation, prediction.

use std::sync::Arc;

use crate::compile::{self, Program, Want};
use crate::data::preprocessing::{Preprocessing, TargetEncoding};
use crate::diag::{Diag, Result};
use crate::exec::{Session, machine};
use crate::graph::{Graph, Params};
use crate::kernels::par::Pool;
use crate::model::adversarial::{self, Adversarial};
use crate::model::experiment::Experiment;
use crate::model::listing::LayerRow;
use crate::model::supervised::{self, Supervised};
use crate::model::task::Task;
use crate::shape::Shape;
use crate::target::{OutputKind, Scores};

/// Programs of a supervised model's session, by position; `PREDICT` of any model's.
pub const TRAIN: usize = 0;
pub const EVAL: usize = 1;
pub const PREDICT: usize = 2;
/// There if the network draws from distributions.
pub const SAMPLE: usize = 3;

/// What the programs give, by position: predictions first (all of them); in training and evaluation
/// then a loss per sample for each output, the targets that it was taken against, the losses that
/// layers add, and in training the states that go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    outputs: usize,
}

impl Slots {
    pub fn new(outputs: usize) -> Slots {
        Slots { outputs }
    }

    pub fn output(self, i: usize) -> usize {
        i
    }

    pub fn loss(self, i: usize) -> usize {
        self.outputs + i
    }

    pub fn target(self, i: usize) -> usize {
        2 * self.outputs + i
    }

    pub fn term(self, i: usize) -> usize {
        3 * self.outputs + i
    }

    /// In training: where a state is at the end of the batch.
    pub fn state(self, terms: usize, i: usize) -> usize {
        self.term(terms) + i
    }
}

/// An output of the network, as it is judged, reported and written.
#[derive(Clone, Debug)]
pub struct Output {
    /// Of its head: none for the only one.
    pub name: Option<String>,
    pub kind: OutputKind,
    pub target: TargetEncoding,
    pub scores: Scores,
    /// What its loss counts in the sum.
    pub weight: f64,
}

/// A program that makes samples of noise.
#[derive(Clone, Debug)]
pub struct Sampler {
    pub program: usize,
    /// Standard normal numbers per sample in each of the program's inputs.
    pub latents: Vec<usize>,
    /// Of a sample, batched.
    pub shape: Shape,
}

/// A network lowered to graphs; shapes fit.
#[derive(Debug)]
pub struct Model {
    pub params: Params,
    /// What is judged: nothing of a GAN.
    pub outputs: Vec<Output>,
    /// One row per layer that stands, for the summary.
    pub rows: Vec<LayerRow>,
    /// Names of layers and blocks that do not stand, by their `when`.
    pub left_out: Vec<String>,
    /// How samples are made, if the model makes any.
    pub sampler: Option<Sampler>,
    pub(super) graphs: Graphs,
}

/// The graphs of a task.
#[derive(Debug)]
pub(super) enum Graphs {
    Supervised(Supervised),
    Adversarial(Adversarial),
}

impl Graphs {
    fn wants(&self, purpose: Purpose, frame: &Want) -> Vec<Option<(&Graph, Want)>> {
        match self {
            Graphs::Supervised(graphs) => graphs.wants(purpose, frame),
            Graphs::Adversarial(graphs) => graphs.wants(purpose, frame),
        }
    }

    fn largest(&self) -> &Graph {
        match self {
            Graphs::Supervised(graphs) => graphs.largest(),
            Graphs::Adversarial(graphs) => graphs.largest(),
        }
    }
}

impl Model {
    /// Lowers an experiment for data of this shape. All mismatches that can be found are returned.
    pub fn lower(experiment: &Experiment, input: &Shape, preprocessing: &Preprocessing) -> Result<Model> {
        match &experiment.task {
            Task::Supervised(task) => supervised::lower(experiment, task, input, preprocessing),
            Task::Gan(gan) => adversarial::lower(experiment, gan, input, preprocessing),
        }
    }

    /// Compiles the programs for batches of at most `batch` samples. To infer, no training program is
    /// planned: its place holds an empty one.
    pub fn plan(&self, purpose: Purpose, batch: usize, threads: usize) -> Result<Vec<Program>> {
        self.check_countable(batch)?;
        let frame = Want { batch, threads, ..Want::default() };
        let programs = self.graphs.wants(purpose, &frame).into_iter().map(|planned| match planned {
            Some((graph, want)) => compile::compile(graph.clone(), &self.params, &want),
            None => compile::compile(Graph::default(), &self.params, &Want::default()),
        });
        let programs: Vec<Program> = programs.collect();
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
        let values = self.graphs.largest().values.iter().map(|v| v.shape.len(1) as u128);
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
