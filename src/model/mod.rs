//! From a config's text to a model: what is trained, on what, against what.
//!
//! [`experiment`] reads the config; [`blocks`] and [`expand`] make one list of its layers, with names
//! turned into edges by [`scope`]; [`layers`] reads their words; [`place`] lowers them to ops
//! and [`lower`] builds the graphs.

pub mod blocks;
pub mod expand;
pub mod experiment;
pub mod layers;
pub mod lower;
pub mod place;
pub mod scope;
#[cfg(test)]
mod tests;
mod walk;

pub use experiment::Experiment;
