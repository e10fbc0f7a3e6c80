//! From a config's text to a model: what is trained, on what, against what.
//!
//! [`experiment`] reads the config; [`blocks`] and [`expand`] make one list of its layers, with names
//! turned into edges by [`scope`]; [`layers`] reads their words, [`heads`] what they are judged by and
//! [`inputs`] what they are given; [`place`] lowers them to ops, [`supervised`] and [`adversarial`] build the graphs and
//! [`lower`] compiles them. [`meant`] finds what can be
//! computed, and would learn nothing. [`listing`] is what the summary says, [`initial_weights`] which file
//! weights come from.

pub mod adversarial;
pub mod blocks;
pub mod expand;
pub mod experiment;
pub mod gan;
pub mod heads;
pub mod initial_weights;
pub mod inputs;
pub mod layers;
pub mod listing;
pub mod lower;
pub mod meant;
mod open;
pub mod place;
mod read_task;
pub mod scope;
mod share;
pub mod supervised;
pub mod task;
#[cfg(test)]
mod tests;
mod unread;
mod walk;

pub use experiment::Experiment;
