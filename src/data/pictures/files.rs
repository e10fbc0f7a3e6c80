//! Pictures that memory has no room for: they stay files, and are decoded whenever they are asked for.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::load::{Size, read};

/// Files of pictures that could once be decoded to `size`.
#[derive(Debug, PartialEq, Eq)]
pub struct Files {
    paths: Vec<PathBuf>,
    size: Size,
    failure: OnceLock<String>,
}

impl Files {
    pub fn new(paths: Vec<PathBuf>, size: Size) -> Files {
        Files { paths, size, failure: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The pixels of a picture; none, which is noted down, if its file is not what it was.
    pub fn pixels(&self, number: usize) -> Option<Vec<u8>> {
        let path = &self.paths[number];
        let outcome = read(path, self.size);
        if let Err(why) = &outcome {
            // The first failure is what is told.
            let _ = self.failure.set(format!("`{}` {why}", path.display()));
        }
        outcome.ok().map(|(pixels, _)| pixels)
    }

    /// What became of a file since it was decoded first.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
