//! Coefficient of determination: `1 - sum (y_true - y_pred)^2 / sum (y_true - mean)^2` per column.
//!
//! `class_aggregation` is "uniform_average" (the mean over the columns) or
//! "variance_weighted_average". A column of equal targets has no variance to explain and scores 0.
//! Source: `keras.metrics.R2Score`.

use super::list::column;
use super::output::Fit;
use super::{Accumulator, Metric, OutputKind, ratio, restore_numbers};
use crate::config::read::Wrong;
use crate::config::registry::Entry;
use crate::words;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "r2_score",
    aliases: &["r2", "R2Score"],
    about: "share of the targets' variance that is explained",
    parse: |f| {
        let aggregation = f.key("class_aggregation").or(Aggregation::Uniform);
        Box::new(R2Score { name: column(f, "r2_score"), aggregation })
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregation {
    Uniform,
    VarianceWeighted,
}

words!(Aggregation, Uniform = "uniform_average", VarianceWeighted = "variance_weighted_average");

#[derive(Debug)]
struct R2Score {
    name: String,
    aggregation: Aggregation,
}

impl Metric for R2Score {
    fn name(&self) -> &str {
        &self.name
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        Fit::EachUnit.check(output)?;
        let columns = vec![Deviations::default(); output.units()];
        Ok(Box::new(R2 { aggregation: self.aggregation, output: output.clone(), columns }))
    }
}

/// Sums over one column of targets and predictions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deviations {
    weight: f64,
    /// The first target: sums are of differences from it, so that squares of large numbers that
    /// differ little do not cancel.
    origin: f64,
    sum: f64,
    squares: f64,
    residual: f64,
}

impl Deviations {
    pub fn add(&mut self, y_true: f64, y_pred: f64, weight: f64) {
        if self.weight == 0.0 {
            self.origin = y_true;
        }
        let y = y_true - self.origin;
        self.weight += weight;
        self.sum += weight * y;
        self.squares += weight * y * y;
        self.residual += weight * (y_true - y_pred) * (y_true - y_pred);
    }

    /// Weighted sum of the squared distances of the targets from their mean.
    pub fn total(&self) -> f64 {
        (self.squares - ratio(self.sum * self.sum, self.weight)).max(0.0)
    }

    pub fn r2(&self) -> f64 {
        let total = self.total();
        if total == 0.0 { 0.0 } else { 1.0 - self.residual / total }
    }

    fn numbers(&self) -> [f64; 5] {
        [self.weight, self.origin, self.sum, self.squares, self.residual]
    }
}

struct R2 {
    aggregation: Aggregation,
    output: OutputKind,
    columns: Vec<Deviations>,
}

impl Accumulator for R2 {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            for ((column, t), p) in self.columns.iter_mut().zip(y_true).zip(y_pred) {
                column.add(f64::from(*t), f64::from(*p), weight);
            }
        }
    }

    fn value(&self) -> f64 {
        let columns = self.columns.iter();
        match self.aggregation {
            Aggregation::Uniform => columns.map(Deviations::r2).sum::<f64>() / self.columns.len() as f64,
            Aggregation::VarianceWeighted => {
                let all: f64 = self.columns.iter().map(Deviations::total).sum();
                ratio(columns.map(|column| column.total() * column.r2()).sum(), all)
            }
        }
    }

    fn reset(&mut self) {
        self.columns.fill(Deviations::default());
    }

    fn state(&self) -> Vec<f64> {
        self.columns.iter().flat_map(Deviations::numbers).collect()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        let mut numbers = vec![0.0; 5 * self.columns.len()];
        restore_numbers(&mut numbers, state)?;
        let (stored, _) = numbers.as_chunks::<5>();
        for (column, [weight, origin, sum, squares, residual]) in self.columns.iter_mut().zip(stored) {
            let (weight, origin, sum) = (*weight, *origin, *sum);
            *column = Deviations { weight, origin, sum, squares: *squares, residual: *residual };
        }
        Ok(())
    }
}
