//! Mean over samples and units of `-y_true ln(y_pred) - (1 - y_true) ln(1 - y_pred)`.
//!
//! Probabilities are kept within [1e-7, 1 - 1e-7] in `f32`, as in training; logits are taken by
//! `max(x, 0) - x y_true + ln(1 + exp(-|x|))`. `label_smoothing` s makes `y_true (1 - s) + s / 2`.
//! Source: `keras.metrics.BinaryCrossentropy`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "binary_crossentropy",
    aliases: &["bce", "BCE", "BinaryCrossentropy"],
    about: "cross-entropy of units that are each a yes or no",
    parse,
};

fn parse(f: &mut Fields<'_>) -> Box<dyn Metric> {
    let from_logits = f.key("from_logits").or(false);
    let smoothing: f64 = f.key("label_smoothing").within(0.0, 1.0).or(0.0);
    let value = move |t: f64, p: f64| {
        let t = t * (1.0 - smoothing) + 0.5 * smoothing;
        if from_logits {
            return p.max(0.0) - p * t + libm::log1p(libm::exp(-p.abs()));
        }
        let p = clip(p as f32);
        -t * libm::log(p) - (1.0 - t) * libm::log(1.0 - p)
    };
    Box::new(MeanMetric::error(f, "binary_crossentropy", Fit::EachUnit, move |y_true, y_pred| {
        over_units(y_true, y_pred, value)
    }))
}

/// A probability whose logarithm, and that of what is missing to 1, are finite.
pub fn clip(probability: f32) -> f64 {
    f64::from(probability.clamp(1e-7, 1.0 - 1e-7))
}
