//! From a config's text to a model: what is trained, on what, against what.
//!
//! [`experiment`] reads the config; [`blocks`] and [`expand`] make one list of its layers, with names
//! turned into edges by [`scope`]; [`layers`] reads their words, [`heads`] what they are judged by and
//! [`inputs`] what they are given; [`place`] lowers them to ops, [`supervised`] builds the graphs and
//! [`lower`] compiles them. [`listing`] is what the summary says.

pub mod blocks;
pub mod expand;
pub mod experiment;
pub mod heads;
pub mod inputs;
pub mod layers;
pub mod listing;
pub mod lower;
pub mod place;
pub mod scope;
pub mod supervised;
#[cfg(test)]
mod tests;

pub use experiment::Experiment;
