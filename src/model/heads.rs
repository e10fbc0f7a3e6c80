//! `[training] loss` and `metrics`: what the network's outputs are judged by.
//!
//! ```text
//! loss = "mse"                       # one output: the last layer
//! metrics = ["mae"]
//!
//! [[training.loss]]                  # several: one entry each
//! output = "digit"                   # a layer's name
//! type = "sparse_categorical_crossentropy"
//! weight = 0.5
//! metrics = ["accuracy"]
//! ```

use crate::config::fields::Fields;
use crate::config::read::Wrong;
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag};
use crate::losses::{LOSSES, Loss};
use crate::metrics::{self, Metric};
use crate::target::{OutputKind, Scores, TargetKind};

/// An output of the network with its loss and metrics.
#[derive(Debug)]
pub struct Head {
    /// Begins the names of its columns in the history; none for the only head.
    pub name: Option<String>,
    /// The layer that is judged; none: the last one.
    pub output: Option<Named>,
    /// Which of the dataset's targets it is judged by; none: the only one, or the one of the output's name.
    pub target: Option<Named>,
    /// What its loss counts in the sum.
    pub weight: f64,
    pub loss: Box<dyn Loss>,
    pub loss_at: At,
    pub metrics: Vec<Box<dyn Metric>>,
    /// Where each metric stands.
    pub metrics_at: Vec<At>,
}

/// A name, and where it is written.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub at: At,
}

impl Head {
    /// Its metrics' columns in the history, and whether higher is better.
    pub fn metric_columns(&self) -> impl Iterator<Item = (String, bool)> + '_ {
        self.metrics.iter().map(|m| (prefixed(self.name.as_deref(), m.name()), m.higher_is_better()))
    }
}

/// A column of the history that belongs to a head.
fn prefixed(head: Option<&str>, column: &str) -> String {
    head.map_or(column.to_string(), |head| format!("{head}_{column}"))
}

/// Reads `loss` and `metrics` of a `[training]`; mistakes are noted.
pub fn read(t: &mut Fields<'_>) -> Option<Vec<Head>> {
    match t.raw("loss") {
        None => {
            t.error("loss", "is missing", Some("for example loss = \"mse\"".into()));
            read_metrics(t);
            None
        }
        Some(Value { data: Data::Array(items), .. }) => read_several(t, items),
        Some(value) => {
            let loss_at = value.at.clone();
            let loss = read_loss(t, value, |_| ());
            let metrics = read_metrics(t);
            let (loss, (), plain) = loss?;
            t.resolve("loss", plain);
            let Metrics { metrics, places: metrics_at } = metrics?;
            let head = Head {
                name: None,
                output: None,
                target: None,
                weight: 1.0,
                loss,
                loss_at,
                metrics,
                metrics_at,
            };
            Some(vec![head])
        }
    }
}

/// The layers that `[[training.loss]]` names, before anything else is read: they need no reader.
pub fn outputs(training: Option<&Value>) -> Vec<String> {
    let entries = training.and_then(|t| t.as_table()?.get("loss")?.as_array()).unwrap_or_default();
    let output = |entry: &Value| Some(entry.as_table()?.get("output")?.as_str()?.to_string());
    entries.iter().filter_map(output).collect()
}

fn read_several(t: &mut Fields<'_>, items: &[Value]) -> Option<Vec<Head>> {
    if let Some(value) = t.raw("metrics") {
        let message = "`metrics` in `training`: with [[training.loss]] each entry has its own";
        t.push(Diag::new(message).at(&value.at).hint("write them below the entry's `type`"));
    }
    if items.is_empty() {
        t.error("loss", "is empty", Some("for example loss = \"mse\"".into()));
    }
    let read: Vec<Option<(Head, Plain)>> =
        items.iter().map(|item| read_entry(t, item, items.len())).collect();
    let (heads, plains): (Vec<Head>, Vec<Plain>) =
        read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    t.resolve("loss", Plain::Array(plains));
    let clash = |(i, head): (usize, &Head)| {
        let first = heads[..i].iter().find(|h| h.name == head.name)?;
        let name = head.name.as_deref().unwrap_or_default();
        let diag = Diag::new(format!("two losses are named `{name}`")).at(&head.loss_at);
        Some(
            diag.also(&first.loss_at, "the first")
                .hint("give one a `name`: it begins its columns in the history"),
        )
    };
    let clashes: Vec<Diag> = heads.iter().enumerate().filter_map(clash).collect();
    clashes.into_iter().for_each(|diag| t.push(diag));
    (!heads.is_empty()).then_some(heads)
}

