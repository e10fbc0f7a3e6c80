//! Class targets: names in class order, and the class number of each row.

use crate::data::records::Header;
use crate::data::table::Columns;
use crate::data::table::columns::{Numbers, Texts};
use crate::data::table::layout::Used;
use crate::diag::{At, Diag};

/// The class names of a target: by number if all of them are numbers, else by text.
///
/// # Errors
/// Only one class; two texts for one number (`1` and `1.0`).
pub fn names(columns: &Columns, target: usize, used: &Used, header: &Header) -> Result<Vec<String>, Diag> {
    let names = columns.columns[target].texts().names.clone();
    in_order_checked(names, &used.name, &header.at(used.column))
}

/// Different names as classes of the column `target`, in order.
///
/// # Errors
/// Only one class; two texts for one number (`1` and `1.0`).
pub fn in_order_checked(names: Vec<String>, target: &str, at: &At) -> Result<Vec<String>, Diag> {
    let names = in_order(names);
    let value = |name: &String| name.parse::<f64>().ok();
    if let Some(pair) =
        names.windows(2).find(|pair| value(&pair[0]).is_some() && value(&pair[0]) == value(&pair[1]))
        && names.iter().all(|name| value(name).is_some())
    {
        let message = format!(
            "classes `{}` and `{}` of `{target}` are the same number written in two ways",
            pair[0], pair[1]
        );
        return Err(Diag::new(message).at(at).hint("write it in one way throughout the file"));
    }
    if names.len() < 2 {
        let message = format!("the target `{target}` has only one class: `{}`", names.concat());
        let diag = Diag::new(message).at(at);
        return Err(diag.hint("there is nothing to tell apart: look at the file or the target's name"));
    }
    Ok(names)
}

/// By number if all of them are numbers, else by text.
fn in_order(mut names: Vec<String>) -> Vec<String> {
    let values: Option<Vec<f64>> = names.iter().map(|n| n.parse().ok()).collect();
    let Some(values) = values else {
        names.sort();
        return names;
    };
    let mut pairs: Vec<(f64, String)> = values.into_iter().zip(names).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs.into_iter().map(|(_, name)| name).collect()
}

/// The class number of each row.
///
/// # Panics
/// If a text is no class: reading the cells has seen to that.
pub fn numbers(texts: &Texts, names: &[String]) -> Vec<u32> {
    let position = |text: &String| names.iter().position(|n| n == text).expect("reading checked the classes");
    let of_code: Vec<u32> = texts.names.iter().map(|text| position(text) as u32).collect();
    texts.codes.iter().map(|code| of_code[*code as usize]).collect()
}

/// More different values than this are hardly class numbers.
const FEW: usize = 20;

/// Numbers are never guessed to be classes; that they look like some is worth a note. `classification`: what
/// makes them classes.
pub fn may_be_classes(numbers: &Numbers, rows: usize, name: &str, classification: &str) -> Option<String> {
    let mut different: Vec<f64> = vec![];
    for row in 0..rows {
        let value = numbers.get(row);
        if value.fract() != 0.0 || value < 0.0 {
            return None;
        }
        if !different.contains(&value) {
            different.push(value);
        }
        if different.len() > FEW {
            return None;
        }
    }
    // Every row another number: a short table of quantities.
    (different.len() < rows).then(|| {
        format!(
            "target `{name}` holds {} different whole numbers and is taken as a number; \
             {classification} makes them classes",
            different.len()
        )
    })
}
