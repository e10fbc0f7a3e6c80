//! Words of `[training] loss`: each lowers to one op that gives one number per sample.
//!
//! The number is the mean over the sample's own positions, times the sample's weight; the program
//! then takes the mean over the batch. Both together are Keras's `sum_over_batch_size`: weights
//! scale the samples and do not change what is divided by.
//!
//! A crossentropy right after its sigmoid or softmax is computed from that function's input, which
//! is exact where the probabilities have run into 0 or 1. Everywhere else probabilities are cut to
//! [1e-7, 1 - 1e-7] as in Keras.

use std::fmt::Debug;

use crate::config::registry::Registry;
use crate::graph::{Builder, Mismatch, Var};
use crate::shape::Shape;
use crate::target::{Scores, TargetKind};

mod binary;
mod categorical;
mod dice;
mod fits;
pub mod gives;
mod hinge;
mod pair;
mod regression;
mod rows;
mod samples;
mod similarity;
mod softmax_crossentropy;
mod wasserstein;

pub use binary::binary_crossentropy;
pub use wasserstein::wasserstein;

#[cfg(test)]
mod tests;

/// Keras's `epsilon()`: probabilities are kept this far from 0 and 1.
const EPSILON: f32 = 1e-7;

/// What a loss is computed from.
#[derive(Clone, Copy, Debug)]
pub struct LossInputs {
    /// The model's output.
    pub output: Var,
    /// Batched: class numbers `[]` or `[H, W]`, one-hot rows `[C]`, or values of the output's shape.
    pub target: Var,
    /// One factor per sample, batched `[]`: sample weight times class weight.
    pub weight: Var,
}

/// The dataset's side of a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: TargetKind,
    /// Batched: `[N]` for one class number per sample, `[N,C]` for one-hot rows.
    pub shape: Shape,
}

/// A word of `loss` with its keys read.
pub trait Loss: Debug + Send + Sync {
    /// Adds the loss to the graph: a value of one number per sample.
    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch>;

    /// Whether the model's output and the dataset's targets go together under this loss; the error
    /// names both and what to change.
    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch>;

    /// Whether its targets are classes or labels, not just any numbers.
    fn takes_labels(&self) -> bool {
        true
    }

    /// Whether targets of this class number are left out: pixels that are of no class.
    fn ignores(&self, class: f32) -> bool {
        let _ = class;
        false
    }

    /// The bounds of targets that are numbers, where it has a sense only within them.
    fn target_bounds(&self) -> Option<(f32, f32)> {
        None
    }

    /// How outputs trained with it become probabilities.
    fn scores(&self) -> Scores {
        Scores::AsTheyAre
    }
}

/// Every loss there is.
pub static LOSSES: Registry<dyn Loss> = Registry {
    kind: "loss",
    entries: &[
        categorical::SPARSE,
        categorical::CATEGORICAL,
        categorical::FOCAL,
        binary::CROSSENTROPY,
        binary::FOCAL,
        regression::MEAN_SQUARED_ERROR,
        regression::MEAN_ABSOLUTE_ERROR,
        regression::MEAN_ABSOLUTE_PERCENTAGE_ERROR,
        regression::MEAN_SQUARED_LOGARITHMIC_ERROR,
        regression::HUBER,
        regression::LOG_COSH,
        regression::POISSON,
        regression::KL_DIVERGENCE,
        dice::ENTRY,
        hinge::HINGE,
        hinge::SQUARED_HINGE,
        hinge::CATEGORICAL_HINGE,
        similarity::ENTRY,
    ],
};
