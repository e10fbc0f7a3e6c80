//! Mean over samples and units of `(y_true - y_pred)^2`.
//!
//! Source: `keras.metrics.MeanSquaredError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "mean_squared_error",
    aliases: &["mse", "MSE", "MeanSquaredError"],
    about: "mean of (y_true - y_pred)^2",
    parse: |f| {
        Box::new(MeanMetric::error(f, "mean_squared_error", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, |t, p| (t - p) * (t - p))
        }))
    },
};
