//! Share of rows whose largest prediction, the first of equals, is at the class of the target.
//!
//! Source: `keras.metrics.SparseCategoricalAccuracy`.

use super::Metric;
use super::mean::{MeanMetric, argmax, indicator};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "sparse_categorical_accuracy",
    aliases: &["SparseCategoricalAccuracy"],
    about: "share of right classes, targets being class numbers",
    parse: |f| {
        let fit = Fit::ClassIndex { one_hot: "categorical_accuracy" };
        Box::new(MeanMetric::score(f, "sparse_categorical_accuracy", fit, is_right))
    },
};

pub fn is_right(y_true: &[f32], y_pred: &[f32]) -> f64 {
    indicator(y_true[0] == argmax(y_pred) as f32)
}
