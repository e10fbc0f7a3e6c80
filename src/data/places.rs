//! Where files of a dataset are looked for: DIR/<type>/ for every DIR.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::data::LoadContext;
use crate::diag::{At, Diag};

/// Folders for dataset `kind`, in the order in which they are tried; the first is where a download goes.
pub fn places(cx: &LoadContext, kind: &str) -> Vec<PathBuf> {
    candidates(cx, std::env::var_os("NNTRAIN_DATA"), kind)
}

fn candidates(cx: &LoadContext, variable: Option<OsString>, kind: &str) -> Vec<PathBuf> {
    let variable = variable.filter(|v| !v.is_empty()).map(PathBuf::from);
    let above = parent(&cx.config_dir).join("data");
    let folders = cx.data_dir.iter().cloned().chain(variable).chain([above, beside(&cx.config_dir, "data")]);
    folders.map(|folder| folder.join(kind)).collect()
}

/// A file of dataset `kind`: where the config says, or else by its name in the folders for that kind.
pub fn find(cx: &LoadContext, kind: &str, path: &Path, at: &At) -> Result<PathBuf, Diag> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let beside = beside(&cx.config_dir, path);
    let tried: Vec<PathBuf> =
        std::iter::once(beside).chain(places(cx, kind).iter().map(|folder| folder.join(name))).collect();
    if let Some(found) = tried.iter().find(|p| p.exists()) {
        return Ok(found.clone());
    }
    let listed = tried.iter().map(|p| format!("`{}`", p.display()));
    let diag = Diag::new(format!("cannot find `{}`", path.display())).at(at);
    Err(diag.note(format!("looked for {}", listed.collect::<Vec<_>>().join(", "))))
}

/// A path as it is from a folder on; `.` is not said.
pub fn beside(folder: &Path, path: impl AsRef<Path>) -> PathBuf {
    let joined = folder.join(path);
    match joined.strip_prefix(".") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.to_path_buf(),
        _ => joined,
    }
}

/// The folder above, also for `` and `.`, which name none.
fn parent(folder: &Path) -> PathBuf {
    match (folder.file_name(), folder.parent()) {
        (Some(_), Some(parent)) => parent.to_path_buf(),
        _ => beside(folder, ".."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_places() {
        let mut cx = LoadContext {
            config_dir: "project/configs".into(),
            data_dir: Some("given".into()),
            seed: 0,
            learns_targets: true,
            threads: 1,
            allow_download: false,
            show_progress: false,
        };
        let found = candidates(&cx, Some("from_env".into()), "mnist");
        let expected = ["given/mnist", "from_env/mnist", "project/data/mnist", "project/configs/data/mnist"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(beside(Path::new("."), "./a.csv"), PathBuf::from("a.csv"));
        assert_eq!(beside(Path::new("."), "../a.csv"), PathBuf::from("../a.csv"));
        assert_eq!(beside(Path::new("./b"), "a.csv"), PathBuf::from("b/a.csv"));
        assert_eq!(beside(Path::new("b"), "/a.csv"), PathBuf::from("/a.csv"));
        assert_eq!(beside(Path::new("."), "."), PathBuf::from("./."));
        cx.data_dir = None;
        for (config_dir, first) in
            [("", "../data/mnist"), ("configs", "data/mnist"), ("/a/b", "/a/data/mnist")]
        {
            cx.config_dir = config_dir.into();
            assert_eq!(candidates(&cx, Some("".into()), "mnist")[0], PathBuf::from(first));
        }
    }
}
