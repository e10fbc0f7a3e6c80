//! The config of a run, read: every section, every mistake in one go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::callbacks::{Callbacks, Scene};
use crate::config::fields::Fields;
use crate::config::names::INPUT;
use crate::config::overrides;
use crate::config::tree::{self, Data, Table, Value};
use crate::config::write::{self, Plain};
use crate::data::{DATASETS, DatasetSpec};
use crate::diag::{At, Diag, Failure, Result, Source};
use crate::graph::Precision;
use crate::model::heads::{self, Head};
use crate::model::inputs::{self, Input};
use crate::model::layers::{self, Network, Stored};
use crate::optim::{LearningRate, OPTIMIZERS, OptimizerSpec};
use crate::words;

/// A whole config.
#[derive(Debug)]
pub struct Experiment {
    pub name: String,
    pub seed: u64,
    pub dataset: Box<dyn DatasetSpec>,
    pub dataset_at: At,
    /// `[inputs]`; none: the dataset's rows are the one input.
    pub inputs: Vec<Input>,
    pub training: Training,
    pub task: Task,
    pub callbacks: Callbacks,
    /// The folder that relative paths start from.
    pub config_dir: PathBuf,
    resolved: Vec<(String, Plain)>,
}

/// The section `[training]`, as far as all tasks have it.
#[derive(Debug)]
pub struct Training {
    pub epochs: usize,
    pub batch_size: usize,
    pub shuffle: bool,
    /// Of the training program; inference is always f32.
    pub precision: Precision,
    pub precision_at: At,
}

/// What is trained, and to what end.
#[derive(Debug)]
pub enum Task {
    Supervised(Supervised),
}

/// One network, judged against targets.
#[derive(Debug)]
pub struct Supervised {
    pub network: Network,
    /// The target is the input: an autoencoder.
    pub reconstructs: bool,
    pub optimizer: Arc<OptimizerSpec>,
    pub heads: Vec<Head>,
    pub class_weight: Option<ClassWeight>,
    pub class_weight_at: At,
}

impl Supervised {
    /// Losses besides their sum that stand in the history, by name: none if there is only one.
    pub fn parts_of_loss(&self) -> Vec<String> {
        let terms = self.network.terms();
        if self.heads.len() + terms.len() == 1 {
            return vec![];
        }
        let only = if self.reconstructs { "reconstruction" } else { "prediction" };
        let heads = self.heads.iter().map(|head| head.name.as_deref().unwrap_or(only));
        heads.chain(terms.iter().map(|term| term.name)).map(|name| format!("{name}_loss")).collect()
    }

    /// What is measured over a part, in the history's order, and whether higher is better.
    pub fn measured(&self) -> Vec<(String, bool)> {
        let losses = std::iter::once("loss".to_string()).chain(self.parts_of_loss());
        losses.map(|name| (name, false)).chain(self.heads.iter().flat_map(Head::metric_columns)).collect()
    }
}

impl Task {
    pub fn networks(&self) -> Vec<&Network> {
        let Task::Supervised(task) = self;
        vec![&task.network]
    }

    /// What is measured in every epoch, in the history's order, and whether higher is better.
    pub fn measured(&self, validation: bool) -> Vec<(String, bool)> {
        let Task::Supervised(task) = self;
        let own = task.measured();
        let validated =
            own.iter().filter(|_| validation).map(|(name, higher)| (format!("val_{name}"), *higher));
        [own.clone(), validated.collect()].concat()
    }
}

/// The key `task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// From inputs to the dataset's targets.
    Supervised,
    /// From inputs to themselves.
    Autoencode,
}
words!(Word, Supervised = "supervised", Autoencode = "autoencode");

/// The key `class_weight`.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeight {
    /// `samples / (classes * samples of the class)`, over the training part.
    Balanced,
    /// By class name, or by number; classes not named weigh 1.
    Given(Vec<(String, f64)>),
}

impl Experiment {
    /// Reads a config file and applies `--set` arguments to it.
    pub fn open(path: &Path, sets: &[String]) -> Result<Experiment> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Diag::new(format!("cannot read the config {}: {e}", path.display())))?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = path.file_stem().map_or("run".into(), |s| s.to_string_lossy().into_owned());
        Experiment::parse(&path.display().to_string(), &text, sets, dir, &stem)
    }

    /// Reads a config's text. `dir` is where its relative paths start, `name` its default name.
    pub fn parse(file: &str, text: &str, sets: &[String], dir: &Path, name: &str) -> Result<Experiment> {
        let source = Source::new(file, text);
        let mut root = tree::parse(&source).map_err(Failure::Input)?;
        let mut diags = vec![];
        for set in sets {
            if let Err(diag) = overrides::apply(&mut root, set) {
                diags.push(diag);
            }
        }
        let read = read(&root, &At::new(&source, 0..0), dir, name, &mut diags);
        match read {
            Some(experiment) if diags.is_empty() => Ok(experiment),
            _ => Err(Failure::Input(diags)),
        }
    }

    /// The config with every default filled in, for a file in `folder`.
    pub fn resolved(&self, folder: &Path) -> String {
        write::document(&self.resolved, &|path| rebase(&self.config_dir, path, folder))
    }
}

