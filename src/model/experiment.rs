//! The config of a run, read: every section, every mistake in one go.

use std::path::{Path, PathBuf};

use crate::callbacks::{Callbacks, Scene};
use crate::config::fields::Fields;
use crate::config::overrides;
use crate::config::tree::{self, Data, Table};
use crate::config::write::{self, Plain};
use crate::data::{DATASETS, DatasetSpec};
use crate::diag::{At, Diag, Failure, Result, Source};
use crate::graph::Precision;
use crate::model::initial_weights::{self, InitialWeights};
use crate::model::inputs::{self, Input};
use crate::model::read_task::{self, Word};
use crate::model::task::Task;
use crate::optim::{LearningRate, OptimizerSpec};

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
    /// Instead of drawn ones.
    pub initial_weights: Option<InitialWeights>,
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
    let word = read_word(&mut f, root);
    let dataset = read_dataset(&mut f);
    if let Some((spec, _)) = &dataset {
        refuse_targets(&mut f, root, word, spec.has_validation());
    }
    let inputs = read_inputs(&mut f);
    let (training, task) = read_task::read(&mut f, word, root, &inputs);
    let validation = dataset.as_ref().is_none_or(|(d, _)| d.has_validation());
    let scene = task.as_ref().map(|task| {
        let scheduled = |o: &OptimizerSpec| matches!(o.learning_rate, LearningRate::Scheduled(_));
        Scene {
            columns: task.measured(validation),
            scheduled: task.optimizers().iter().any(|(_, optimizer)| scheduled(optimizer)),
            one_optimizer: task.optimizers().len() == 1,
        }
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

fn read_word(f: &mut Fields<'_>, root: &Table) -> Word {
    // Words that are the dataset's: what its targets are.
    let of_data = ["segment", "classification", "regression"];
    match root.get("task").and_then(|task| task.as_str()).filter(|word| of_data.contains(word)) {
        None => f.key("task").or(Word::Supervised),
        Some(word) => {
            f.allow("task");
            let hint = format!("write it below [dataset]: task = \"{word}\"");
            f.error("task", format!("`{word}` says what the dataset's targets are"), Some(hint));
            Word::Supervised
        }
    }
}

pub(super) fn missing_section(f: &mut Fields<'_>, name: &str, hint: &str) {
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

/// Keys of the dataset that say something of targets, or of parts to judge, for a task that has none.
fn refuse_targets(f: &mut Fields<'_>, root: &Table, word: Word, has_validation: bool) {
    let dataset = root.get("dataset").and_then(|dataset| dataset.as_table());
    let given = |key: &str| dataset.and_then(|table| table.get(key));
    let (what, instead) = match word {
        Word::Supervised => return,
        Word::Autoencode => ("an autoencoder's target is its input", "task = \"autoencode\""),
        Word::Gan => ("a GAN learns from inputs alone", "task = \"gan\""),
    };
    let mut refuse = |key: &str, why: &str| {
        if let Some(value) = given(key) {
            let diag = Diag::new(format!("`{key}` in `dataset`: {why}")).at(&value.at);
            f.push(diag.hint(format!("leave `{key}` out, or {instead}")));
        }
    };
    if given("label_mode").and_then(|value| value.as_str()) == Some("categorical") {
        refuse("label_mode", what);
    }
    if given("horizon").is_some_and(|value| !matches!(value.data, Data::Int(1))) {
        refuse("horizon", what);
    }
    if word == Word::Gan && has_validation {
        refuse("validation", "a GAN is not judged on samples that are held out: it would never see them");
    }
}

fn read_inputs(f: &mut Fields<'_>) -> Vec<Input> {
    let Some(value) = f.raw("inputs") else { return vec![] };
    let mut found = vec![];
    let (inputs, plain) = inputs::read(value, &mut found);
    found.into_iter().for_each(|d| f.push(d));
    f.resolve("inputs", plain);
    inputs
}

/// `[training]`; `rest` reads the keys that not all tasks have.
pub(super) fn read_training<R>(
    f: &mut Fields<'_>,
    rest: impl FnOnce(&mut Fields<'_>) -> R,
) -> Option<(Training, R)> {
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
        let rest = rest(t);
        let initial_weights = initial_weights::read(t);
        (Training { epochs, batch_size, shuffle, precision, precision_at, initial_weights }, rest)
    })
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
