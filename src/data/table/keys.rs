//! The words and column names in the keys of tables.

use crate::config::fields::Fields;
use crate::config::read::Read;
use crate::config::tree::{Data, Entry, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag, suggest};

/// A column as the config names it: its header, or its number from 0.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub at: At,
}

impl Named {
    fn of(value: &Value) -> Option<Named> {
        let name = match &value.data {
            Data::Str(name) => name.trim().to_string(),
            Data::Int(number) if *number >= 0 => number.to_string(),
            _ => return None,
        };
        Some(Named { name, at: value.at.clone() })
    }
}

/// Reads one column name; a mistake is noted and gives `None`.
pub fn column_name(f: &mut Fields<'_>, key: &'static str) -> Option<Named> {
    let mut names = column_names(f, key, 1)?;
    if names.len() > 1 {
        f.error(key, format!("expected one column, found {}", names.len()), None);
        return None;
    }
    names.pop()
}

/// Reads one column or an array of them; `None` if the key is absent, or wrong, which is noted.
pub fn column_names(f: &mut Fields<'_>, key: &'static str, at_least: usize) -> Option<Vec<Named>> {
    let value = f.raw(key)?;
    let items = match &value.data {
        Data::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let names: Option<Vec<Named>> = items.iter().map(|item| Named::of(item)).collect();
    let Some(names) = names else {
        f.error(key, "expected column names, or numbers from 0 where header = false", None);
        return None;
    };
    if names.len() < at_least {
        f.error(key, "names no column", None);
        return None;
    }
    let mut plain: Vec<Plain> = names.iter().map(|n| Plain::Str(n.name.clone())).collect();
    let plain =
        if plain.len() == 1 && value.as_array().is_none() { plain.remove(0) } else { Plain::Array(plain) };
    f.resolve(key, plain);
    Some(names)
}

/// `normalize` and `normalize_target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// Mean 0, standard deviation 1 (divided by the number of values, as Keras's `Normalization`).
    Standard,
    /// Smallest value 0, largest 1.
    MinMax,
    None,
}

crate::words!(Normalize, Standard = "standard", MinMax = "minmax", None = "none");

/// `missing`: what to do with cells that hold one of `missing_values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Error,
    /// Of the training part; in a text column all three fill with its most frequent text.
    Mean,
    Median,
    MostFrequent,
    /// Leaves the row out, where the target is missing too.
    DropRow,
}

crate::words!(
    Missing,
    Error = "error",
    Mean = "mean",
    Median = "median",
    MostFrequent = "most_frequent",
    DropRow = "drop_row"
);

/// `task`: what a target means that could be both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Classification,
    Regression,
}

crate::words!(Task, Classification = "classification", Regression = "regression");

/// The key `task`.
#[derive(Clone, Debug)]
pub enum Tasks {
    /// Absent: what the cells of each target say.
    AsSeen,
    /// A word: of all targets.
    All(Task),
    /// A table: of the targets in it; of others what their cells say.
    Each(Vec<(String, Task)>),
}

impl Tasks {
    pub fn read(f: &mut Fields<'_>, targets: &[Named]) -> Tasks {
        let Some(value) = f.raw("task") else { return Tasks::AsSeen };
        let Data::Table(table) = &value.data else {
            return f.key("task").optional().map_or(Tasks::AsSeen, Tasks::All);
        };
        let known: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let each = table.entries.iter().filter_map(|entry| task_of_target(f, entry, &known)).collect();
        f.resolve("task", value.into());
        Tasks::Each(each)
    }

    /// What is said of a target.
    pub fn of(&self, target: &str) -> Option<Task> {
        match self {
            Tasks::AsSeen => None,
            Tasks::All(task) => Some(*task),
            Tasks::Each(each) => each.iter().find(|(name, _)| name == target).map(|(_, task)| *task),
        }
    }
}

fn task_of_target(f: &mut Fields<'_>, entry: &Entry, known: &[&str]) -> Option<(String, Task)> {
    let name = entry.key.trim();
    if !known.contains(&name) {
        let diag = Diag::new(format!("`task` speaks of `{name}`, which is no target")).at(&entry.key_at);
        f.push(diag.maybe_hint(suggest(name, known)));
        return None;
    }
    match Task::read(&entry.value) {
        Ok(task) => Some((name.to_string(), task)),
        Err(wrong) => {
            let diag = Diag::new(format!("`task` of `{name}`: {}", wrong.message)).at(&entry.value.at);
            f.push(diag.maybe_hint(wrong.hint));
            None
        }
    }
}
