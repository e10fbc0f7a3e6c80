//! Writing files whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::diag::{Diag, Failure, Result};

/// Writes a file so that a crash at any instant leaves the old or the new one: a temporary file
/// beside it, flushed to the disk, renamed over it, and the folder flushed too.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, true, write)
}

/// As [`write_atomic`] for what can be made again: nothing waits for the disk, so that a machine that fails
/// (not a process that is killed) may leave the file empty.
pub fn write_replacing(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, false, write)
}

fn replace(path: &Path, durable: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = io::BufWriter::with_capacity(1 << 16, File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        if durable {
            file.get_ref().sync_all()?;
        }
        fs::rename(&temporary, path)?;
        if durable { sync_folder(path) } else { Ok(()) }
    })();
    written.map_err(|e| {
        // What is left of the temporary file is of no use; that it may be gone already is no matter.
        let _ = fs::remove_file(&temporary);
        cannot_write(path, &e)
    })
}

/// The error for a file that cannot be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => {
            Some("the disk is full: free some space; nothing was left half-written")
        }
        io::ErrorKind::PermissionDenied => {
            Some("the folder is not writable: choose another with --run-dir or -o")
        }
        _ => None,
    };
    Failure::Run(
        Diag::new(format!("cannot write {}: {error}", path.display())).maybe_hint(hint.map(str::to_string)),
    )
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(|| "file".into(), |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Whether a path is one of [`write_atomic`]'s, left by a process that was killed.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with('.') && name.ends_with(".tmp")
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Folders cannot be opened as files everywhere; where they can, the rename is made durable.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"old")).unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.unwrap_err().diags()[0].hint.as_ref().unwrap().contains("disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let failed = write_atomic(&folder.path().join("no/a.txt"), |w| w.write_all(b"x"));
        assert_eq!(failed.unwrap_err().exit_code(), 1);
    }
}
