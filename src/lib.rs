//! nntrain trains neural networks from a TOML file.

#[macro_use]
pub mod config;
#[cfg(test)]
#[macro_use]
mod testing;
#[macro_use]
pub mod kernels;
pub mod activations;
pub mod bits;
pub mod callbacks;
pub mod checkpoint;
pub mod cli;
pub mod compile;
pub mod data;
pub mod diag;
pub mod exec;
pub mod files;
pub mod graph;
pub mod initializers;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod optim;
pub mod regularizers;
pub mod report;
pub mod rng;
pub mod shape;
pub mod target;
pub mod train;
