//! The config language: TOML text with positions, typed reading, tables of known words.
//!
//! A TOML text is parsed once into a [`tree::Table`] whose every value knows where it stands.
//! [`fields::Fields`] reads one table of it: each key is named once, with its type, range and
//! default, and that one line is parser, error message and filled-in config. [`registry`] holds
//! the words that may stand as a `type`.

pub mod fields;
pub mod names;
pub mod overrides;
pub mod read;
pub mod registry;
pub mod tree;
pub mod write;
