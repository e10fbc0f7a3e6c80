//! Mean over samples of `-ln(y_pred[class])`, targets being class numbers.
//!
//! Probabilities are kept within [1e-7, 1 - 1e-7], then divided by their sum; logits go through a
//! softmax. Source: `keras.metrics.SparseCategoricalCrossentropy`.

use super::Metric;
use super::binary_crossentropy::clip;
use super::categorical_crossentropy::log_sum_exp;
use super::mean::MeanMetric;
use super::output::Fit;
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "sparse_categorical_crossentropy",
    aliases: &["SparseCategoricalCrossentropy"],
    about: "cross-entropy of class numbers",
    parse,
};

fn parse(f: &mut Fields<'_>) -> Box<dyn Metric> {
    let from_logits = f.key("from_logits").or(false);
    let fit = Fit::ClassIndex { one_hot: "categorical_crossentropy" };
    Box::new(MeanMetric::error(f, "sparse_categorical_crossentropy", fit, move |y_true, y_pred| {
        // Class numbers were checked with the data; NaN is what no class can be.
        let Some(of_class) = y_pred.get(y_true[0] as usize) else { return f64::NAN };
        if from_logits {
            return log_sum_exp(y_pred) - f64::from(*of_class);
        }
        let sum: f64 = y_pred.iter().map(|p| clip(*p)).sum();
        libm::log(sum / clip(*of_class))
    }))
}
