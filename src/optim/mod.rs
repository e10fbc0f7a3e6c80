//! Optimizers: update rules, learning-rate schedules, and the state they keep between steps.
//!
//! A rule's file holds its formula, its TOML keys and its elementwise loop; [`OPTIMIZERS`] is the
//! table of all of them. What every optimizer can do besides (clipping, decoupled weight decay,
//! moving averages of the weights, gradient accumulation) is in [`spec`], and [`Optimizer`] runs
//! the whole over one flat block of weights.
//!
//! Numbers and defaults are those of `keras.optimizers`; the arithmetic is `f32` per weight, with
//! every scalar factor computed in `f64` once per step.

use std::fmt::Debug;

use crate::config::registry::Registry;

mod clip;
pub mod optimizer;
pub mod schedules;
pub mod spec;

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod adamw;
mod lion;
mod nadam;
mod rmsprop;
mod sgd;

pub use optimizer::Optimizer;
pub use schedules::{SCHEDULES, Schedule};
pub use spec::{Clip, Ema, LearningRate, OptimizerSpec};

/// The word after `optimizer = `.
pub const OPTIMIZERS: Registry<OptimizerSpec> = Registry {
    kind: "optimizer",
    entries: &[
        adadelta::ENTRY,
        adagrad::ENTRY,
        adam::ENTRY,
        adamax::ENTRY,
        adamw::ENTRY,
        lion::ENTRY,
        nadam::ENTRY,
        rmsprop::ENTRY,
        sgd::ENTRY,
    ],
};

/// One number per weight that a rule keeps between steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Keras's variable name: the key in a checkpoint.
    pub name: &'static str,
    pub initial: f32,
}

impl Slot {
    pub const fn zeros(name: &'static str) -> Slot {
        Slot { name, initial: 0.0 }
    }
}

/// The most slots that a rule has.
pub const MAX_SLOTS: usize = 3;

/// What a rule's loop needs besides the arrays; each rule says what its factors mean.
pub type Factors = [f32; 3];

/// The update rule of one optimizer.
pub trait Rule: Debug + Send + Sync {
    /// At most [`MAX_SLOTS`], in the order in which `update` gets them.
    fn slots(&self) -> Vec<Slot>;

    /// Initial values of what the rule keeps once, not per weight.
    fn scalars(&self) -> Vec<f64> {
        vec![]
    }

    /// Computed once per update; `step` counts the updates from 1. May move `scalars` on.
    fn factors(&self, step: u64, learning_rate: f64, scalars: &mut [f64]) -> Factors;

    /// Updates a piece of the weights; all slices are of one length. Entries do not depend on one
    /// another, so that any cut of the weights gives the same bits. A gradient of zero must leave a
    /// weight finite: alignment padding is updated along with the rest.
    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]);
}

#[cfg(test)]
mod tests;
