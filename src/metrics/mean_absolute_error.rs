//! Mean over samples and units of `|y_true - y_pred|`.
//!
//! Source: `keras.metrics.MeanAbsoluteError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "mean_absolute_error",
    aliases: &["mae", "MAE", "MeanAbsoluteError"],
    about: "mean of |y_true - y_pred|",
    parse: |f| {
        Box::new(MeanMetric::error(f, "mean_absolute_error", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, |t, p| (t - p).abs())
        }))
    },
};
