//! `[inputs.NAME]`: columns of the dataset as inputs of the network.
//!
//! ```text
//! [inputs.image]
//! columns = "pixel_*"      # names, `*` stands for any letters; or a list of them
//! shape = [8, 8, 1]
//!
//! [inputs.rest]            # what no other input takes
//! ```
//! A sample stays one row of numbers; [`Cut`] says which of them an input is.

use std::ops::Range;

use crate::config::fields::Fields;
use crate::config::names::INPUT;
use crate::config::tree::{Data, Entry, Value};
use crate::config::write::Plain;
use crate::data::preprocessing::{Column, InputEncoding};
use crate::diag::{At, Diag};
use crate::shape::Shape;

/// One `[inputs.NAME]`.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub at: At,
    /// Names, or patterns with `*`; none: what no other input takes.
    columns: Option<Vec<(String, At)>>,
    shape: Option<(Vec<usize>, At)>,
}

/// Which numbers of a row an input is, and their shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub ranges: Vec<Range<usize>>,
    pub shape: Shape,
}

/// Reads `[inputs]`; mistakes are noted. Gives the inputs, and the section as it is stored.
pub fn read(value: &Value, diags: &mut Vec<Diag>) -> (Vec<Input>, Plain) {
    let Data::Table(table) = &value.data else {
        let message = format!("`inputs` must hold [inputs.NAME] tables, found {}", value.kind());
        diags.push(Diag::new(message).at(&value.at).hint("[inputs.image] is the input `image`"));
        return (vec![], Plain::Table(vec![]));
    };
    let read: Vec<(Input, Plain)> = table.entries.iter().map(|entry| read_one(entry, diags)).collect();
    let mut rest = read.iter().filter(|(input, _)| input.columns.is_none());
    if let (Some((first, _)), Some((second, _))) = (rest.next(), rest.next()) {
        let message = format!("`{}` and `{}` both take the columns that are left", first.name, second.name);
        diags.push(
            Diag::new(message).at(&second.at).also(&first.at, "the first").hint("give one of them `columns`"),
        );
    }
    let plain = read.iter().map(|(input, plain)| (input.name.clone(), plain.clone())).collect();
    (read.into_iter().map(|(input, _)| input).collect(), Plain::Table(plain))
}

fn read_one(entry: &Entry, diags: &mut Vec<Diag>) -> (Input, Plain) {
    let (name, at) = (entry.key.clone(), entry.key_at.clone());
    if name.is_empty() || name == INPUT || name.contains(['/', '$']) {
        let hint = format!("a name is not empty and not `{INPUT}`, and has no `/` and no `$`");
        diags.push(Diag::new(format!("`{name}` cannot name an input")).at(&at).hint(hint));
    }
    let Data::Table(table) = &entry.value.data else {
        let message = format!("an input is a table, found {}", entry.value.kind());
        diags.push(Diag::new(message).at(&entry.value.at).hint("columns = \"pixel_*\""));
        return (Input { name, at, columns: None, shape: None }, Plain::Table(vec![]));
    };
    let mut f = Fields::new(table, &at, format!("[inputs.{name}]"), diags);
    let columns = read_columns(&mut f);
    let shape = f.key("shape").at_least(1).optional::<Vec<usize>>().map(|shape| (shape, f.place("shape")));
    (Input { name, at, columns, shape }, Plain::Table(f.finish()))
}

fn read_columns(f: &mut Fields<'_>) -> Option<Vec<(String, At)>> {
    let value = f.raw("columns")?;
    f.resolve("columns", value.into());
    let items = value.as_array().unwrap_or(std::slice::from_ref(value));
    let name = |v: &Value| Some((v.as_str()?.to_string(), v.at.clone()));
    let names: Option<Vec<(String, At)>> = items.iter().map(name).collect();
    if names.as_ref().is_none_or(Vec::is_empty) {
        let hint = "columns = \"pixel_*\", or a list of names".to_string();
        f.error("columns", format!("expected names of columns, found {}", value.kind()), Some(hint));
    }
    names
}

