//! Metrics that are the weighted mean of a value per row; most outputs have one row per sample.
//!
//! ```text
//! sum over rows (weight of the sample * value(row)) / sum over rows (weight of the sample)
//! ```
//! Source: `keras.metrics.MeanMetricWrapper`.

use std::fmt;
use std::sync::Arc;

use super::list::column;
use super::output::Fit;
use super::{Accumulator, Metric, OutputKind, ratio, restore_numbers};
use crate::config::fields::Fields;
use crate::config::read::Wrong;

/// The value of one row of targets and predictions.
type RowValue = Arc<dyn Fn(&[f32], &[f32]) -> f64 + Send + Sync>;

#[derive(Clone)]
pub struct MeanMetric {
    name: String,
    higher_is_better: bool,
    fit: Fit,
    row: RowValue,
    /// Makes the metric of the mean.
    finish: fn(f64) -> f64,
}

impl MeanMetric {
    pub fn new(
        name: String,
        higher_is_better: bool,
        fit: Fit,
        row: impl Fn(&[f32], &[f32]) -> f64 + Send + Sync + 'static,
    ) -> MeanMetric {
        MeanMetric { name, higher_is_better, fit, row: Arc::new(row), finish: |mean| mean }
    }

    /// A metric that falls as predictions get better.
    pub fn error(
        f: &mut Fields<'_>,
        name: &str,
        fit: Fit,
        row: impl Fn(&[f32], &[f32]) -> f64 + Send + Sync + 'static,
    ) -> MeanMetric {
        MeanMetric::new(column(f, name), false, fit, row)
    }

    /// A metric that rises as predictions get better.
    pub fn score(
        f: &mut Fields<'_>,
        name: &str,
        fit: Fit,
        row: impl Fn(&[f32], &[f32]) -> f64 + Send + Sync + 'static,
    ) -> MeanMetric {
        MeanMetric::new(column(f, name), true, fit, row)
    }

    pub fn finish(mut self, finish: fn(f64) -> f64) -> MeanMetric {
        self.finish = finish;
        self
    }
}

impl fmt::Debug for MeanMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeanMetric({})", self.name)
    }
}

impl Metric for MeanMetric {
    fn name(&self) -> &str {
        &self.name
    }

    fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        self.fit.check(output)?;
        Ok(Box::new(Mean {
            row: self.row.clone(),
            finish: self.finish,
            output: output.clone(),
            sums: [0.0; 2],
        }))
    }
}

struct Mean {
    row: RowValue,
    finish: fn(f64) -> f64,
    output: OutputKind,
    /// Of the weighted values, and of the weights.
    sums: [f64; 2],
}

impl Accumulator for Mean {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        let [mut total, mut count] = self.sums;
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            total += weight * (self.row)(y_true, y_pred);
            count += weight;
        }
        self.sums = [total, count];
    }

    fn value(&self) -> f64 {
        (self.finish)(ratio(self.sums[0], self.sums[1]))
    }

    fn reset(&mut self) {
        self.sums = [0.0; 2];
    }

    fn state(&self) -> Vec<f64> {
        self.sums.to_vec()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        restore_numbers(&mut self.sums, state)
    }
}

/// The mean over the units of a row of a value per number.
pub fn over_units(y_true: &[f32], y_pred: &[f32], value: impl Fn(f64, f64) -> f64) -> f64 {
    let pairs = y_true.iter().zip(y_pred);
    let sum: f64 = pairs.map(|(t, p)| value(f64::from(*t), f64::from(*p))).sum();
    sum / y_pred.len() as f64
}

/// The place of the largest number, the first of equals.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (unit, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = unit;
        }
    }
    best
}

/// 1 for yes, 0 for no.
pub fn indicator(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}
