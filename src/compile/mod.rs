//! From a graph to a program: fusion, how values are stored, derived backward pass, memory plan.
//!
//! Knows the trait `Op` and no concrete op. Everything here happens once, before the first batch.

mod autodiff;
mod fuse;
mod memory;
mod narrow;
pub mod program;
mod verify;
pub mod work;

use crate::graph::{Graph, Params, Var};

pub use program::{Program, Step};
pub use work::{Move, Work};

/// What a program is to compute.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Values that are filled before each run.
    pub inputs: Vec<Var>,
    /// Values to be read after each run.
    pub outputs: Vec<Var>,
    /// Values of one number per sample whose weighted mean is minimised, with their weights.
    /// Empty: no backward pass.
    pub losses: Vec<(Var, f32)>,
    /// Parameters that get no gradient, besides those that are not trainable.
    pub fixed: Vec<usize>,
    /// Most samples of a batch.
    pub batch: usize,
    /// Threads that will run it: each has scratch space of its own.
    pub threads: usize,
}

/// Compiles a graph.
pub fn compile(mut graph: Graph, params: &Params, want: &Want) -> Program {
    fuse::fuse(&mut graph, want);
    narrow::narrow(&mut graph, want);
    compile_as_is(graph, params, want)
}

/// Compiles without fusion, and with all numbers in f32: what the program is compared with in tests.
pub fn compile_as_is(graph: Graph, params: &Params, want: &Want) -> Program {
    let plan = autodiff::schedule(&graph, params, want);
    let program = memory::place(graph, &params.layout(), want, plan);
    if let Err(problem) = verify::verify(&program) {
        unreachable!("the memory plan is wrong: {problem}");
    }
    program
}
