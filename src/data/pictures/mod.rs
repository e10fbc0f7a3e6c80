//! Pictures and clips in files: found, decoded, brought to one size.

pub mod clips;
pub mod codec;
pub mod files;
pub mod folder;
pub mod inputs;
pub mod load;
pub mod resize;

/// Bytes row by row, channels last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixels: Vec<u8>,
}
