//! What every command does first: config, data, model, session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{self, Checkpoint};
use crate::data::preprocessing::{InputEncoding, TargetEncoding};
use crate::data::{Dataset, LoadContext, Part};
use crate::diag::{Diag, Failure, Result};
use crate::exec::Session;
use crate::graph::Precision;
use crate::kernels::bf16;
use crate::kernels::math::{PLAIN, exp, sigmoid};
use crate::kernels::par::Pool;
use crate::model::lower::{Model, Output, Purpose, Sampler};
use crate::model::task::{ClassWeight, Task};
use crate::model::{Experiment, meant};
use crate::ops::softmax::log_sum_exp;
use crate::shape::Shape;
use crate::target::Scores;
use crate::train::adapt;
use crate::train::initial_weights::{self, Initial};

/// What the command line says besides the config.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub data_dir: Option<PathBuf>,
    pub threads: Option<usize>,
    pub show_progress: bool,
}

impl Options {
    /// Threads to compute on: `--threads`, or as many as the machine gives this process.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
    }

    pub fn pool(&self) -> Arc<Pool> {
        Arc::new(Pool::new(self.threads()))
    }

    pub fn load_context(&self, experiment: &Experiment, allow_download: bool) -> LoadContext {
        LoadContext {
            config_dir: experiment.config_dir.clone(),
            data_dir: self.data_dir.clone(),
            seed: experiment.seed,
            learns_targets: experiment.task.learns_targets(),
            threads: self.threads(),
            allow_download,
            show_progress: self.show_progress,
        }
    }
}

/// An experiment with its data, which the model fits.
#[derive(Debug)]
pub struct Prepared {
    pub experiment: Experiment,
    pub dataset: Dataset,
    /// One factor per class, if the config weighs classes.
    pub class_weights: Option<Vec<f32>>,
    /// First weights that come from a file.
    pub initial: Initial,
}

impl Prepared {
    /// Loads the data and lowers the model: everything that can be wrong before training is found.
    pub fn new(experiment: Experiment, options: &Options) -> Result<(Prepared, Model)> {
        let mut dataset = experiment.dataset.load(&options.load_context(&experiment, true))?;
        if experiment.task.reader().stateful().is_some() && experiment.training.shuffle {
            let note = "stateful layers begin with zeros in training, as samples are shuffled; \
                        with shuffle = false their states go on from batch to batch";
            dataset.notes.push(note.into());
        }
        check_classes(&experiment, &dataset)?;
        let model = Model::lower(&experiment, &dataset.input_shape, &dataset.preprocessing);
        let class_weights = class_weights(&experiment, &dataset);
        let checks = [
            check_precision(&experiment).err(),
            check_steps(&experiment, &dataset).err(),
            check_walk(&experiment, &dataset).err(),
            adapt::check(&experiment).err(),
            meant::check(&experiment, model.as_ref().ok(), &dataset).err(),
        ];
        let initial = initial_weights::open(&experiment, model.as_ref().ok());
        // All are looked at before one is returned, so that one run tells of all.
        let (model, class_weights, initial) = match (model, class_weights, initial) {
            (Ok(model), Ok(weights), Ok(initial)) if checks.iter().all(Option::is_none) => {
                (model, weights, initial)
            }
            (model, weights, initial) => {
                let failures = [model.err(), weights.err(), initial.err()].into_iter().chain(checks);
                let diags = failures.flatten().flat_map(|f| f.diags().to_vec());
                return Err(Failure::Input(diags.collect()));
            }
        };
        Ok((Prepared { experiment, dataset, class_weights, initial }, model))
    }

    /// What the user should know before training starts.
    pub fn notes(&self) -> impl Iterator<Item = &String> {
        self.dataset.notes.iter().chain(&self.initial.report)
    }

    /// Samples of a batch: what the config says, or the training part if that is smaller.
    pub fn batch_size(&self) -> usize {
        self.experiment.training.batch_size.min(self.dataset.train.len()).max(1)
    }
}

/// Whether a classifier has something to tell apart.
fn check_classes(experiment: &Experiment, dataset: &Dataset) -> Result<()> {
    let only = match (&experiment.task, dataset.preprocessing.classes()) {
        (Task::Supervised(task), Some([only])) if !task.reconstructs => only,
        _ => return Ok(()),
    };
    let diag = Diag::new(format!("all samples are of one class, `{only}`")).at(&experiment.dataset_at);
    Err(diag.hint("a classifier needs two or more to tell apart; a GAN or an autoencoder needs none").into())
}

