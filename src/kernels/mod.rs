//! Arithmetic on slices: no graph, no config. `unsafe` lives here and in the arena.
#![allow(unsafe_code)]

#[macro_use]
pub mod isa;
pub mod aligned;
pub mod gemm;
pub mod math;
pub mod pairs;
pub mod par;
pub mod sum;
mod tile;
pub mod views;
