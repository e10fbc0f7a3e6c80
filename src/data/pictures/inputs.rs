//! What `predict` is given in files: pictures, or clips as folders of them.
//!
//! Pictures are a folder of them, one file, or a CSV with a column `file`. Clips are a folder of frames, a
//! folder in which there are such folders, however deep, or a CSV with a column `clip`.

use std::path::{Path, PathBuf};

use super::clips::{Clip, Frames};
use super::folder::{Contents, ENDINGS, contents, is_picture, pictures};
use crate::data::mistakes::Mistakes;
use crate::data::records::Records;
use crate::data::source::open;
use crate::diag::{At, Diag, Result};

/// Samples in the order in which they are predicted.
#[derive(Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The column of their names: `file` or `clip`.
    pub column: &'static str,
    /// What the predictions call each: the path below the folder, or what the list says.
    pub names: Vec<String>,
    pub files: Vec<PathBuf>,
    /// Files of a sample: one picture, or the frames of a clip.
    pub files_each: usize,
    /// Where a list names each sample; none of a folder, or of a file.
    pub places: Vec<At>,
    /// The only one was given by itself: its name says where it was found.
    pub alone: bool,
}

impl Inputs {
    /// None where the input is no picture, folder or list: rows of pixels.
    ///
    /// # Errors
    /// A folder or a list without pictures, a list's row without a file.
    pub fn pictures(input: &Path) -> Result<Option<Inputs>> {
        let alone = !input.is_dir() && is_picture(input);
        let (names, files, places) = if input.is_dir() {
            of_folder(input)?
        } else if alone {
            (vec![input.display().to_string()], vec![input.to_path_buf()], vec![])
        } else {
            let Some(found) = of_list(input, "file")? else { return Ok(None) };
            found
        };
        Ok(Some(Inputs { column: "file", names, files, files_each: 1, places, alone }))
    }

    /// None where the input is no folder or list: rows of pixels.
    ///
    /// # Errors
    /// A folder or a list without clips, a list's row without a clip, clips with too few frames, a picture.
    pub fn clips(input: &Path, frames: Frames) -> Result<Option<Inputs>> {
        if !input.is_dir() && is_picture(input) {
            let diag = Diag::new(format!("`{}` is one picture, but this model takes clips", input.display()));
            return Err(diag.hint("a clip is a folder of frames").into());
        }
        let (mut files, mut mistakes) = (vec![], Mistakes::default());
        let (names, clips, places) = if input.is_dir() {
            clips_below(input)?
        } else {
            let Some((names, folders, places)) = of_list(input, "clip")? else { return Ok(None) };
            let mut clips = vec![];
            for (folder, place) in folders.iter().zip(&places) {
                match Clip::open(folder) {
                    Ok((clip, _)) => clips.push(clip),
                    Err(diag) => mistakes.push(diag.at(place)),
                }
            }
            (names, clips, places)
        };
        mistakes.finish()?;
        let mut mistakes = Mistakes::default();
        for (i, clip) in clips.iter().enumerate() {
            match frames.choose(clip) {
                Ok(chosen) => files.extend(chosen),
                Err(diag) => mistakes.push(places.get(i).map_or(diag.clone(), |place| diag.at(place))),
            }
        }
        mistakes.finish()?;
        let files_each = frames.count;
        Ok(Some(Inputs { column: "clip", names, files, files_each, places, alone: false }))
    }
}

/// Names, files or folders, and where a list names them.
type Named<T> = (Vec<String>, Vec<T>, Vec<At>);

