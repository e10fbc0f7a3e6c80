//! The words and column names in the keys of tables.

use crate::config::fields::Fields;
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::diag::At;

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
