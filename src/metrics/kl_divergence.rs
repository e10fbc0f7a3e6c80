//! Mean over samples of `sum over units y_true ln(y_true / y_pred)`, both kept within [1e-7, 1].
//!
//! Source: `keras.metrics.KLDivergence`.

use super::Metric;
use super::mean::MeanMetric;
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "kl_divergence",
    aliases: &["kld", "KLD", "kullback_leibler_divergence", "KLDivergence"],
    about: "Kullback-Leibler divergence of y_pred from y_true",
    parse: |f| Box::new(MeanMetric::error(f, "kl_divergence", Fit::EachUnit, divergence)),
};

fn divergence(y_true: &[f32], y_pred: &[f32]) -> f64 {
    let clip = |v: &f32| f64::from(*v).clamp(1e-7, 1.0);
    let pairs = y_true.iter().zip(y_pred).map(|(t, p)| (clip(t), clip(p)));
    pairs.map(|(t, p)| t * libm::log(t / p)).sum()
}
