//! Pictures and tables for people.

mod axis;
mod chart;
pub mod forecast_svg;
pub mod history_svg;
mod svg;
pub mod table;
