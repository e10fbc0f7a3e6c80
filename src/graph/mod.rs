//! The static graph that layers lower to: values, ops, parameters.

pub mod build;
pub mod node;
pub mod op;
pub mod param;
pub mod per_step;
pub mod precision;
#[cfg(test)]
pub mod twin;

pub use build::{Builder, Mode, check_size};
pub use node::{Fused, Graph, Node, Value, Var};
pub use op::{Backward, Bits, Ctx, Forward, Grad, Mismatch, Narrow, Op, Scratch, Signature};
pub use param::{Init, ParamDecl, Params, Penalty};
pub use precision::Precision;
