//! IDX files: `00 00 08 rank`, then `rank` big-endian 32-bit sizes, then bytes (LeCun, the MNIST page).
//!
//! Everything is checked before anything is believed: magic, sizes, and that the file is exactly
//! as long as its header says.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::data::source::{Fingerprint, open};
use crate::diag::Diag;

/// What an IDX file is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Labels = 1,
    Images = 3,
}

impl Holds {
    fn word(self) -> &'static str {
        match self {
            Holds::Labels => "labels",
            Holds::Images => "images",
        }
    }

    fn header_bytes(self) -> usize {
        4 + 4 * self as usize
    }
}

/// A file, plain or compressed.
#[derive(Clone, Debug)]
pub struct IdxFile {
    pub path: PathBuf,
    pub compressed: bool,
}

/// Sizes (count, and for images rows and columns) and the bytes behind the header.
#[derive(Debug, PartialEq, Eq)]
pub struct Idx {
    pub sizes: Vec<usize>,
    pub data: Vec<u8>,
}

impl IdxFile {
    /// `name` or `name.gz` in a folder; the plain one is preferred.
    pub fn find(folder: &Path, name: &str) -> Option<IdxFile> {
        let plain = folder.join(name);
        let compressed = folder.join(format!("{name}.gz"));
        if plain.is_file() {
            return Some(IdxFile { path: plain, compressed: false });
        }
        compressed.is_file().then_some(IdxFile { path: compressed, compressed: true })
    }

    fn reader(&self) -> Result<Box<dyn Read>, Diag> {
        let file: File = open(&self.path)?;
        Ok(match self.compressed {
            true => Box::new(MultiGzDecoder::new(file)),
            false => Box::new(file),
        })
    }

    /// Reads all of it. The fingerprint gets the bytes as they are uncompressed.
    pub fn read(&self, holds: Holds, fingerprint: &mut Fingerprint) -> Result<Idx, Diag> {
        let mut bytes = vec![];
        let read = fingerprint.over(self.reader()?).read_to_end(&mut bytes);
        read.map_err(|error| self.unreadable(&error))?;
        let sizes = self.check(&bytes, bytes.len() as u64, holds)?;
        bytes.drain(..holds.header_bytes());
        Ok(Idx { sizes, data: bytes })
    }

    /// Checks all of it and keeps nothing but the sizes.
    pub fn inspect(&self, holds: Holds, fingerprint: &mut Fingerprint) -> Result<Vec<usize>, Diag> {
        let mut reader = fingerprint.over(self.reader()?);
        let mut header = vec![];
        let start = (&mut reader).take(holds.header_bytes() as u64).read_to_end(&mut header);
        let rest = start.and_then(|_| io::copy(&mut reader, &mut io::sink()));
        let rest = rest.map_err(|error| self.unreadable(&error))?;
        self.check(&header, header.len() as u64 + rest, holds)
    }

    fn unreadable(&self, error: &io::Error) -> Diag {
        let name = self.path.display();
        match self.compressed {
            true => Diag::new(format!("`{name}` is no complete gzip file: {error}"))
                .hint("delete it and get it again"),
            false => Diag::new(format!("cannot read `{name}`: {error}")),
        }
    }

