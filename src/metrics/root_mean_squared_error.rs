//! Root of the mean over samples and units of `(y_true - y_pred)^2`.
//!
//! Source: `keras.metrics.RootMeanSquaredError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "root_mean_squared_error",
    aliases: &["rmse", "RMSE", "RootMeanSquaredError"],
    about: "root of the mean of (y_true - y_pred)^2",
    parse: |f| {
        let squares = MeanMetric::error(f, "root_mean_squared_error", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, |t, p| (t - p) * (t - p))
        });
        Box::new(squares.finish(f64::sqrt))
    },
};
