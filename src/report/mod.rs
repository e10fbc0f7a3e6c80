//! Pictures and tables for people.

pub mod history_svg;
pub mod table;
