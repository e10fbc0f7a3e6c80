//! `100` times the mean over samples and units of `|y_true - y_pred| / max(|y_true|, 1e-7)`.
//!
//! Source: `keras.metrics.MeanAbsolutePercentageError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "mean_absolute_percentage_error",
    aliases: &["mape", "MAPE", "MeanAbsolutePercentageError"],
    about: "100 times the mean of |y_true - y_pred| / |y_true|",
    parse: |f| {
        Box::new(MeanMetric::error(f, "mean_absolute_percentage_error", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, |t, p| 100.0 * ((t - p) / t.abs().max(1e-7)).abs())
        }))
    },
};
