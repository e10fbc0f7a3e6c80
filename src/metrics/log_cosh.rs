//! Mean over samples and units of `ln(cosh(y_pred - y_true))`.
//!
//! Source: `keras.metrics.LogCoshError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "log_cosh",
    aliases: &["logcosh", "LogCosh", "LogCoshError"],
    about: "mean of ln(cosh(y_pred - y_true))",
    parse: |f| {
        Box::new(MeanMetric::error(f, "log_cosh", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, value)
        }))
    },
};

/// `ln cosh x = |x| + ln(1 + exp(-2 |x|)) - ln 2` does not overflow.
fn value(t: f64, p: f64) -> f64 {
    let x = (p - t).abs();
    x + libm::log1p(libm::exp(-2.0 * x)) - std::f64::consts::LN_2
}