/// A path that was relative to one folder, made relative to another where that is possible.
fn rebase(from: &Path, path: &str, to: &Path) -> String {
    let absolute = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_path_buf());
    if Path::new(path).is_absolute() {
        return path.to_string();
    }
    let (target, base) = (normal(&absolute(&from.join(path))), normal(&absolute(to)));
    let shared = target.iter().zip(&base).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_string(), base.len() - shared);
    let steps: Vec<String> = up.chain(target[shared..].iter().cloned()).collect();
    steps.join("/")
}

/// The steps of an absolute path, with `.` and `..` worked out.
fn normal(path: &Path) -> Vec<String> {
    let mut steps = vec![];
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                steps.pop();
            }
            std::path::Component::Normal(step) => steps.push(step.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    steps
}

fn read(root: &Table, at: &At, dir: &Path, default_name: &str, diags: &mut Vec<Diag>) -> Option<Experiment> {
    let mut f = Fields::new(root, at, "the config", diags);
    let name: String = f.key("name").or(default_name.to_string());
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        f.error("name", format!("`{name}` cannot name a run folder"), None);
    }
    let seed = f.key("seed").or(0u64);
    let word = f.key("task").or(Word::Supervised);
    let dataset = read_dataset(&mut f);
    let inputs = read_inputs(&mut f);
    let network = read_network(&mut f, root, &inputs);
    let training = read_training(&mut f);
    let validation = dataset.as_ref().is_none_or(|(d, _)| d.has_validation());
    let (training, learning) = training.unzip();
    let task = learning.flatten().zip(network).map(|(learning, network)| {
        let Learning { optimizer, heads, class_weight, class_weight_at } = learning;
        let reconstructs = word == Word::Autoencode;
        let task = Supervised { network, reconstructs, optimizer, heads, class_weight, class_weight_at };
        Task::Supervised(task)
    });
    let scene = task.as_ref().map(|task| {
        let Task::Supervised(supervised) = task;
        let scheduled = matches!(supervised.optimizer.learning_rate, LearningRate::Scheduled(_));
        Scene { columns: task.measured(validation), scheduled }
    });
    let callbacks = match scene {
        Some(scene) => read_callbacks(&mut f, &scene),
        None => {
            f.allow("callbacks");
            None
        }
    };
    let resolved = f.finish();
    let (dataset, dataset_at) = dataset?;
    Some(Experiment {
        name,
        seed,
        dataset,
        dataset_at,
        inputs,
        training: training?,
        task: task?,
        callbacks: callbacks?,
        config_dir: dir.to_path_buf(),
        resolved,
    })
}

fn missing_section(f: &mut Fields<'_>, name: &str, hint: &str) {
    let at = f.place(name);
    f.push(Diag::new(format!("the config needs {name}")).at(&at).hint(hint));
}

fn read_dataset(f: &mut Fields<'_>) -> Option<(Box<dyn DatasetSpec>, At)> {
    if !f.has("dataset") {
        f.allow("dataset");
        missing_section(f, "[dataset]", "for example: [dataset] with type = \"digits\"");
        return None;
    }
    let at = f.place("dataset");
    f.variant("dataset", &DATASETS).map(|d| (d, at))
}

fn read_inputs(f: &mut Fields<'_>) -> Vec<Input> {
    let Some(value) = f.raw("inputs") else { return vec![] };
    let mut found = vec![];
    let (inputs, plain) = inputs::read(value, &mut found);
    found.into_iter().for_each(|d| f.push(d));
    f.resolve("inputs", plain);
    inputs
}

fn read_network(f: &mut Fields<'_>, root: &Table, inputs: &[Input]) -> Option<Network> {
    let blocks = f.raw("blocks");
    let Some(layers) = f.raw("layers") else {
        missing_section(f, "[[layers]]", "one [[layers]] table for each layer, each with a `type`");
        return None;
    };
    let names = match inputs {
        [] => vec![INPUT.to_string()],
        inputs => inputs.iter().map(|input| input.name.clone()).collect(),
    };
    let outputs = heads::outputs(root.get("training"));
    let source = layers::Source { prefix: String::new(), layers, inputs: names, outputs: &outputs };
    let mut found = vec![];
    let (mut networks, Stored { layers, blocks }) = layers::read(&[source], blocks, &mut found);
    let complete = found.is_empty();
    found.into_iter().for_each(|d| f.push(d));
    blocks.into_iter().for_each(|blocks| f.resolve("blocks", blocks));
    layers.into_iter().for_each(|layers| f.resolve("layers", layers));
    networks.pop().filter(|_| complete)
}

