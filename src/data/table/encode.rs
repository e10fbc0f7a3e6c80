//! From columns to rows of numbers, with what was fitted.

use crate::data::Rows;
use crate::data::preprocessing::{ColumnEncoding, ValueColumn, scaled};
use crate::data::table::columns::{Column, MISSING, Texts};
use crate::data::table::read::Columns;

/// Input rows, and how many cells no category was known for.
pub struct Encoded {
    pub data: Vec<f32>,
    pub width: usize,
    unseen: usize,
}

impl Encoded {
    pub fn unseen_note(&self, part: &str) -> Option<String> {
        let unseen = self.unseen;
        (unseen > 0).then(|| {
            format!("{part}: {unseen} cells hold categories that no training row has (their own slot)")
        })
    }
}

/// The features, which are the first columns.
pub fn inputs(columns: &Columns, fitted: &[ColumnEncoding]) -> Encoded {
    let width = fitted.iter().map(ColumnEncoding::width).sum();
    let mut encoded = Encoded { data: vec![0.0; columns.rows * width], width, unseen: 0 };
    let mut offset = 0;
    for (column, encoding) in columns.columns.iter().zip(fitted) {
        match (column, encoding) {
            (Column::Numbers(numbers), ColumnEncoding::Number { offset: o, scale, fill }) => {
                for row in 0..columns.rows {
                    let value = numbers.get(row);
                    let value = if value.is_nan() { fill.unwrap_or(f64::NAN) } else { value };
                    encoded.data[row * width + offset] = scaled(value, *o, *scale);
                }
            }
            (Column::Texts(texts), ColumnEncoding::Category { categories, fill }) => {
                let slots = slots(texts, categories);
                let fill = fill.as_ref().and_then(|f| categories.binary_search(f).ok());
                for (row, code) in texts.codes.iter().enumerate() {
                    let slot = match *code {
                        MISSING => fill.unwrap_or(categories.len()),
                        code => slots[code as usize],
                    };
                    encoded.unseen += usize::from(slot == categories.len());
                    encoded.data[row * width + offset + slot] = 1.0;
                }
            }
            _ => panic!("a column was fitted as another kind than it was read"),
        }
        offset += encoding.width();
    }
    encoded
}

/// The slot of each text: the last one for texts that training never saw.
fn slots(texts: &Texts, categories: &[String]) -> Vec<usize> {
    texts.names.iter().map(|name| categories.binary_search(name).unwrap_or(categories.len())).collect()
}

/// Regression targets: `indices` are positions in `columns`.
pub fn values(columns: &Columns, indices: &[usize], fitted: &[ValueColumn]) -> Rows {
    let width = indices.len();
    let mut data = vec![0.0; columns.rows * width];
    for (slot, (index, fitted)) in indices.iter().zip(fitted).enumerate() {
        let numbers = columns.columns[*index].numbers();
        for row in 0..columns.rows {
            data[row * width + slot] = scaled(numbers.get(row), fitted.offset, fitted.scale);
        }
    }
    Rows::F32 { data, width }
}