/// Whether this machine can train with the precision that is asked for.
fn check_precision(experiment: &Experiment) -> Result<()> {
    let training = &experiment.training;
    match bf16::lacking().filter(|_| training.precision == Precision::Bf16) {
        None => Ok(()),
        Some(lacking) => Err(Diag::new(format!("`precision` in `training`: cannot be \"bf16\": {lacking}"))
            .at(&training.precision_at)
            .hint("\"float32\", the default, trains on every machine")
            .into()),
    }
}

/// Whether training samples follow one another, where states go on.
fn check_walk(experiment: &Experiment, dataset: &Dataset) -> Result<()> {
    let Some(stateful) = experiment.task.reader().stateful() else { return Ok(()) };
    // Of a series it was told with the shapes.
    if !experiment.carries() || dataset.preprocessing.window.is_some() || dataset.train.is_walk() {
        return Ok(());
    }
    let message = format!(
        "layer `{}` ({}): its state goes on from batch to batch, but training samples do not follow one another",
        stateful.name, stateful.kind
    );
    let diag = Diag::new(message).at(&stateful.at).also(&experiment.dataset_at, "`stride` is not the length");
    Err(diag.hint("leave `stride` out, or let samples be shuffled: each then begins with zeros").into())
}

/// Whether a GAN's generator gets to learn in every epoch.
fn check_steps(experiment: &Experiment, dataset: &Dataset) -> Result<()> {
    let Task::Gan(gan) = &experiment.task else { return Ok(()) };
    let steps = dataset.train.len().div_ceil(experiment.training.batch_size.max(1));
    if gan.d_steps <= steps as u64 {
        return Ok(());
    }
    let message = format!(
        "`d_steps` is {}, and an epoch has {steps} steps: the generator would hardly learn",
        gan.d_steps
    );
    Err(Diag::new(message).at(&gan.d_steps_at).hint("fewer d_steps, or a smaller batch_size").into())
}

fn class_weights(experiment: &Experiment, dataset: &Dataset) -> Result<Option<Vec<f32>>> {
    let Task::Supervised(task) = &experiment.task else { return Ok(None) };
    let Some(wanted) = &task.class_weight else { return Ok(None) };
    let at = &task.class_weight_at;
    let Some(names) = dataset.preprocessing.classes().filter(|_| !task.reconstructs) else {
        let why = match dataset.preprocessing.target {
            _ if task.reconstructs => "an autoencoder's target is its input",
            TargetEncoding::Several { .. } => "the dataset has several targets",
            TargetEncoding::Mask { .. } => "here each pixel has a class of its own",
            TargetEncoding::NextToken => "here each token has a target of its own",
            _ => "the target is a number",
        };
        return Err(Diag::new(format!("`class_weight` needs a class for each sample, and {why}"))
            .at(at)
            .into());
    };
    match wanted {
        ClassWeight::Balanced => {
            let mut counts = vec![0usize; names.len()];
            let mut row = vec![0.0; dataset.train.table.targets.width()];
            for r in &dataset.train.rows {
                dataset.train.table.targets.copy_row(*r as usize, &mut row);
                counts[class_of(&row)] += 1;
            }
            let total = dataset.train.len() as f64;
            let weight = |count: &usize| (total / (names.len() as f64 * (*count).max(1) as f64)) as f32;
            Ok(Some(counts.iter().map(weight).collect()))
        }
        ClassWeight::Given(given) => {
            let mut weights = vec![1.0; names.len()];
            for (class, weight) in given {
                let number = class.parse().ok().filter(|i: &usize| *i < names.len());
                let Some(index) = names.iter().position(|n| n == class).or(number) else {
                    let known: Vec<&str> = names.iter().map(String::as_str).collect();
                    let diag = Diag::new(format!(
                        "`class_weight` names `{class}`, which is no class of the dataset"
                    ));
                    return Err(diag.at(at).maybe_hint(crate::diag::suggest(class, &known)).into());
                };
                weights[index] = *weight as f32;
            }
            Ok(Some(weights))
        }
    }
}

/// The class of a target row: its number, or the place of the 1.
pub fn class_of(row: &[f32]) -> usize {
    match row {
        [index] => *index as usize,
        one_hot => one_hot.iter().position(|v| *v > 0.5).unwrap_or(0),
    }
}

/// Samples that are evaluated or predicted together: what comes out does not depend on it. The values
/// of so many stay in the caches (ResNet-20 takes a quarter longer with 256, small networks the same).
const INFERENCE_BATCH: usize = 64;

/// A trained model from a checkpoint, with the data it asks for left alone.
#[derive(Debug)]
pub struct Loaded {
    pub experiment: Experiment,
    pub meta: checkpoint::Meta,
    pub session: Session,
    pub outputs: Vec<Output>,
    pub sampler: Option<Sampler>,
}

