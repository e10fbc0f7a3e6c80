//! `true positives / (true positives + false positives)`: share of yes decisions that are right;
//! 0 where there are none.
//!
//! For several classes without `class_id` the units of all classes are counted together, each
//! against `thresholds` (one number, 0.5). Source: `keras.metrics.Precision`.

use super::confusion::ThresholdMetric;
use super::{Metric, ratio};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "precision",
    aliases: &["Precision"],
    about: "share of yes decisions that are right",
    parse: |f| {
        ThresholdMetric::read(f, "precision", |counts| {
            ratio(counts.true_positives, counts.true_positives + counts.false_positives)
        })
    },
};
