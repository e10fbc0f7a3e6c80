//! Mean over samples and units of `(ln(1 + y_true) - ln(1 + y_pred))^2`; numbers below 1e-7 count as 1e-7.
//!
//! Source: `keras.metrics.MeanSquaredLogarithmicError`.

use super::Metric;
use super::mean::{MeanMetric, over_units};
use super::output::Fit;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "mean_squared_logarithmic_error",
    aliases: &["msle", "MSLE", "MeanSquaredLogarithmicError"],
    about: "mean of (ln(1 + y_true) - ln(1 + y_pred))^2",
    parse: |f| {
        Box::new(MeanMetric::error(f, "mean_squared_logarithmic_error", Fit::EachUnit, |y_true, y_pred| {
            over_units(y_true, y_pred, value)
        }))
    },
};

fn value(t: f64, p: f64) -> f64 {
    let floor = |v: f64| if v < 1e-7 { 1e-7 } else { v };
    let difference = libm::log(floor(p) + 1.0) - libm::log(floor(t) + 1.0);
    difference * difference
}
