//! Mean over samples of the cosine of the angle between `y_true` and `y_pred`: 1 is best.
//!
//! A vector of zeros has similarity 0 with everything; lengths below 1e-7 count as 1e-7.
//! Source: `keras.metrics.CosineSimilarity` (the loss of that name is its negative).

use super::Metric;
use super::mean::MeanMetric;
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "cosine_similarity",
    aliases: &["CosineSimilarity"],
    about: "cosine of the angle between y_true and y_pred",
    parse: |f| Box::new(MeanMetric::score(f, "cosine_similarity", Fit::EachUnit, cosine)),
};

fn cosine(y_true: &[f32], y_pred: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let length = |v: &[f32]| dot(v, v).sqrt().max(1e-7);
    dot(y_true, y_pred) / (length(y_true) * length(y_pred))
}