    /// `total`: length of the whole file, uncompressed.
    fn check(&self, start: &[u8], total: u64, holds: Holds) -> Result<Vec<usize>, Diag> {
        let (name, what) = (self.path.display(), holds.word());
        let header = holds.header_bytes();
        let magic = [0, 0, 8, holds as u8];
        if start.len() < 4 || start[..4] != magic {
            return Err(self.wrong_magic(&start[..start.len().min(4)], holds));
        }
        if start.len() < header {
            return Err(Diag::new(format!(
                "`{name}` is cut off: {total} bytes, and the header of {what} alone has {header}"
            )));
        }
        let sizes: Vec<usize> = start[4..header]
            .chunks_exact(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
            .collect();
        let numbers: u128 = sizes.iter().map(|s| *s as u128).product();
        if numbers == 0 {
            return Err(Diag::new(format!("`{name}` holds no {what}: its header says {}", by(&sizes))));
        }
        let expected = numbers + header as u128;
        if expected != u128::from(total) {
            let wrong = if u128::from(total) < expected { "is cut off" } else { "is too long" };
            let message =
                format!("`{name}` {wrong}: {} {what} make {expected} bytes, it has {total}", by(&sizes));
            return Err(Diag::new(message).hint("delete it and get it again"));
        }
        Ok(sizes)
    }

    fn wrong_magic(&self, found: &[u8], holds: Holds) -> Diag {
        let (name, what) = (self.path.display(), holds.word());
        let hex: Vec<String> = found.iter().map(|b| format!("{b:02x}")).collect();
        let wanted = holds as u8;
        let message = format!(
            "`{name}` is no IDX file of {what}: it begins with {}, expected 00 00 08 0{wanted}",
            if hex.is_empty() { "nothing".to_string() } else { hex.join(" ") }
        );
        let hint = match found {
            [0x1f, 0x8b, ..] => Some("it is compressed: its name must end in .gz"),
            [0, 0, 8, 1] => Some("it holds labels: are the names of two files swapped?"),
            [0, 0, 8, 3] => Some("it holds images: are the names of two files swapped?"),
            [b'<', ..] => Some("it looks like a web page: delete it and get the file again"),
            _ => None,
        };
        Diag::new(message).maybe_hint(hint.map(str::to_string))
    }
}

fn by(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::data::testing::Folder;

    /// An IDX file's bytes.
    pub fn bytes(sizes: &[u32], data: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
        let mut out = vec![];
        encoder.read_to_end(&mut out).unwrap();
        out
    }

    fn read(folder: &Folder, content: &[u8], holds: Holds) -> Result<Idx, Diag> {
        let path = folder.write("f", content);
        let file = IdxFile { path, compressed: false };
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        let read = file.read(holds, &mut one);
        let inspected = file.inspect(holds, &mut other);
        match (&read, inspected) {
            (Ok(idx), Ok(sizes)) => {
                assert_eq!((&idx.sizes, one.hex()), (&sizes, other.hex()));
            }
            (Err(one), Err(other)) => assert_eq!(one.message, other.message),
            (read, inspected) => panic!("{read:?} but {inspected:?}"),
        }
        read
    }

    #[test]
    fn plain_and_compressed_give_the_same() {
        let folder = Folder::new();
        let content = bytes(&[2, 2, 3], 0..12);
        let plain = read(&folder, &content, Holds::Images).unwrap();
        assert_eq!((plain.sizes.as_slice(), plain.data.len()), (&[2, 2, 3][..], 12));
        let path = folder.write("g.gz", gzip(&content));
        let file = IdxFile::find(path.parent().unwrap(), "g").unwrap();
        assert!(file.compressed);
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        assert_eq!(file.read(Holds::Images, &mut one).unwrap(), plain);
        other.update(&content);
        assert_eq!(one.hex(), other.hex());
        let cut = folder.write("h.gz", &gzip(&content)[..20]);
        let diag = IdxFile { path: cut, compressed: true }.read(Holds::Images, &mut Fingerprint::default());
        assert!(diag.unwrap_err().message.contains("no complete gzip file"));
    }

    #[test]
    fn files_that_are_not_what_they_should_be() {
        let folder = Folder::new();
        let images = bytes(&[2, 2, 3], 0..12);
        for (content, part) in [
            (vec![], "begins with nothing"),
            (b"<html>".to_vec(), "begins with 3c 68 74 6d, expected 00 00 08 03"),
            (bytes(&[12], 0..12), "begins with 00 00 08 01"),
            (gzip(&images), "begins with 1f 8b"),
            (images[..10].to_vec(), "is cut off: 10 bytes, and the header of images alone has 16"),
            (images[..20].to_vec(), "is cut off: 2 x 2 x 3 images make 28 bytes, it has 20"),
            ([images.clone(), vec![0]].concat(), "is too long: 2 x 2 x 3 images make 28 bytes, it has 29"),
            (bytes(&[0, 2, 3], 0..0), "holds no images: its header says 0 x 2 x 3"),
            (bytes(&[u32::MAX; 3], 0..0), "is cut off: 4294967295 x"),
        ] {
            let diag = read(&folder, &content, Holds::Images).unwrap_err();
            assert!(diag.message.contains(part) && diag.message.contains("f`"), "{}", diag.message);
        }
    }
}
