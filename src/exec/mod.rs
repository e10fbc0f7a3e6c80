//! Running programs: the arena, the parameter block, the loop over steps.

mod arena;
pub mod machine;
pub mod session;

pub use session::Session;
