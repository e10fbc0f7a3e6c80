//! nntrain trains neural networks from a TOML file.
#[macro_use]
pub mod config;
pub mod data;
pub mod diag;
pub mod kernels;
pub mod metrics;
pub mod optim;
pub mod rng;
pub mod shape;
