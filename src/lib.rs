//! nntrain trains neural networks from a TOML file.

#[macro_use]
pub mod config;
#[cfg(test)]
#[macro_use]
mod testing;
#[macro_use]
pub mod kernels;
pub mod activations;
pub mod compile;
pub mod data;
pub mod diag;
pub mod exec;
pub mod graph;
pub mod initializers;
pub mod layers;
pub mod metrics;
pub mod ops;
pub mod optim;
pub mod regularizers;
pub mod rng;
pub mod shape;
