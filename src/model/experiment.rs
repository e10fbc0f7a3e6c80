//! The config of a run, read: every section, every mistake in one go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::callbacks::{Callbacks, Scene};
use crate::config::fields::Fields;
use crate::config::overrides;
use crate::config::tree::{self, Data, Table, Value};
use crate::config::write::{self, Plain};
use crate::data::{DATASETS, DatasetSpec};
use crate::diag::{At, Diag, Failure, Result, Source};
use crate::graph::Precision;
use crate::losses::{LOSSES, Loss};
use crate::metrics::{self, Metric};
use crate::model::initial_weights::{self, InitialWeights};
use crate::model::layers::{self, Network, Stored};
use crate::optim::{LearningRate, OPTIMIZERS, OptimizerSpec};

/// A whole config.
#[derive(Debug)]
pub struct Experiment {
    pub name: String,
    pub seed: u64,
    pub dataset: Box<dyn DatasetSpec>,
    pub dataset_at: At,
    pub network: Network,
    pub training: Training,
    pub callbacks: Callbacks,
    /// The folder that relative paths start from.
    pub config_dir: PathBuf,
    resolved: Vec<(String, Plain)>,
}

/// The section `[training]`.
#[derive(Debug)]
pub struct Training {
    pub epochs: usize,
    pub batch_size: usize,
    pub shuffle: bool,
    /// Of the training program; inference is always f32.
    pub precision: Precision,
    pub precision_at: At,
    pub optimizer: Arc<OptimizerSpec>,
    pub loss: Box<dyn Loss>,
    pub loss_at: At,
    pub metrics: Vec<Box<dyn Metric>>,
    /// Where each metric stands.
    pub metrics_at: Vec<At>,
    pub class_weight: Option<ClassWeight>,
    pub class_weight_at: At,
    /// Instead of drawn ones.
    pub initial_weights: Option<InitialWeights>,
}

impl Training {
    /// What is measured in every epoch, in the history's order, and whether higher is better.
    pub fn measured(&self, validation: bool) -> Vec<(String, bool)> {
        let metrics = self.metrics.iter().map(|m| (m.name().to_string(), m.higher_is_better()));
        let own: Vec<(String, bool)> = std::iter::once(("loss".to_string(), false)).chain(metrics).collect();
        let validated =
            own.iter().filter(|_| validation).map(|(name, higher)| (format!("val_{name}"), *higher));
        [own.clone(), validated.collect()].concat()
    }
}

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
    let dataset = read_dataset(&mut f);
    let network = read_network(&mut f);
    let training = read_training(&mut f);
    let validation = dataset.as_ref().is_none_or(|(d, _)| d.has_validation());
    let scene = training.as_ref().map(|t| Scene {
        columns: t.measured(validation),
        scheduled: matches!(t.optimizer.learning_rate, LearningRate::Scheduled(_)),
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
        network: network?,
        training: training?,
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

fn read_network(f: &mut Fields<'_>) -> Option<Network> {
    let blocks = f.raw("blocks");
    let Some(value) = f.raw("layers") else {
        missing_section(f, "[[layers]]", "one [[layers]] table for each layer, each with a `type`");
        return None;
    };
    let mut found = vec![];
    let (network, Stored { layers, blocks }) = layers::read(value, blocks, &mut found);
    let complete = found.is_empty();
    found.into_iter().for_each(|d| f.push(d));
    blocks.into_iter().for_each(|blocks| f.resolve("blocks", blocks));
    layers.into_iter().for_each(|layers| f.resolve("layers", layers));
    complete.then_some(network)
}

fn read_training(f: &mut Fields<'_>) -> Option<Training> {
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
        let optimizer = t.variant("optimizer", &OPTIMIZERS);
        if optimizer.is_none() && !t.has("optimizer") {
            t.error("optimizer", "is missing", Some("for example optimizer = \"adam\"".into()));
        }
        let steps: Option<u64> = t.key("gradient_accumulation_steps").at_least(2).optional();
        let optimizer = optimizer.map(|mut o| {
            if steps.is_some() && o.gradient_accumulation_steps.is_some() {
                t.error(
                    "gradient_accumulation_steps",
                    "is set here and in the optimizer",
                    Some("set it once".into()),
                );
            }
            o.gradient_accumulation_steps = steps.or(o.gradient_accumulation_steps);
            Arc::from(o)
        });
        let loss = t.variant("loss", &LOSSES);
        if loss.is_none() && !t.has("loss") {
            t.error("loss", "is missing", Some("for example loss = \"mse\"".into()));
        }
        let (metrics, metrics_at) = read_metrics(t);
        let class_weight = read_class_weight(t);
        let (loss_at, class_weight_at) = (t.place("loss"), t.place("class_weight"));
        let initial_weights = initial_weights::read(t);
        Some(Training {
            epochs,
            batch_size,
            shuffle,
            precision,
            precision_at,
            optimizer: optimizer?,
            loss: loss?,
            loss_at,
            metrics: metrics?,
            metrics_at,
            class_weight,
            class_weight_at,
            initial_weights,
        })
    })?
}

fn read_metrics(t: &mut Fields<'_>) -> (Option<Vec<Box<dyn Metric>>>, Vec<At>) {
    let Some(value) = t.raw("metrics") else {
        t.resolve("metrics", Plain::Array(vec![]));
        return (Some(vec![]), vec![]);
    };
    let mut found = vec![];
    let read = metrics::read_list(value, &mut found);
    found.into_iter().for_each(|d| t.push(d));
    let places = value.as_array().unwrap_or_default().iter().map(|v| v.at.clone()).collect();
    let metrics = read.map(|(metrics, plain)| {
        t.resolve("metrics", plain);
        metrics
    });
    (metrics, places)
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
