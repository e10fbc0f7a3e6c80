//! Mean over samples and units of `y_pred - y_true ln(y_pred + 1e-7)`.
//!
//! Source: `keras.metrics.Poisson`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "poisson",
    aliases: &["Poisson"],
    about: "mean of y_pred - y_true ln(y_pred)",
    parse: |f| {
        Box::new(MeanMetric::error(f, "poisson", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, |t, p| p - t * libm::log(p + 1e-7))
        }))
    },
};
