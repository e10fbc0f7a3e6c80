//! Mean over samples and units of `y_true == (y_pred > threshold)`.
//!
//! Source: `keras.metrics.BinaryAccuracy`.

use super::Metric;
use super::mean::{MeanMetric, indicator};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "binary_accuracy",
    aliases: &["BinaryAccuracy"],
    about: "share of units on the right side of a threshold",
    parse: |f| {
        let threshold = f.key("threshold").at_least(0.0).or(0.5) as f32;
        Box::new(MeanMetric::score(f, "binary_accuracy", Fit::EachUnit, move |y_true, y_pred| {
            share(y_true, y_pred, threshold)
        }))
    },
};

/// The share of units that are right.
pub fn share(y_true: &[f32], y_pred: &[f32], threshold: f32) -> f64 {
    let pairs = y_true.iter().zip(y_pred);
    let right: f64 = pairs.map(|(t, p)| indicator(f64::from(*t) == indicator(*p > threshold))).sum();
    right / y_pred.len() as f64
}
