//! What the unit tests share: the battery for layers and the reader of reference values.

pub mod battery;
mod ends;
pub mod golden;
pub mod words;
