//! Arithmetic on the graph: one file per op, forward and its gradient side by side.

pub mod function;
pub mod map;
pub mod matmul;
pub mod pad;
pub mod prelu;
pub mod softmax;
pub mod transpose;
