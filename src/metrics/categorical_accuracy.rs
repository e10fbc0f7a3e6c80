//! Share of rows whose largest prediction is at the largest target, the first of equals counting.
//!
//! Source: `keras.metrics.CategoricalAccuracy`.

use super::Metric;
use super::mean::{MeanMetric, argmax, indicator};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "categorical_accuracy",
    aliases: &["CategoricalAccuracy"],
    about: "share of right classes, targets being one-hot",
    parse: |f| {
        let fit = Fit::OneHot { sparse: Some("sparse_categorical_accuracy") };
        Box::new(MeanMetric::score(f, "categorical_accuracy", fit, is_right))
    },
};

pub fn is_right(y_true: &[f32], y_pred: &[f32]) -> f64 {
    indicator(argmax(y_true) == argmax(y_pred))
}