impl Loaded {
    /// Opens a run folder (its best checkpoint) or a checkpoint file.
    pub fn open(path: &Path, options: &Options) -> Result<Loaded> {
        let file = checkpoint_file(path)?;
        let checkpoint = checkpoint::read(&file)?;
        Loaded::from_checkpoint(checkpoint, &file, options)
    }

    fn from_checkpoint(checkpoint: Checkpoint, file: &Path, options: &Options) -> Result<Loaded> {
        let experiment = experiment_of(&checkpoint.meta, &file.display().to_string(), &[])?;
        let input = Shape::batch(checkpoint.meta.input_shape.clone());
        let model = Model::lower(&experiment, &input, &checkpoint.meta.preprocessing)?;
        let (outputs, sampler) = (model.outputs.clone(), model.sampler.clone());
        let mut session = model.session(Purpose::Infer, INFERENCE_BATCH, options.pool())?;
        load_weights(&mut session, &checkpoint, file)?;
        Ok(Loaded { experiment, meta: checkpoint.meta, session, outputs, sampler })
    }

    /// A stateful network for sequences of a single step, with the same weights, at the start of a walk.
    pub fn step_by_step(self) -> Result<Loaded> {
        let mut preprocessing = self.meta.preprocessing.clone();
        if let InputEncoding::Tokens { length, .. } = &mut preprocessing.input {
            *length = 1;
        }
        if let Some(window) = &mut preprocessing.window {
            (window.points, window.stride) = (1, 1);
        }
        let mut input = Shape::batch(self.meta.input_shape.clone());
        input.dims[0] = 1;
        let model = Model::lower(&self.experiment, &input, &preprocessing)?;
        let mut session = model.session(Purpose::Infer, 1, self.session.pool().clone())?;
        session.block_mut().copy_from_slice(self.session.block());
        session.begin_walk();
        Ok(Loaded { session, outputs: model.outputs, ..self })
    }
}

/// The experiment whose config a checkpoint holds.
pub fn experiment_of(meta: &checkpoint::Meta, file: &str, sets: &[String]) -> Result<Experiment> {
    Experiment::parse(&format!("{file} (config)"), &meta.config, sets, Path::new(&meta.config_dir), "run")
}

/// A run folder stands for its best checkpoint, else its last.
pub fn checkpoint_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let candidates = ["best.safetensors", "last.safetensors"].map(|name| path.join(name));
    candidates.into_iter().find(|c| c.exists()).ok_or_else(|| {
        Diag::new(format!("{} holds no checkpoint", path.display()))
            .hint("a run folder has best.safetensors and last.safetensors, as `nntrain fit` writes them")
            .into()
    })
}

/// Copies a checkpoint's weights into a session; every one must be there in its shape.
pub fn load_weights(session: &mut Session, checkpoint: &Checkpoint, file: &Path) -> Result<()> {
    for index in 0..session.params().decls.len() {
        let decl = &session.params().decls[index];
        if decl.carried {
            continue;
        }
        let found = checkpoint.tensor(&decl.path, &decl.shape);
        let data = found.map_err(|what| Diag::new(format!("{}: {what}", file.display())))?.to_vec();
        session.param_mut(index).copy_from_slice(&data);
    }
    Ok(())
}

/// Fills a program's inputs with samples `order` of a part.
pub fn fill(
    session: &mut Session,
    program: usize,
    part: &Part,
    order: &[u32],
    class_weights: Option<&[f32]>,
) {
    let pool = session.pool().clone();
    let [inputs, targets, weights] = session.batch_inputs(program, order.len());
    part.gather(&pool, order, inputs, targets, weights);
    if let Some(factors) = class_weights {
        let width = targets.len() / order.len();
        for (weight, row) in weights.iter_mut().zip(targets.chunks_exact(width)) {
            *weight *= factors[class_of(row)];
        }
    }
}

/// Writes an output's numbers as probabilities (or as they are, for values) to `into`.
pub fn convert(output: &Output, numbers: &[f32], into: &mut Vec<f32>) {
    into.clear();
    into.extend_from_slice(numbers);
    match output.scores {
        Scores::AsTheyAre => {}
        Scores::Sigmoid => into.iter_mut().for_each(|v| *v = sigmoid::<PLAIN>(*v)),
        Scores::Margin => into.iter_mut().for_each(|v| *v = (0.5 * *v + 0.5).clamp(0.0, 1.0)),
        Scores::Softmax => {
            for row in into.chunks_exact_mut(output.kind.units()) {
                let shift = log_sum_exp(row);
                row.iter_mut().for_each(|v| *v = exp::<PLAIN>(*v - shift));
            }
        }
    }
}
