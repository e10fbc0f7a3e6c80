//! What the tests of datasets share: reading keys, a folder that goes away, a load context.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::fields::Fields;
use crate::config::tree::parse;
use crate::config::write::Plain;
use crate::data::{DATASETS, DatasetSpec, LoadContext};
use crate::diag::{At, Diag, Source};

/// Reads the keys in `text`; returns what was read, the filled-in keys and the mistakes.
pub fn fields<R>(
    text: &str,
    read: impl FnOnce(&mut Fields<'_>) -> R,
) -> (R, Vec<(String, Plain)>, Vec<Diag>) {
    let source = Source::new("config.toml", text);
    let table = parse(&source).unwrap();
    let mut diags = vec![];
    let mut fields = Fields::new(&table, &At::new(&source, 0..1), "`[dataset]`", &mut diags);
    let result = read(&mut fields);
    let resolved = fields.finish();
    (result, resolved, diags)
}

/// The dataset of `d = { type = ..., ... }`, or the mistakes in it.
pub fn dataset(keys: &str) -> Result<Box<dyn DatasetSpec>, Vec<Diag>> {
    let source = Source::new("config.toml", format!("d = {{ {keys} }}"));
    let table = parse(&source).unwrap();
    let mut diags = vec![];
    DATASETS.read(&table.entries[0].value, &mut diags).map(|(spec, _)| spec).ok_or(diags)
}

/// A folder for one test, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nntrain-data-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file, with the folders it needs.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A context whose config and data folders are this one; nothing is downloaded.
    pub fn context(&self) -> LoadContext {
        LoadContext {
            config_dir: self.0.clone(),
            data_dir: Some(self.0.clone()),
            seed: 1,
            learns_targets: true,
            threads: 2,
            allow_download: false,
            show_progress: false,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}
