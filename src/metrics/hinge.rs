//! Mean over samples and units of `max(0, 1 - y_true y_pred)`, targets being -1 and 1.
//!
//! Source: `keras.metrics.Hinge`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "hinge",
    aliases: &["Hinge"],
    about: "mean of max(0, 1 - y_true y_pred)",
    parse: |f| {
        Box::new(MeanMetric::error(f, "hinge", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, shortfall)
        }))
    },
};

/// How far the prediction falls short of 1 on the target's side; a NaN stays one.
///
/// Targets of 0 and 1 become -1 and 1. (Keras decides this for a whole batch, here it is each
/// number: targets are the one or the other throughout.)
pub fn shortfall(target: f64, prediction: f64) -> f64 {
    let sign = if target == 0.0 { -1.0 } else { target };
    let short = 1.0 - sign * prediction;
    if short <= 0.0 { 0.0 } else { short }
}
