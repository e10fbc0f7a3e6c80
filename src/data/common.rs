//! Keys that all datasets have, and the parts that they lead to.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::data::split::{Offers, Validation};
use crate::data::{Part, Rows, Table};
use crate::diag::At;

/// `validation` and `limit`.
#[derive(Clone, Debug)]
pub struct Common {
    pub validation: Validation,
    /// Only this many training samples, the first: for quick tries.
    pub limit: Option<usize>,
    /// Where the dataset is named, for mistakes that concern all of it.
    pub at: At,
}

impl Common {
    pub fn read(f: &mut Fields<'_>, offers: Offers) -> Common {
        let validation = Validation::read(f, offers);
        let limit = f.key("limit").at_least(1).optional();
        Common { validation, limit, at: f.place("type") }
    }

    pub fn has_validation(&self) -> bool {
        !matches!(self.validation, Validation::None)
    }

    pub fn limited(&self, samples: usize) -> usize {
        self.limit.map_or(samples, |limit| limit.min(samples))
    }

    /// The validation and test parts: what was split off, or the test part twice.
    pub fn held_out(&self, split_off: Option<Part>, test: Option<Part>) -> (Option<Part>, Option<Part>) {
        match self.validation {
            Validation::Test => (test.clone(), test),
            _ => (split_off, test),
        }
    }
}

/// `label_mode`: what a class becomes as a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelMode {
    /// Its number, for `sparse_categorical_crossentropy`.
    Int,
    /// A one-hot row as Keras's `utils.to_categorical` makes it, for `categorical_crossentropy`.
    Categorical,
}

crate::words!(LabelMode, Int = "int", Categorical = "categorical");

impl LabelMode {
    pub fn targets(self, classes: impl ExactSizeIterator<Item = u32>, count: usize) -> Rows {
        match self {
            LabelMode::Int => Rows::F32 { data: classes.map(|c| c as f32).collect(), width: 1 },
            LabelMode::Categorical => {
                let mut data = vec![0.0; classes.len() * count];
                classes.enumerate().for_each(|(row, class)| data[row * count + class as usize] = 1.0);
                Rows::F32 { data, width: count }
            }
        }
    }
}

/// Each row of these one after the other; all have as many.
pub fn side_by_side(parts: &[Rows]) -> Rows {
    let width = parts.iter().map(Rows::width).sum();
    let mut data = vec![0.0; parts[0].len() * width];
    for (row, out) in data.chunks_exact_mut(width).enumerate() {
        let mut rest = out;
        for part in parts {
            let (numbers, behind) = rest.split_at_mut(part.width());
            part.copy_row(row, numbers);
            rest = behind;
        }
    }
    Rows::F32 { data, width }
}

impl Part {
    /// Every row of a table.
    pub fn whole(table: Table) -> Part {
        let rows = (0..table.inputs.len() as u32).collect();
        Part { table: Arc::new(table), rows }
    }
}

/// "training: 120 samples (setosa 40, versicolor 40, virginica 40)".
pub fn class_counts(part: &str, classes: impl Iterator<Item = u32>, names: &[String]) -> String {
    let mut counts = vec![0usize; names.len()];
    classes.for_each(|class| counts[class as usize] += 1);
    let total: usize = counts.iter().sum();
    let each: Vec<String> = names.iter().zip(&counts).map(|(name, n)| format!("{name} {n}")).collect();
    // With very many classes the list says nothing: then only the ones without samples matter.
    let listed = match each.len() {
        0..=20 => each.join(", "),
        n => format!("{n} classes, {} of them without samples", counts.iter().filter(|c| **c == 0).count()),
    };
    format!("{part}: {total} samples ({listed})")
}
