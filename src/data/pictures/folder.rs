//! Which pictures a folder holds.

use std::fs::read_dir;
use std::path::{Path, PathBuf};

use crate::data::LoadContext;
use crate::data::places::{beside, places};
use crate::diag::{At, Diag};

/// Endings of files that are taken for pictures.
pub const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Whether the file's name is that of a picture.
pub fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

/// What stands in a folder, in the order of names; hidden things aside.
#[derive(Debug, Default)]
pub struct Contents {
    pub folders: Vec<PathBuf>,
    pub pictures: Vec<PathBuf>,
    /// Files that are not taken for pictures.
    pub others: usize,
}

/// Looks into one folder.
pub fn contents(folder: &Path) -> Result<Contents, Diag> {
    let cannot = |e: std::io::Error| Diag::new(format!("cannot read the folder `{}`: {e}", folder.display()));
    let mut found = Contents::default();
    for entry in read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            found.folders.push(path);
        } else if is_picture(&path) {
            found.pictures.push(path);
        } else {
            found.others += 1;
        }
    }
    found.folders.sort();
    found.pictures.sort();
    Ok(found)
}

/// All pictures in a folder and the folders in it, in the order of their paths, and how many files
/// were left out.
pub fn pictures(folder: &Path) -> Result<(Vec<PathBuf>, usize), Diag> {
    let Contents { folders, mut pictures, mut others } = contents(folder)?;
    for inner in folders {
        let (more, left_out) = self::pictures(&inner)?;
        pictures.extend(more);
        others += left_out;
    }
    pictures.sort();
    Ok((pictures, others))
}

/// A folder's own name.
pub fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// The folder that the config names: beside the config, or else where datasets are looked for.
pub fn locate(cx: &LoadContext, path: &str, at: &At) -> Result<PathBuf, Diag> {
    let mut tried = vec![beside(&cx.config_dir, path)];
    if Path::new(path).is_relative() {
        tried.extend(places(cx, path));
    }
    if let Some(found) = tried.iter().find(|p| p.is_dir()) {
        return Ok(found.clone());
    }
    let diag = Diag::new(match tried.iter().find(|p| p.exists()) {
        Some(file) => format!("`{}` is a file, expected a folder", file.display()),
        None => format!("there is no folder `{path}`"),
    });
    let list: Vec<String> = tried.iter().map(|p| format!("`{}`", p.display())).collect();
    Err(diag.at(at).note(format!("looked for {}", list.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::Folder;
    use crate::diag::Source;

    #[test]
    fn pictures_in_order_and_the_rest_counted() {
        let folder = Folder::new();
        for name in ["b/2.PNG", "b/1.jpeg", "a.jpg", "b/notes.txt", ".hidden.png", "b/.x/3.png"] {
            folder.write(name, "");
        }
        let root = folder.context().config_dir;
        let (found, others) = pictures(&root).unwrap();
        let names: Vec<_> = found.iter().map(|p| p.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!((names, others), (vec!["a.jpg", "b/1.jpeg", "b/2.PNG"], 1));
    }

    #[test]
    fn a_folder_is_looked_for_beside_the_config_and_among_the_data() {
        let (config, data) = (Folder::new(), Folder::new());
        data.write("cats/a.png", "");
        config.write("dogs", "");
        let cx = LoadContext { data_dir: Some(data.context().config_dir), ..config.context() };
        let at = At::new(&Source::new("c.toml", "x"), 0..1);
        assert_eq!(locate(&cx, "cats", &at).unwrap(), data.context().config_dir.join("cats"));
        assert!(locate(&cx, "cows", &at).unwrap_err().message.contains("no folder `cows`"));
        assert!(locate(&cx, "dogs", &at).unwrap_err().message.contains("is a file"));
    }
}
