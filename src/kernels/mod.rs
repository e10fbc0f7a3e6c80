//! Arithmetic on slices: no graph, no config. `unsafe` lives here and in the arena.
#![allow(unsafe_code)]

#[macro_use]
pub mod isa;
pub mod aligned;
pub mod axis;
pub mod bf16;
pub mod clock;
pub mod conv;
pub mod depthwise;
pub mod frame;
pub mod gemm;
#[cfg(all(test, unix))]
pub mod guarded;
pub mod math;
pub mod number;
pub mod pairs;
pub mod par;
pub mod peak;
pub mod pieces;
pub mod prefetch;
pub mod strips;
pub mod sum;
mod tile;
pub mod turn;
mod vector;
pub mod views;
pub mod winograd;