fn read_entry(t: &mut Fields<'_>, item: &Value, count: usize) -> Option<(Head, Plain)> {
    let loss_at = item.as_table().and_then(|table| table.get("type")).unwrap_or(item).at.clone();
    let (loss, keys, plain) = read_loss(t, item, |f| {
        let name: Option<String> = f.key("name").optional();
        let named = |f: &mut Fields<'_>, key| {
            let name = f.key(key).optional::<String>()?;
            Some(Named { name, at: f.place(key) })
        };
        let (output, target) = (named(f, "output"), named(f, "target"));
        if count > 1 && output.is_none() {
            f.error("output", "is missing", Some("it names the layer that this loss judges".into()));
        }
        let name = name.or_else(|| output.as_ref().filter(|_| count > 1).map(|o| o.name.clone()));
        (name, output, target, f.key("weight").at_least(0).or(1.0), read_metrics(f))
    })?;
    let (name, output, target, weight, metrics) = keys;
    let Metrics { metrics, places: metrics_at } = metrics?;
    Some((Head { name, output, target, weight, loss, loss_at, metrics, metrics_at }, plain))
}

fn read_loss<R>(
    t: &mut Fields<'_>,
    value: &Value,
    others: impl FnOnce(&mut Fields<'_>) -> R,
) -> Option<(Box<dyn Loss>, R, Plain)> {
    let mut found = vec![];
    let read = LOSSES.read_with(value, &mut found, others);
    found.into_iter().for_each(|diag| t.push(diag));
    read
}

struct Metrics {
    metrics: Vec<Box<dyn Metric>>,
    places: Vec<At>,
}

fn read_metrics(t: &mut Fields<'_>) -> Option<Metrics> {
    let Some(value) = t.raw("metrics") else {
        t.resolve("metrics", Plain::Array(vec![]));
        return Some(Metrics { metrics: vec![], places: vec![] });
    };
    let mut found = vec![];
    let read = metrics::read_list(value, &mut found);
    found.into_iter().for_each(|d| t.push(d));
    let (metrics, plain) = read?;
    t.resolve("metrics", plain);
    let places = value.as_array().unwrap_or_default().iter().map(|v| v.at.clone()).collect();
    Some(Metrics { metrics, places })
}

/// Metrics that do not fit the output, its targets or the loss.
pub(super) fn wrong_metrics(head: &Head, output: &OutputKind) -> Vec<Diag> {
    let wrong = |metric: &dyn Metric| {
        let binary_logits = head.loss.scores() == Scores::Sigmoid;
        if let Err(wrong) = metric.bind(output) {
            return Some(wrong);
        }
        if metric.judges_labels() && output.targets == TargetKind::Values && !head.loss.takes_labels() {
            let message = "counts right and wrong classes, but the target is a number".into();
            let hint = "`mae`, `rmse` and `r2_score` judge numbers; for classes give the dataset task = \"classification\"";
            return Some(Wrong { message, hint: Some(hint.into()) });
        }
        let instead = metric.instead_for_logits().filter(|_| binary_logits)?;
        let message = "would take the logits that the loss is given for probabilities".into();
        Some(Wrong { message, hint: Some(format!("use {instead}")) })
    };
    let diag = |metric: &dyn Metric, at: &At, wrong: Wrong| {
        Diag::new(format!("metric `{}` {}", metric.name(), wrong.message)).at(at).maybe_hint(wrong.hint)
    };
    let places = head.metrics.iter().zip(&head.metrics_at);
    places.filter_map(|(m, at)| wrong(&**m).map(|w| diag(&**m, at, w))).collect()
}
