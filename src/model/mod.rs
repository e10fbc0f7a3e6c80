//! From a config's text to a model: what is trained, on what, against what.
//!
//! [`experiment`] reads the config, [`layers`] turns names into edges, [`lower`] builds the graphs.

pub mod experiment;
pub mod layers;
pub mod lower;

pub use experiment::Experiment;