/// The inputs' cuts of a row of this encoding; all mistakes are told.
pub fn cut(inputs: &[Input], encoding: &InputEncoding) -> Result<Vec<Cut>, Vec<Diag>> {
    let InputEncoding::Columns { columns, .. } = encoding else {
        let message = "[inputs] cuts the columns of a table, and the dataset has none".to_string();
        return Err(vec![
            Diag::new(message).at(&inputs[0].at).hint("its one input is `input`: leave [inputs] out"),
        ]);
    };
    let mut diags = vec![];
    let mut owners: Vec<Option<usize>> = vec![None; columns.len()];
    for (number, input) in inputs.iter().enumerate() {
        for (pattern, at) in input.columns.iter().flatten() {
            let mut found = false;
            for (owner, _) in owners.iter_mut().zip(columns).filter(|(_, c)| matches(pattern, &c.name)) {
                found = true;
                if let Some(first) = owner.replace(number).filter(|first| *first != number) {
                    let message = format!(
                        "the inputs `{}` and `{}` take the same column",
                        inputs[first].name, input.name
                    );
                    diags.push(Diag::new(message).at(at));
                    break;
                }
            }
            if !found {
                let known: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                let diag = Diag::new(format!("the dataset has no feature column `{pattern}`")).at(at);
                diags.push(diag.maybe_hint(crate::diag::suggest(pattern, &known)));
            }
        }
    }
    if let Some(rest) = inputs.iter().position(|input| input.columns.is_none()) {
        owners.iter_mut().for_each(|owner| *owner = owner.or(Some(rest)));
    }
    if let Some(column) = owners.iter().position(Option::is_none).filter(|_| diags.is_empty()) {
        let message = format!("no input takes the column `{}`", columns[column].name);
        let hint = "an input without `columns` takes what is left; the dataset's `drop` leaves columns out";
        diags.push(Diag::new(message).at(&inputs[0].at).hint(hint));
    }
    if !diags.is_empty() {
        return Err(diags);
    }
    let cuts: Vec<Result<Cut, Diag>> =
        inputs.iter().enumerate().map(|(i, input)| input.cut(&ranges(&owners, columns, i))).collect();
    let (cuts, diags): (Vec<_>, Vec<_>) = cuts.into_iter().partition(Result::is_ok);
    match diags.is_empty() {
        true => Ok(cuts.into_iter().flatten().collect()),
        false => Err(diags.into_iter().filter_map(Result::err).collect()),
    }
}

impl Input {
    fn cut(&self, ranges: &[Range<usize>]) -> Result<Cut, Diag> {
        let width: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        if width == 0 {
            return Err(Diag::new(format!("no columns are left for the input `{}`", self.name)).at(&self.at));
        }
        let shape = match &self.shape {
            None => Shape::batch([width]),
            Some((dims, _)) if Shape::batch(dims.clone()).size() == width => Shape::batch(dims.clone()),
            Some((dims, at)) => {
                let size = Shape::batch(dims.clone()).size();
                let message =
                    format!("the input `{}` has {width} numbers, its shape {dims:?} {size}", self.name);
                return Err(Diag::new(message)
                    .at(at)
                    .hint("text columns are one number for each category, and one more"));
            }
        };
        Ok(Cut { ranges: ranges.to_vec(), shape })
    }
}

/// Where the columns of one owner lie in a row, neighbours put together.
fn ranges(owners: &[Option<usize>], columns: &[Column], owner: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = vec![];
    let mut start = 0;
    for (column, of) in columns.iter().zip(owners) {
        let range = start..start + column.encoding.width();
        start = range.end;
        if *of != Some(owner) {
            continue;
        }
        match ranges.last_mut().filter(|last| last.end == range.start) {
            Some(last) => last.end = range.end,
            None => ranges.push(range),
        }
    }
    ranges
}

/// Whether a name is one that a pattern stands for: `*` stands for any letters, also none.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            let places = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
            places.into_iter().any(|i| matches(after, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("pixel_*", "pixel_0_7", true),
            ("pixel_*", "pixel_", true),
            ("pixel_*", "pixels", false),
            ("*_x", "a_x_x", true),
            ("*_x", "a_x_y", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ac", false),
            ("*", "", true),
            ("é*", "éa", true),
            ("size", "size", true),
            ("size", "sizes", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
