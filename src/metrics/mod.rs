//! Metrics: one number per epoch that says how good the predictions are.
//!
//! Names, formulas and directions are those of `keras.metrics`. A metric is bound to an output,
//! where it is checked that the two fit, and then fed batch by batch; sums are `f64` in sample
//! order, so that the value is exact over the epoch and the same for any number of threads.

use std::fmt::Debug;

use crate::config::read::Wrong;
use crate::config::registry::Registry;

mod accuracy;
mod auc;
mod binary_accuracy;
mod binary_crossentropy;
mod box_iou;
mod categorical_accuracy;
mod categorical_crossentropy;
mod categorical_hinge;
mod confusion;
mod cosine_similarity;
mod dice;
mod f1_score;
mod fit;
mod hinge;
mod kl_divergence;
mod list;
mod log_cosh;
mod mean;
mod mean_absolute_error;
mod mean_absolute_percentage_error;
mod mean_iou;
mod mean_squared_error;
mod mean_squared_logarithmic_error;
mod overlap;
mod poisson;
mod precision;
mod r2_score;
mod recall;
pub mod report;
mod root_mean_squared_error;
mod sparse_categorical_accuracy;
mod sparse_categorical_crossentropy;
mod sparse_top_k_categorical_accuracy;
mod squared_hinge;
mod top_k_categorical_accuracy;

pub use crate::target::{OutputKind, TargetKind};
pub use list::read_list;

/// The words in `metrics = [...]`; read the list with [`read_list`].
pub const METRICS: Registry<dyn Metric> = Registry {
    kind: "metric",
    entries: &[
        accuracy::ENTRY,
        auc::ENTRY,
        binary_accuracy::ENTRY,
        binary_crossentropy::ENTRY,
        box_iou::ENTRY,
        categorical_accuracy::ENTRY,
        categorical_crossentropy::ENTRY,
        categorical_hinge::ENTRY,
        cosine_similarity::ENTRY,
        dice::ENTRY,
        f1_score::ENTRY,
        hinge::ENTRY,
        kl_divergence::ENTRY,
        log_cosh::ENTRY,
        mean_absolute_error::ENTRY,
        mean_absolute_percentage_error::ENTRY,
        mean_iou::ENTRY,
        mean_squared_error::ENTRY,
        mean_squared_logarithmic_error::ENTRY,
        poisson::ENTRY,
        precision::ENTRY,
        r2_score::ENTRY,
        recall::ENTRY,
        root_mean_squared_error::ENTRY,
        sparse_categorical_accuracy::ENTRY,
        sparse_categorical_crossentropy::ENTRY,
        sparse_top_k_categorical_accuracy::ENTRY,
        squared_hinge::ENTRY,
        top_k_categorical_accuracy::ENTRY,
    ],
};

/// A metric as configured.
pub trait Metric: Debug + Send + Sync {
    /// Its column in the history: Keras's name, or the key `name`.
    fn name(&self) -> &str;

    /// What callbacks with `mode = "auto"` take for an improvement.
    fn higher_is_better(&self) -> bool;

    /// Whether it counts right and wrong answers, so that targets must be classes or labels.
    fn judges_labels(&self) -> bool {
        false
    }

    /// What to write instead for outputs that are logits of yes-or-no questions, if it would take
    /// them for probabilities.
    fn instead_for_logits(&self) -> Option<&'static str> {
        None
    }

    /// An accumulator for this output, or why the metric does not fit it.
    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong>;
}

/// A metric at work: what it has seen of the epoch so far.
pub trait Accumulator: Send {
    /// Takes in a batch: `weights` has one number per sample, `y_true` and `y_pred` a row each of
    /// [`OutputKind::target_width`] and `shape.size()` numbers. Allocates nothing.
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]);

    /// The metric over everything seen since the last reset; 0 if there was nothing.
    fn value(&self) -> f64;

    fn reset(&mut self);

    /// What [`Self::restore`] needs to go on in the middle of an epoch.
    fn state(&self) -> Vec<f64>;

    fn restore(&mut self, state: &[f64]) -> Result<(), String>;
}

/// 0 where there is nothing to divide by, as Keras's `divide_no_nan`.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Fills `numbers` from a stored state.
fn restore_numbers(numbers: &mut [f64], state: &[f64]) -> Result<(), String> {
    if numbers.len() != state.len() {
        return Err(format!("the metric's state has {} numbers, not {}", state.len(), numbers.len()));
    }
    numbers.copy_from_slice(state);
    Ok(())
}

#[cfg(test)]
mod tests;
