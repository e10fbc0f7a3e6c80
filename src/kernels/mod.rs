//! Arithmetic on slices: no graph, no config. `unsafe` lives here and in the arena.
#![allow(unsafe_code)]

pub mod par;
