//! Mean over samples and units of `max(0, 1 - y_true y_pred)^2`, targets being -1 and 1.
//!
//! Source: `keras.metrics.SquaredHinge`.

use super::Metric;
use super::hinge::shortfall;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "squared_hinge",
    aliases: &["SquaredHinge"],
    about: "mean of max(0, 1 - y_true y_pred)^2",
    parse: |f| {
        Box::new(MeanMetric::error(f, "squared_hinge", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, value)
        }))
    },
};

fn value(t: f64, p: f64) -> f64 {
    let short = shortfall(t, p);
    short * short
}
