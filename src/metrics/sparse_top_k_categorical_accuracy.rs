//! Share of rows whose class is among the `k` largest predictions, targets being class numbers.
//!
//! Ties count in the class's favour. Source: `keras.metrics.SparseTopKCategoricalAccuracy`.

use super::Metric;
use super::output::Fit;
use super::top_k_categorical_accuracy::TopK;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "sparse_top_k_categorical_accuracy",
    aliases: &["SparseTopKCategoricalAccuracy"],
    about: "share of classes among the k largest predictions, targets being class numbers",
    parse: |f| {
        let fit = Fit::ClassIndex { one_hot: "top_k_categorical_accuracy" };
        TopK::read(f, "sparse_top_k_categorical_accuracy", fit, |y_true| y_true[0] as usize)
    },
};
