//! Training, evaluation, prediction: the loops.

mod adapt;
mod continuation;
mod course;
mod duel;
pub mod evaluate;
pub mod fit;
mod forecast;
pub mod generate;
pub mod initial_weights;
mod judge;
pub mod laps;
mod pictures;
pub mod predict;
pub mod progress;
mod read_ahead;
mod reconstruction;
pub mod run_folder;
pub mod samples;
pub mod saved;
pub mod setup;
mod states;
pub mod timing;
pub mod trainer;
mod weights_file;

pub use setup::{Loaded, Options, Prepared};

#[cfg(test)]
mod frozen;
#[cfg(test)]
mod tests;
