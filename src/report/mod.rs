//! Pictures and tables for people.

mod axis;
pub mod history_svg;
mod svg;
pub mod table;
