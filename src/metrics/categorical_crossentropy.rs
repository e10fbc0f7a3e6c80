//! Mean over samples of `-sum over classes y_true ln(y_pred)`, targets being one-hot.
//!
//! Probabilities are divided by their sum, then kept within [1e-7, 1 - 1e-7]; logits go through a
//! softmax. `label_smoothing` s makes `y_true (1 - s) + s / classes`.
//! Source: `keras.metrics.CategoricalCrossentropy`.

use super::Metric;
use super::binary_crossentropy::clip;
use super::mean::MeanMetric;
use super::output::Fit;
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "categorical_crossentropy",
    aliases: &["CategoricalCrossentropy"],
    about: "cross-entropy of one-hot targets",
    parse,
};

fn parse(f: &mut Fields<'_>) -> Box<dyn Metric> {
    let from_logits = f.key("from_logits").or(false);
    let smoothing: f64 = f.key("label_smoothing").within(0.0, 1.0).or(0.0);
    let fit = Fit::OneHot { sparse: Some("sparse_categorical_crossentropy") };
    Box::new(MeanMetric::error(f, "categorical_crossentropy", fit, move |y_true, y_pred| {
        let smooth = |t: f32| f64::from(t) * (1.0 - smoothing) + smoothing / y_true.len() as f64;
        let pairs = y_true.iter().map(|t| smooth(*t)).zip(y_pred);
        if from_logits {
            let whole = log_sum_exp(y_pred);
            return pairs.map(|(t, x)| t * (whole - f64::from(*x))).sum();
        }
        let sum: f32 = y_pred.iter().sum();
        pairs.map(|(t, p)| -t * libm::log(clip(p / sum))).sum()
    }))
}

/// `ln(sum exp(logits))`, without overflow.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |m, x| m.max(f64::from(*x)));
    largest + libm::log(logits.iter().map(|x| libm::exp(f64::from(*x) - largest)).sum())
}
