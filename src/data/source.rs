//! Where bytes come from, and the fingerprint over all that was read.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::data::places::beside;
use crate::diag::{At, Diag};

/// A text file, one that is part of the program, or one that it makes.
#[derive(Clone, Debug)]
pub enum Source {
    /// `at`: where the config names it.
    File {
        path: PathBuf,
        at: At,
    },
    Bundled {
        name: &'static str,
        bytes: &'static [u8],
    },
    /// Text that the program has made.
    Made {
        name: String,
        text: Arc<str>,
    },
}

impl Source {
    /// The source with a relative path taken from `folder`.
    pub fn beside(&self, folder: &Path) -> Source {
        match self {
            Source::File { path, at } => Source::File { path: beside(folder, path), at: at.clone() },
            inside => inside.clone(),
        }
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        match self {
            Source::File { path, .. } => path,
            Source::Bundled { name, .. } => Path::new(name),
            Source::Made { name, .. } => Path::new(name),
        }
    }

    pub fn open(&self) -> Result<Box<dyn Read>, Diag> {
        match self {
            Source::File { path, at } => {
                let file = open(path).map_err(|diag| diag.at(at))?;
                Ok(Box::new(file))
            }
            Source::Bundled { bytes, .. } => Ok(Box::new(*bytes)),
            Source::Made { text, .. } => Ok(Box::new(Cursor::new(text.clone().as_bytes().to_vec()))),
        }
    }
}

/// Opens a file for reading; a folder or a missing file is told apart.
pub fn open(path: &Path) -> Result<File, Diag> {
    if path.is_dir() {
        return Err(Diag::new(format!("`{}` is a folder, expected a file", path.display())));
    }
    File::open(path).map_err(|error| Diag::new(format!("cannot open `{}`: {error}", path.display())))
}

/// SHA-256 over everything read, files in order: the data's identity.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// A reader whose bytes all go into the fingerprint.
    pub fn over<R: Read>(&mut self, inner: R) -> Hashed<'_, R> {
        Hashed { inner, fingerprint: self }
    }

    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub struct Hashed<'a, R> {
    inner: R,
    fingerprint: &'a mut Fingerprint,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.fingerprint.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_sha256_of_all_bytes_in_order() {
        let mut fingerprint = Fingerprint::default();
        let mut text = String::new();
        fingerprint.over(&b"a"[..]).read_to_string(&mut text).unwrap();
        fingerprint.over(&b"bc"[..]).read_to_string(&mut text).unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((text.as_str(), fingerprint.hex().as_str()), ("abc", expected));
    }

    #[test]
    fn a_folder_is_not_a_file() {
        let diag = open(&std::env::temp_dir()).unwrap_err();
        assert!(diag.message.contains("is a folder"), "{}", diag.message);
    }
}