/// What `[training]` says of learning from targets.
struct Learning {
    optimizer: Arc<OptimizerSpec>,
    heads: Vec<Head>,
    class_weight: Option<ClassWeight>,
    class_weight_at: At,
}

fn read_training(f: &mut Fields<'_>) -> Option<(Training, Option<Learning>)> {
    if !f.has("training") {
        f.allow("training");
        missing_section(f, "[training]", "it needs at least `optimizer` and `loss`");
        return None;
    }
    f.section("training", |t| {
        let epochs = t.key("epochs").or(1usize);
        let batch_size = t.key("batch_size").at_least(1).or(32usize);
        let shuffle = t.key("shuffle").or(true);
        let precision = t.key("precision").or(Precision::Float32);
        let precision_at = t.place("precision");
        let training = Training { epochs, batch_size, shuffle, precision, precision_at };
        (training, read_learning(t))
    })
}

fn read_learning(t: &mut Fields<'_>) -> Option<Learning> {
    let optimizer = read_optimizer(t);
    let heads = heads::read(t);
    let class_weight = read_class_weight(t);
    let class_weight_at = t.place("class_weight");
    let (optimizer, heads) = (optimizer?, heads?);
    if heads.len() > 1 && class_weight.is_some() {
        let hint =
            "a `sample_weight` column weighs samples for all outputs; `weight` of a loss weighs an output";
        t.error("class_weight", "needs a single loss", Some(hint.into()));
    }
    Some(Learning { optimizer, heads, class_weight, class_weight_at })
}

fn read_optimizer(t: &mut Fields<'_>) -> Option<Arc<OptimizerSpec>> {
    let optimizer = t.variant("optimizer", &OPTIMIZERS);
    if optimizer.is_none() && !t.has("optimizer") {
        t.error("optimizer", "is missing", Some("for example optimizer = \"adam\"".into()));
    }
    let steps: Option<u64> = t.key("gradient_accumulation_steps").at_least(2).optional();
    optimizer.map(|mut o| {
        if steps.is_some() && o.gradient_accumulation_steps.is_some() {
            t.error(
                "gradient_accumulation_steps",
                "is set here and in the optimizer",
                Some("set it once".into()),
            );
        }
        o.gradient_accumulation_steps = steps.or(o.gradient_accumulation_steps);
        Arc::from(o)
    })
}

fn read_class_weight(t: &mut Fields<'_>) -> Option<ClassWeight> {
    let value = t.raw("class_weight")?;
    match &value.data {
        Data::Str(word) if word == "balanced" => {
            t.resolve("class_weight", Plain::Str(word.clone()));
            Some(ClassWeight::Balanced)
        }
        Data::Table(table) => {
            // All are read, so that every wrong one is told.
            let read: Vec<Option<(String, f64)>> =
                table.entries.iter().map(|e| read_weight(t, &e.key, &e.value)).collect();
            let weights: Vec<(String, f64)> = read.into_iter().collect::<Option<_>>()?;
            let plain =
                weights.iter().map(|(class, weight)| (class.clone(), Plain::Float(*weight))).collect();
            t.resolve("class_weight", Plain::Table(plain));
            Some(ClassWeight::Given(weights))
        }
        _ => {
            let hint = Some("\"balanced\", or a table of class = weight".into());
            t.error(
                "class_weight",
                format!("expected \"balanced\" or a table, found {}", value.kind()),
                hint,
            );
            None
        }
    }
}

fn read_weight(t: &mut Fields<'_>, class: &str, value: &Value) -> Option<(String, f64)> {
    let weight = match value.data {
        Data::Int(i) => i as f64,
        Data::Float(x) => x,
        _ => f64::NAN,
    };
    if weight >= 0.0 && weight.is_finite() {
        return Some((class.to_string(), weight));
    }
    t.push(Diag::new(format!("the weight of class `{class}` must be a number of 0 or more")).at(&value.at));
    None
}

fn read_callbacks(f: &mut Fields<'_>, scene: &Scene) -> Option<Callbacks> {
    if f.has("callbacks") {
        f.section("callbacks", |c| Callbacks::read(c, scene))
    } else {
        f.allow("callbacks");
        let empty = Table::default();
        let at = f.place("callbacks");
        let mut none = vec![];
        let mut c = Fields::new(&empty, &at, "`callbacks`", &mut none);
        let callbacks = Callbacks::read(&mut c, scene);
        let plain = c.finish();
        f.resolve("callbacks", Plain::Table(plain));
        Some(callbacks)
    }
}
