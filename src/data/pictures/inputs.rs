//! The pictures that `predict` is given: a folder of them, one file, or a CSV with a column `file`.

use std::path::{Path, PathBuf};

use super::folder::{ENDINGS, is_picture, pictures};
use crate::data::mistakes::Mistakes;
use crate::data::records::Records;
use crate::data::source::open;
use crate::diag::{Diag, Result};

/// Pictures in the order in which they are predicted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    pub files: Vec<PathBuf>,
    /// What the predictions call them: the path below the folder, or what the list says.
    pub names: Vec<String>,
}

impl Inputs {
    /// None where the input is no picture, folder or list: rows of pixels.
    ///
    /// # Errors
    /// A folder or a list without pictures, a list's row without a file.
    pub fn find(input: &Path) -> Result<Option<Inputs>> {
        if input.is_dir() {
            return of_folder(input).map(Some);
        }
        if is_picture(input) {
            let names = vec![input.display().to_string()];
            return Ok(Some(Inputs { files: vec![input.to_path_buf()], names }));
        }
        if input == Path::new("-") { Ok(None) } else { of_list(input) }
    }
}

fn of_folder(folder: &Path) -> Result<Inputs> {
    let (files, _) = pictures(folder)?;
    if files.is_empty() {
        let diag = Diag::new(format!("`{}` holds no pictures", folder.display()));
        return Err(diag.hint(format!("pictures are files that end in {}", ENDINGS.join(", "))).into());
    }
    let name = |file: &PathBuf| file.strip_prefix(folder).unwrap_or(file).display().to_string();
    Ok(Inputs { names: files.iter().map(name).collect(), files })
}

/// The column `file` of a CSV; paths start at the CSV's folder.
fn of_list(list: &Path) -> Result<Option<Inputs>> {
    let mut records = Records::new(open(list)?, list, b',');
    let Some(first) = records.next()? else { return Ok(None) };
    let Some(column) = first.header(true).find("file") else { return Ok(None) };
    let folder = list.parent().unwrap_or(Path::new(""));
    let (mut found, mut mistakes) = (Inputs::default(), Mistakes::default());
    while let Some(row) = records.next()? {
        if row.len() <= column || row.cell(column).is_empty() {
            mistakes.push(Diag::new("this row names no file").at(&row.at(column.min(row.len() - 1))));
            continue;
        }
        found.files.push(folder.join(row.cell(column)));
        found.names.push(row.cell(column).to_string());
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
        let names = |path: &Path| Inputs::find(path).unwrap().map(|found| found.names);
        assert_eq!(names(&root.join("in")).unwrap(), ["a.jpg", "b/2.png"]);
        assert_eq!(names(&picture).unwrap(), [picture.display().to_string()]);
        let listed = Inputs::find(&list).unwrap().unwrap();
        assert_eq!(listed.names, ["in/a.jpg", "in/b/2.png"]);
        assert_eq!(listed.files[1], picture);
        assert_eq!((names(&rows), names(Path::new("-"))), (None, None));
        folder.write("none/x.txt", "");
        assert!(Inputs::find(&root.join("none")).unwrap_err().diags()[0].message.contains("no pictures"));
        let bad = folder.write("bad.csv", "id,file\n7,\n");
        assert!(Inputs::find(&bad).unwrap_err().diags()[0].message.contains("names no file"));
    }
}
