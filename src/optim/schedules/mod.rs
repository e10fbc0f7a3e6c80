//! Learning-rate schedules: the rate as a function of the steps done so far.
//!
//! Names, keys and formulas are those of `keras.optimizers.schedules`, computed in `f64`.

use std::fmt::Debug;

use crate::config::registry::Registry;

mod cosine_decay;
mod cosine_decay_restarts;
mod exponential_decay;
mod inverse_time_decay;
mod piecewise_constant_decay;
mod polynomial_decay;

/// A learning rate that changes as training goes on.
pub trait Schedule: Debug + Send + Sync {
    /// The learning rate of the step before which `step` steps were done.
    fn at(&self, step: u64) -> f64;
}

/// The word after `learning_rate = { type = `.
pub const SCHEDULES: Registry<dyn Schedule> = Registry {
    kind: "learning-rate schedule",
    entries: &[
        cosine_decay::ENTRY,
        cosine_decay_restarts::ENTRY,
        exponential_decay::ENTRY,
        inverse_time_decay::ENTRY,
        piecewise_constant_decay::ENTRY,
        polynomial_decay::ENTRY,
    ],
};

/// `step / decay_steps`, in whole numbers if `staircase`.
fn progress(step: u64, decay_steps: u64, staircase: bool) -> f64 {
    let p = step as f64 / decay_steps as f64;
    if staircase { p.floor() } else { p }
}

/// From 1 at `fraction` 0 to 0 at `fraction` 1, along half a cosine.
fn half_cosine(fraction: f64) -> f64 {
    0.5 * (1.0 + libm::cos(std::f64::consts::PI * fraction))
}
