//! `nntrain eval`: loss, metrics and the report on a part of the data.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::data::Part;
use crate::diag::{Diag, Result};
use crate::metrics::report::Report;
use crate::model::lower::{EVAL, Output, Slots};
use crate::model::task::Task;
use crate::train::judge::Judge;
use crate::train::progress::figures;
use crate::train::setup::{Loaded, Options, convert};

/// Which samples are judged.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// The test part where there is one, else the validation part.
    Default,
    Test,
    Validation,
    Train,
    /// Another file or folder of the same kind.
    Data(PathBuf),
}

/// The outcome of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    /// `loss`, its parts if there are several, then each metric.
    pub names: Vec<String>,
    pub values: Vec<f64>,
    pub samples: usize,
    /// How long it took, without reading the data.
    pub seconds: f64,
    /// What was judged, in words.
    pub part: String,
    /// For the user: what may make the figures other than expected.
    pub note: Option<String>,
    /// Of each output: its name, if there are several.
    reports: Vec<(Option<String>, Report)>,
}

impl Evaluation {
    /// For people.
    pub fn text(&self) -> String {
        let report = |(name, report): &(Option<String>, Report)| match name {
            Some(name) => format!("Output `{name}`\n{}", report.text()),
            None => report.text(),
        };
        let reports: Vec<String> = self.reports.iter().map(report).collect();
        let start = format!("{} samples ({}):", self.samples, self.part);
        let each = self.names.iter().zip(&self.values);
        let each = each.map(|(name, value)| figures(std::slice::from_ref(name), &[*value]));
        format!("{}\n\n{}", in_lines(start, each), reports.join("\n"))
    }

    /// For machines: one object with `loss`, each metric by its name, and the report's keys, which stand
    /// under `outputs` and the output's name where there are several.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("part".into(), json!(self.part));
        object.insert("samples".into(), json!(self.samples));
        for (name, value) in self.names.iter().zip(&self.values) {
            object.insert(name.clone(), json!(value));
        }
        match &self.reports[..] {
            [(None, report)] => object.extend(report.json()),
            several => {
                let report = |(name, report): &(Option<String>, Report)| {
                    (name.clone().unwrap_or_default(), Value::Object(report.json()))
                };
                object.insert("outputs".into(), Value::Object(several.iter().map(report).collect()));
            }
        }
        Value::Object(object)
    }
}

/// What a terminal shows in a line.
const WIDTH: usize = 80;

/// Figures one after the other; lines that are full go on in the next, a little to the right.
fn in_lines(start: String, figures: impl Iterator<Item = String>) -> String {
    let (mut lines, mut gap) = (vec![start], " ");
    for figure in figures {
        let line = lines.last_mut().expect("it begins with one");
        if line.chars().count() + gap.len() + figure.chars().count() <= WIDTH {
            line.push_str(gap);
            line.push_str(&figure);
        } else {
            lines.push(format!("  {figure}"));
        }
        gap = "  ";
    }
    lines.join("\n")
}

/// Evaluates a run's best checkpoint, or a given one.
pub fn evaluate(path: &Path, chosen: &Chosen, options: &Options) -> Result<Evaluation> {
    let mut loaded = Loaded::open(path, options)?;
    if let Task::Gan(_) = loaded.experiment.task {
        let diag = Diag::new("a GAN has no targets that it could be evaluated against");
        return Err(diag.hint("nntrain generate RUN -n 64 -o grid.png shows what it makes").into());
    }
    let (part, name, note) = choose(&loaded, chosen, options)?;
    if part.is_empty() {
        return Err(Diag::new(format!("there are no samples in {name}")).into());
    }
    check_walk(&loaded, &part, &name)?;
    let batch = loaded.session.program(EVAL).batch;
    let Task::Supervised(task) = &loaded.experiment.task else { unreachable!("refused above") };
    let outputs = loaded.outputs.clone();
    let (mut judge, slots) = (Judge::new(task, &outputs, batch), Slots::new(outputs.len()));
    let names = task.measured().into_iter().map(|(name, _)| name).collect();
    let report = |output: &Output| (output.name.clone(), Report::new(&output.target, &output.kind));
    let mut reports: Vec<(Option<String>, Report)> = outputs.iter().map(report).collect();
    let mut probabilities = vec![];
    let order: Vec<u32> = (0..part.len() as u32).collect();
    let begun = Instant::now();
    judge.judge(&mut loaded.session, &part, &order, |session, n| {
        for (i, ((_, report), output)) in reports.iter_mut().zip(&outputs).enumerate() {
            convert(output, session.output(EVAL, slots.output(i), n), &mut probabilities);
            report.update(session.output(EVAL, slots.target(i), n), &probabilities);
        }
    });
    if let Some(diag) = part.failure() {
        return Err(diag.into());
    }
    let (values, seconds) = (judge.values(), begun.elapsed().as_secs_f64());
    Ok(Evaluation { names, values, samples: part.len(), seconds, part: name, note, reports })
}

/// A stateful network is judged on samples that follow one another.
fn check_walk(loaded: &Loaded, part: &Part, name: &str) -> Result<()> {
    match loaded.experiment.task.reader().stateful() {
        Some(node) if !part.is_walk() => {
            let message = format!(
                "the sequences of the {name} part overlap or leave gaps, but the state of `{}` goes on from each to the next",
                node.name
            );
            let hint = "validation and test parts of a text are cut so that they follow one another; so is a file with --data";
            Err(Diag::new(message).hint(hint).into())
        }
        _ => Ok(()),
    }
}

/// The samples, their name, and a note if they are not those of training's time.
fn choose(loaded: &Loaded, chosen: &Chosen, options: &Options) -> Result<(Part, String, Option<String>)> {
    let experiment = &loaded.experiment;
    if let Chosen::Data(path) = chosen {
        let part = experiment.dataset.load_other(path, &loaded.meta.preprocessing)?;
        return Ok((part, path.display().to_string(), None));
    }
    let dataset = experiment.dataset.load(&options.load_context(experiment, true))?;
    if dataset.preprocessing != loaded.meta.preprocessing {
        return Err(Diag::new("the dataset has changed since training: its fitted preprocessing differs")
            .hint("evaluate on a file of its own with --data FILE: it is read with the checkpoint's preprocessing")
            .into());
    }
    let missing = |name: &str| {
        Diag::new(format!("the dataset of this run has no {name} part"))
            .hint("choose another with --split, or a file with --data")
    };
    let changed = dataset.fingerprint != loaded.meta.dataset_fingerprint;
    let note = changed.then(|| "the dataset's files have changed since training".to_string());
    let (part, name) = match chosen {
        Chosen::Test => (dataset.test.ok_or_else(|| missing("test"))?, "test"),
        Chosen::Validation => (dataset.validation.ok_or_else(|| missing("validation"))?, "validation"),
        Chosen::Train => (dataset.train, "train"),
        _ => match (dataset.test, dataset.validation) {
            (Some(test), _) => (test, "test"),
            (None, Some(validation)) => (validation, "validation"),
            (None, None) => return Err(missing("test or validation").into()),
        },
    };
    Ok((part, name.to_string(), note))
}
