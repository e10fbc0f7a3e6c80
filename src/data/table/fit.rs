//! Fitting: what the training rows say about each column.
//!
//! Standard: offset = mean, scale = sqrt(sum((x - mean)^2) / n). Minmax: offset = smallest,
//! scale = largest - smallest. Sums are taken in row order in f64.

use crate::data::preprocessing::{ColumnEncoding, ValueColumn};
use crate::data::table::columns::{Column, MISSING, Numbers, Texts};
use crate::data::table::keys::{Missing, Normalize};

/// Why a column cannot be fitted.
#[derive(Debug, PartialEq)]
pub enum Unfit {
    /// No training row has a value.
    NoValues,
    /// Every training value is this one: there is nothing to scale by.
    Constant(f64),
    /// The values lie so far apart that no scale can be computed.
    Range(f64, f64),
}

/// Fits one feature on the training rows.
pub fn feature(
    column: &Column,
    rows: &[u32],
    normalize: Normalize,
    missing: Missing,
) -> Result<ColumnEncoding, Unfit> {
    match column {
        Column::Numbers(numbers) => {
            let values = present(numbers, rows);
            let (offset, scale) = spread(&values, normalize)?;
            Ok(ColumnEncoding::Number { offset, scale, fill: fill_number(values, missing) })
        }
        Column::Texts(texts) => category(texts, rows, missing),
    }
}

/// Fits one regression target on the training rows.
pub fn value(
    name: &str,
    numbers: &Numbers,
    rows: &[u32],
    normalize: Normalize,
) -> Result<ValueColumn, Unfit> {
    let (offset, scale) = spread(&present(numbers, rows), normalize)?;
    Ok(ValueColumn { name: name.to_string(), offset, scale })
}

fn present(numbers: &Numbers, rows: &[u32]) -> Vec<f64> {
    rows.iter().map(|row| numbers.get(*row as usize)).filter(|v| !v.is_nan()).collect()
}

fn spread(values: &[f64], normalize: Normalize) -> Result<(f64, f64), Unfit> {
    if values.is_empty() {
        return Err(Unfit::NoValues);
    }
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if normalize == Normalize::None {
        return Ok((0.0, 1.0));
    }
    if smallest == largest {
        return Err(Unfit::Constant(smallest));
    }
    let (offset, scale) = if normalize == Normalize::MinMax {
        (smallest, largest - smallest)
    } else {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        (mean, variance.sqrt())
    };
    match offset.is_finite() && scale.is_finite() {
        true => Ok((offset, scale)),
        false => Err(Unfit::Range(smallest, largest)),
    }
}

/// `None` where a missing cell is an error.
fn fill_number(mut values: Vec<f64>, missing: Missing) -> Option<f64> {
    match missing {
        Missing::Error | Missing::DropRow => None,
        Missing::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
        Missing::Median => {
            values.sort_by(f64::total_cmp);
            let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
            Some(f64::midpoint(low, high))
        }
        Missing::MostFrequent => {
            values.sort_by(f64::total_cmp);
            let runs = values.chunk_by(|a, b| a == b);
            // The smallest of several that are equally frequent.
            let longest = runs.reduce(|best, run| if run.len() > best.len() { run } else { best });
            longest.map(|run| run[0])
        }
    }
}

fn category(texts: &Texts, rows: &[u32], missing: Missing) -> Result<ColumnEncoding, Unfit> {
    let mut counts = vec![0usize; texts.names.len()];
    let codes = rows.iter().map(|row| texts.codes[*row as usize]);
    codes.filter(|code| *code != MISSING).for_each(|code| counts[code as usize] += 1);
    let mut seen: Vec<(&String, usize)> = texts.names.iter().zip(counts).filter(|(_, n)| *n > 0).collect();
    seen.sort();
    if seen.is_empty() {
        return Err(Unfit::NoValues);
    }
    let fills = !matches!(missing, Missing::Error | Missing::DropRow);
    // The first in order of several that are equally frequent.
    let frequent = seen.iter().rev().max_by_key(|(_, n)| *n).map(|(name, _)| (*name).clone());
    let fill = frequent.filter(|_| fills);
    let categories = seen.into_iter().map(|(name, _)| name.clone()).collect();
    Ok(ColumnEncoding::Category { categories, fill })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Column {
        let mut numbers = Numbers::default();
        values.iter().for_each(|v| numbers.push(*v));
        Column::Numbers(numbers)
    }

    fn fill(values: &[f64], missing: Missing) -> Option<f64> {
        let rows: Vec<u32> = (0..values.len() as u32).collect();
        match feature(&numbers(values), &rows, Normalize::None, missing).unwrap() {
            ColumnEncoding::Number { fill, .. } => fill,
            ColumnEncoding::Category { .. } => panic!("a column of numbers"),
        }
    }

    #[test]
    fn statistics_come_from_the_training_rows_alone() {
        let column = numbers(&[1.0, 3.0, 100.0, f64::NAN, 5.0]);
        let rows = [0, 1, 3, 4];
        let fitted = feature(&column, &rows, Normalize::Standard, Missing::Error).unwrap();
        let scale = (8.0f64 / 3.0).sqrt();
        assert_eq!(fitted, ColumnEncoding::Number { offset: 3.0, scale, fill: None });
        let fitted = feature(&column, &rows, Normalize::MinMax, Missing::Error).unwrap();
        assert_eq!(fitted, ColumnEncoding::Number { offset: 1.0, scale: 4.0, fill: None });
    }

    #[test]
    fn fills() {
        let values = [5.0, 1.0, 1.0, 5.0, f64::NAN, 4.0];
        assert_eq!(fill(&values, Missing::Mean), Some(3.2));
        assert_eq!(fill(&values, Missing::Median), Some(4.0));
        assert_eq!(fill(&values[..4], Missing::Median), Some(3.0));
        assert_eq!(fill(&values, Missing::MostFrequent), Some(1.0));
        assert_eq!(fill(&values, Missing::DropRow), None);
    }

    #[test]
    fn categories_are_sorted_and_seen_in_training() {
        let mut texts = Texts::default();
        ["c", "b", "a", "b", "z", "a"].iter().for_each(|t| texts.push(t));
        texts.push_missing();
        let column = Column::Texts(texts);
        let fitted = feature(&column, &[0, 1, 2, 3, 5, 6], Normalize::Standard, Missing::Mean).unwrap();
        let categories = ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(fitted, ColumnEncoding::Category { categories, fill: Some("a".into()) });
    }

    #[test]
    fn a_constant_column_cannot_be_scaled() {
        let column = numbers(&[2.0, 2.0, 3.0]);
        let fitted = feature(&column, &[0, 1], Normalize::Standard, Missing::Error);
        assert_eq!(fitted.unwrap_err(), Unfit::Constant(2.0));
        assert!(feature(&column, &[0, 1], Normalize::None, Missing::Error).is_ok());
        let apart = numbers(&[-1e308, 1e308]);
        let fitted = feature(&apart, &[0, 1], Normalize::Standard, Missing::Error);
        assert_eq!(fitted.unwrap_err(), Unfit::Range(-1e308, 1e308));
        let fitted = feature(&column, &[], Normalize::None, Missing::Mean);
        assert_eq!(fitted.unwrap_err(), Unfit::NoValues);
    }
}
