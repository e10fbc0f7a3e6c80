//! `true positives / (true positives + false negatives)`: share of positives that are found; 0
//! where there are none.
//!
//! For several classes without `class_id` the units of all classes are counted together, each
//! against `thresholds` (one number, 0.5). Source: `keras.metrics.Recall`.

use super::confusion::ThresholdMetric;
use super::{Metric, ratio};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "recall",
    aliases: &["Recall"],
    about: "share of positives that are found",
    parse: |f| {
        ThresholdMetric::read(f, "recall", |counts| {
            ratio(counts.true_positives, counts.true_positives + counts.false_negatives)
        })
    },
};
