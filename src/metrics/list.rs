//! The list of metrics in a config.

use super::{METRICS, Metric};
use crate::config::fields::Fields;
use crate::config::read::Wrong;
use crate::config::tree::{Data, Entry, Table, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag};

/// Columns that the history has of itself.
const TAKEN: [&str; 5] = ["epoch", "loss", "learning_rate", "seconds", "samples_per_second"];

/// The key `name` that every metric has: its column in the history.
pub(super) fn column(f: &mut Fields<'_>, default: &str) -> String {
    let Some(name) = f.key("name").optional::<String>() else { return default.to_string() };
    let plain = |c: char| c.is_alphanumeric() || "_-.@".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        f.error("name", format!("`{name}` cannot name a column"), Some("letters, digits and `_-.@`".into()));
    } else if TAKEN.contains(&name.as_str()) || name.starts_with("val_") {
        f.error("name", format!("`{name}` is a column that the history has anyway"), None);
    }
    name
}

/// Reads `metrics = [...]`, words or tables with `type`.
///
/// As in Keras, a metric that is asked for by another of its names has that name in the history:
/// `metrics = ["acc"]` gives the columns `acc` and `val_acc`. Mistakes are noted and give `None`;
/// so do two metrics of one name.
pub fn read_list(value: &Value, diags: &mut Vec<Diag>) -> Option<(Vec<Box<dyn Metric>>, Plain)> {
    let Data::Array(items) = &value.data else {
        diags.push(Diag::new(Wrong::expected("an array of metrics", value).message).at(&value.at));
        return None;
    };
    let before = diags.len();
    let (mut metrics, mut plains): (Vec<Box<dyn Metric>>, _) = (vec![], vec![]);
    let mut places: Vec<&At> = vec![];
    for item in items {
        let Some((metric, plain)) = METRICS.read(&with_name(item), diags) else { continue };
        if let Some(earlier) = metrics.iter().position(|m| m.name() == metric.name()) {
            diags.push(
                Diag::new(format!("two metrics are named `{}`", metric.name()))
                    .at(&item.at)
                    .also(places[earlier], "the first")
                    .hint("give one of them a `name` of its own"),
            );
        }
        metrics.push(metric);
        plains.push(plain);
        places.push(&item.at);
    }
    (diags.len() == before).then_some((metrics, Plain::Array(plains)))
}

/// `"mse"` as `{ type = "mse", name = "mse" }`.
fn with_name(item: &Value) -> Value {
    let Some(word) = item.as_str() else { return item.clone() };
    if METRICS.find(word).is_none_or(|entry| entry.name == word) {
        return item.clone();
    }
    let entry = |key: &str| Entry { key: key.into(), key_at: item.at.clone(), value: item.clone() };
    let table = Table { entries: vec![entry("type"), entry("name")] };
    Value { data: Data::Table(table), at: item.at.clone() }
}
