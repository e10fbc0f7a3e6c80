//! Arithmetic on the graph: one file per op, forward and its gradient side by side.

pub mod conv;
pub mod depthwise;
pub mod function;
pub mod map;
pub mod matmul;
pub mod softmax;
