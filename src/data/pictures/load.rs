//! Many pictures into memory at once, decoded on all threads.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::files::Files;
use super::{Picture, codec, resize};
use crate::data::mistakes::Mistakes;
use crate::data::source::Fingerprint;
use crate::diag::{At, Diag, Result};
use crate::exec::machine;
use crate::kernels::par::{Pool, for_chunks};

/// Height, width, channels.
pub type Size = [usize; 3];

/// How many bytes of pixels may be kept.
#[derive(Clone, Debug)]
pub struct MemoryLimit {
    /// As the config says, in MB of 10^6 bytes; else what the machine has.
    pub megabytes: Option<usize>,
    pub at: At,
}

impl MemoryLimit {
    /// Samples that there is room for.
    pub fn room(&self, bytes_each: usize) -> usize {
        let given = self.megabytes.map(|mb| mb as u64 * 1_000_000);
        let bytes = given.or_else(|| machine::memory().map(|bytes| bytes as u64)).unwrap_or(u64::MAX);
        usize::try_from(bytes / bytes_each.max(1) as u64).unwrap_or(usize::MAX)
    }

    /// Refuses more than the limit, before anything is read; `what`: pictures or clips.
    pub fn check(&self, count: usize, what: &str, bytes_each: usize) -> Result<(), Diag> {
        let needed = count as u128 * bytes_each as u128;
        let given = self.megabytes.map(|mb| mb as u128 * 1_000_000);
        let machine = machine::memory().map(|bytes| bytes as u128);
        let Some(limit) = given.or(machine).filter(|limit| needed > *limit) else { return Ok(()) };
        let megabytes = |bytes: u128| bytes.div_ceil(1_000_000);
        let whose = if given.is_some() { "memory_limit is" } else { "this machine has" };
        let message = format!(
            "{count} {what} of {bytes_each} bytes take {} MB of memory; {whose} {} MB",
            megabytes(needed),
            limit / 1_000_000
        );
        Err(Diag::new(message).at(&self.at).hint(format!(
            "choose a smaller image_size or a `limit`{}",
            if given.is_some() { ", or raise memory_limit" } else { "" }
        )))
    }
}

/// A picture of a file, brought to the size.
pub fn read(path: &Path, size: Size) -> Result<(Vec<u8>, Picture), String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    sized(&bytes, size)
}

/// The picture at the size, and as it is stored.
fn sized(bytes: &[u8], [height, width, channels]: Size) -> Result<(Vec<u8>, Picture), String> {
    let picture = codec::decode(bytes, channels)?;
    Ok((resize::bilinear(&picture, height, width), picture))
}

/// Reads pictures to one after the other, each of `size`; keeps the first, as many as there is room for.
///
/// # Errors
/// Every file that cannot be read or decoded.
pub fn pictures(
    pool: &Pool,
    mut files: Vec<PathBuf>,
    (size, room): (Size, usize),
    fingerprint: &mut Fingerprint,
    mistakes: &mut Mistakes,
) -> (Vec<u8>, Option<Files>) {
    let keep = (room.min(files.len()), size.iter().product());
    let kept = first(pool, &files, keep, fingerprint, mistakes, |_, bytes| Ok(sized(bytes, size)?.0));
    let others = files.split_off(keep.0);
    (kept, (!others.is_empty()).then(|| Files::new(others, size)))
}

/// Reads files to `width` bytes each, made by `decode` of the file's number and contents. The fingerprint
/// takes in what each file holds.
pub fn all(
    pool: &Pool,
    files: &[PathBuf],
    width: usize,
    fingerprint: &mut Fingerprint,
    mistakes: &mut Mistakes,
    decode: impl Fn(usize, &[u8]) -> Result<Vec<u8>, String> + Sync,
) -> Vec<u8> {
    first(pool, files, (files.len(), width), fingerprint, mistakes, decode)
}

/// As [`all`], but keeps only the first `keep` of them.
fn first(
    pool: &Pool,
    files: &[PathBuf],
    (keep, width): (usize, usize),
    fingerprint: &mut Fingerprint,
    mistakes: &mut Mistakes,
    decode: impl Fn(usize, &[u8]) -> Result<Vec<u8>, String> + Sync,
) -> Vec<u8> {
    let mut kept = vec![0; keep * width];
    let outcomes: Vec<OnceLock<Result<[u8; 32], String>>> = files.iter().map(|_| OnceLock::new()).collect();
    let one = |i: usize, out: Option<&mut [u8]>| {
        let bytes = std::fs::read(&files[i]).map_err(|e| format!("cannot be read: {e}"));
        let outcome = bytes.and_then(|bytes| {
            let decoded = decode(i, &bytes)?;
            if let Some(out) = out {
                out.copy_from_slice(&decoded);
            }
            Ok(Sha256::digest(&bytes).into())
        });
        // Each number comes once.
        let _ = outcomes[i].set(outcome);
    };
    for_chunks(pool, &mut kept, width, |i, out| one(i, Some(out)));
    pool.run(files.len() - keep, |i| one(keep + i, None));
    for (path, outcome) in files.iter().zip(outcomes) {
        match outcome.into_inner().expect("every file was read") {
            Ok(digest) => fingerprint.update(&digest),
            Err(why) => mistakes.push_with(|| Diag::new(format!("`{}` {why}", path.display()))),
        }
    }
    kept
}

/// Threads that a pool for reading may have where nobody says how many.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
