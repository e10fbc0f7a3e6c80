//! Mean over samples of `max(0, 1 + largest wrong unit - right unit)`, targets being one-hot:
//! `max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred))`.
//!
//! Source: `keras.metrics.CategoricalHinge`.

use super::Metric;
use super::mean::MeanMetric;
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "categorical_hinge",
    aliases: &["CategoricalHinge"],
    about: "max(0, 1 + best wrong class - right class)",
    parse: |f| Box::new(MeanMetric::error(f, "categorical_hinge", Fit::OneHot { sparse: None }, hinge)),
};

fn hinge(y_true: &[f32], y_pred: &[f32]) -> f64 {
    let (mut right, mut wrong) = (0.0, f64::NEG_INFINITY);
    for (t, p) in y_true.iter().zip(y_pred).map(|(t, p)| (f64::from(*t), f64::from(*p))) {
        right += t * p;
        wrong = ((1.0 - t) * p).max(wrong);
    }
    (wrong - right + 1.0).max(0.0)
}