/// A path as it is below a folder.
fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// The folder itself if it holds frames, and those in it that do.
fn clips_below(folder: &Path) -> Result<Named<Clip>> {
    let (mut open, mut found) = (vec![folder.to_path_buf()], vec![]);
    while let Some(inside) = open.pop() {
        let Contents { folders, pictures, .. } = contents(&inside)?;
        if !pictures.is_empty() {
            found.push(Clip::open(&inside)?.0);
        }
        open.extend(folders);
    }
    if found.is_empty() {
        let diag = Diag::new(format!("`{}` holds no clips", folder.display()));
        let hint = format!("a clip is a folder of frames, files that end in {}", ENDINGS.join(", "));
        return Err(diag.hint(hint).into());
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    let name = |clip: &Clip| match clip.folder == folder {
        true => folder.display().to_string(),
        false => below(folder, &clip.folder),
    };
    Ok((found.iter().map(name).collect(), found, vec![]))
}

fn of_folder(folder: &Path) -> Result<Named<PathBuf>> {
    let (files, _) = pictures(folder)?;
    if files.is_empty() {
        let diag = Diag::new(format!("`{}` holds no pictures", folder.display()));
        return Err(diag.hint(format!("pictures are files that end in {}", ENDINGS.join(", "))).into());
    }
    Ok((files.iter().map(|file| below(folder, file)).collect(), files, vec![]))
}

/// A column of paths in a CSV, which start at its folder; None if it has no such column.
fn of_list(list: &Path, column: &str) -> Result<Option<Named<PathBuf>>> {
    if list == Path::new("-") {
        return Ok(None);
    }
    let mut records = Records::new(open(list)?, list, b',');
    let Some(first) = records.next()? else { return Ok(None) };
    let Some(place) = first.header(true).find(column) else { return Ok(None) };
    let folder = list.parent().unwrap_or(Path::new(""));
    let (mut found, mut mistakes) = (Named::default(), Mistakes::default());
    while let Some(row) = records.next()? {
        if row.len() <= place || row.cell(place).is_empty() {
            let diag = Diag::new(format!("this row names no {column}"));
            mistakes.push(diag.at(&row.at(place.min(row.len() - 1))));
            continue;
        }
        found.0.push(row.cell(place).to_string());
        found.1.push(folder.join(row.cell(place)));
        found.2.push(row.at(place));
    }
    mistakes.finish()?;
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::Folder;

    #[test]
    fn a_folder_a_file_a_list_and_rows_of_pixels() {
        let folder = Folder::new();
        let picture = folder.write("in/b/2.png", "");
        folder.write("in/a.jpg", "");
        let list = folder.write("list.csv", "id,file\n7,in/a.jpg\n8,in/b/2.png\n");
        let rows = folder.write("rows.csv", "pixel_0_0\n3\n");
        let root = folder.context().config_dir;
        let names = |path: &Path| Inputs::pictures(path).unwrap().map(|found| found.names);
        assert_eq!(names(&root.join("in")).unwrap(), ["a.jpg", "b/2.png"]);
        assert_eq!(names(&picture).unwrap(), [picture.display().to_string()]);
        let listed = Inputs::pictures(&list).unwrap().unwrap();
        assert_eq!(listed.names, ["in/a.jpg", "in/b/2.png"]);
        assert_eq!(listed.files[1], picture);
        assert!(listed.places[1].to_string().ends_with("list.csv:3:3"), "{}", listed.places[1]);
        assert_eq!((names(&rows), names(Path::new("-"))), (None, None));
        folder.write("none/x.txt", "");
        assert!(Inputs::pictures(&root.join("none")).unwrap_err().diags()[0].message.contains("no pictures"));
        let bad = folder.write("bad.csv", "id,file\n7,\n");
        assert!(Inputs::pictures(&bad).unwrap_err().diags()[0].message.contains("names no file"));
    }
    #[test]
    fn clips_are_folders_that_hold_frames() {
        let folder = Folder::new();
        for name in
            ["in/b/one/2.png", "in/b/one/10.png", "in/a/1.jpg", "in/a/2.jpg", "in/a/3.jpg", "in/x.txt"]
        {
            folder.write(name, "");
        }
        let root = folder.context().config_dir;
        let frames = Frames { count: 2, step: None };
        let found =
            |path: &Path| Inputs::clips(path, frames).unwrap().map(|found| (found.names, found.files));
        let files = ["in/a/1.jpg", "in/a/3.jpg", "in/b/one/2.png", "in/b/one/10.png"].map(|f| root.join(f));
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(found(&root.join("in")).unwrap(), (names(&["a", "b/one"]), files.to_vec()));
        let one = root.join("in/b/one");
        assert_eq!(found(&one).unwrap(), (vec![one.display().to_string()], files[2..].to_vec()));
        let list = folder.write("list.csv", "id,clip\n7,in/b/one\n");
        assert_eq!(found(&list).unwrap(), (names(&["in/b/one"]), files[2..].to_vec()));
        let rows = folder.write("rows.csv", "pixel0\n7\n");
        assert_eq!(found(&rows), None);
        folder.write("list.csv", "id,clip\n7,in/nowhere\n");
        for (path, count, part) in [
            (root.join("in/a/1.jpg"), 2, "is one picture, but this model takes clips"),
            (root.join("in"), 3, "b/one` has 2 frames, 3 are needed"),
            (list, 2, "cannot read the folder"),
            (folder.write("empty/x.txt", "").parent().unwrap().to_path_buf(), 2, "holds no clips"),
        ] {
            let failure = Inputs::clips(&path, Frames { count, step: None }).unwrap_err();
            assert!(failure.diags()[0].message.contains(part), "{part}: {failure:?}");
        }
    }
}
