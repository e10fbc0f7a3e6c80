//! The folder of a run: `config.toml`, `history.csv`, pictures, checkpoints.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::data::pictures::{Picture, codec};
use crate::diag::{Diag, Result};
use crate::files::{cannot_write, is_temporary, write_atomic, write_replacing};

/// What a run may leave in its folder.
const FILES: [&str; 6] =
    ["config.toml", "history.csv", "history.svg", "forecast.svg", "last.safetensors", "best.safetensors"];

/// The folder in it for pictures of samples, `epoch_0001.png` and so on.
const SAMPLES: &str = "samples";

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run: `dir` if given, else `runs/<name>`, or `<name>-2`, `-3`, ...
    /// where that exists. `overwrite` empties what a former run left there.
    pub fn create(dir: Option<&Path>, name: &str, overwrite: bool) -> Result<RunFolder> {
        let path = match dir {
            Some(dir) => dir.to_path_buf(),
            None if overwrite => Path::new("runs").join(name),
            None => new_numbered(Path::new("runs"), name)?,
        };
        let folder = RunFolder { path };
        if overwrite {
            folder.empty()?;
        } else if fs::read_dir(&folder.path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Diag::new(format!("the run folder {} is not empty", folder.path.display()))
                .hint(format!("go on with `nntrain fit --resume {}`, replace it with --overwrite, or name another --run-dir", folder.path.display()))
                .into());
        }
        fs::create_dir_all(&folder.path).map_err(|e| cannot_make(&folder.path, &e))?;
        folder.check_writable()?;
        Ok(folder)
    }

    /// The folder of a run that is there: the folder itself, or a checkpoint in it.
    pub fn existing(path: &Path) -> Result<RunFolder> {
        let folder = if path.is_file() {
            path.parent().unwrap_or(Path::new(".")).to_path_buf()
        } else {
            path.to_path_buf()
        };
        let folder = RunFolder { path: folder };
        if !folder.last().exists() {
            return Err(Diag::new(format!(
                "{} holds no last.safetensors to go on from",
                folder.path.display()
            ))
            .hint("--resume takes the folder of a run, such as runs/cnn_mnist")
            .into());
        }
        folder.check_writable()?;
        folder.sweep()?;
        Ok(folder)
    }

    /// Removes what a write that was killed has left behind.
    fn sweep(&self) -> Result<()> {
        remove(&self.path, is_temporary)?;
        remove(&self.samples(), is_temporary)
    }

    /// Found out before training, not after the first epoch.
    fn check_writable(&self) -> Result<()> {
        let probe = self.path.join(".writable");
        let made = File::create(&probe).and_then(|_| fs::remove_file(&probe));
        made.map_err(|e| {
            Diag::new(format!("the run folder {} is not writable: {e}", self.path.display()))
                .hint("choose another with --run-dir")
                .into()
        })
    }

    /// Removes the files of a former run, and only those.
    fn empty(&self) -> Result<()> {
        self.sweep()?;
        remove(&self.path, |path| FILES.iter().any(|name| path.ends_with(name)))?;
        remove(&self.samples(), is_sample)?;
        // Somebody's own files in it keep it.
        let _ = fs::remove_dir(self.samples());
        Ok(())
    }

    fn samples(&self) -> PathBuf {
        self.path.join(SAMPLES)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    pub fn write_config(&self, text: &str) -> Result<()> {
        // The checkpoints hold it too.
        write_replacing(&self.path.join("config.toml"), |w| w.write_all(text.as_bytes()))
    }

    /// Writes a picture, called `history.svg` or `forecast.svg`.
    pub fn write_picture(&self, name: &str, svg: &str) -> Result<()> {
        write_replacing(&self.path.join(name), |w| w.write_all(svg.as_bytes()))
    }

    /// Writes the picture of an epoch's samples, `samples/epoch_0001.png`.
    pub fn write_samples(&self, epoch: usize, picture: &Picture) -> Result<()> {
        let folder = self.samples();
        fs::create_dir_all(&folder).map_err(|e| cannot_make(&folder, &e))?;
        write_atomic(&folder.join(format!("epoch_{epoch:04}.png")), |w| codec::write_picture(w, picture))
    }

    fn history_path(&self) -> PathBuf {
        self.path.join("history.csv")
    }
}

/// Removes the files of a folder that are `unwanted`, if there is that folder.
fn remove(folder: &Path, unwanted: impl Fn(&Path) -> bool) -> Result<()> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| unwanted(path)) {
        fs::remove_file(&path).map_err(|e| cannot_write(&path, &e))?;
    }
    Ok(())
}

/// Whether a file is a picture that [`RunFolder::write_samples`] wrote.
fn is_sample(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = name.strip_prefix("epoch_").and_then(|rest| rest.strip_suffix(".png"));
    number.is_some_and(|digits| digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Makes the first of `name`, `name-2`, `name-3`, ... that is not there: two runs that start together
/// get two folders.
fn new_numbered(parent: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(|e| cannot_make(parent, &e))?;
    let numbered = (2..).map(|i| format!("{name}-{i}"));
    for candidate in std::iter::once(name.to_string()).chain(numbered) {
        let path = parent.join(candidate);
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(cannot_make(&path, &e).into()),
        }
    }
    unreachable!("some number is free")
}

fn cannot_make(path: &Path, error: &std::io::Error) -> Diag {
    Diag::new(format!("cannot make the run folder {}: {error}", path.display()))
        .hint("choose another with --run-dir")
}

/// `history.csv`: one flushed row per epoch.
#[derive(Debug)]
pub struct History {
    pub columns: Vec<String>,
    /// One per epoch; the first column is the epoch, from 1.
    pub rows: Vec<Vec<f64>>,
    file: File,
    path: PathBuf,
}

impl History {
    /// A new file with its header.
    pub fn create(folder: &RunFolder, columns: Vec<String>) -> Result<History> {
        let path = folder.history_path();
        let file = File::create(&path).map_err(|e| cannot_write(&path, &e))?;
        let mut history = History { columns, rows: vec![], file, path };
        let header = history.columns.join(",");
        history.write_line(&header)?;
        Ok(history)
    }

    /// The file of a run that goes on: cut to the first `epochs` rows.
    pub fn reopen(folder: &RunFolder, columns: Vec<String>, epochs: usize) -> Result<History> {
        if epochs == 0 {
            return History::create(folder, columns);
        }
        let path = folder.history_path();
        let text = fs::read_to_string(&path)
            .map_err(|e| Diag::new(format!("cannot read {}: {e}", path.display())))?;
        if text.lines().next() != Some(&columns.join(",")) {
            return Err(Diag::new(format!("{} does not have this run's columns", path.display())).into());
        }
        let mut rows = vec![];
        let mut kept = format!("{}\n", columns.join(","));
        for (number, line) in text.lines().enumerate().skip(1).take(epochs) {
            let cells: Option<Vec<f64>> = line.split(',').map(parse_cell).collect();
            let row = cells.filter(|r| r.len() == columns.len()).ok_or_else(|| {
                Diag::new(format!("{}:{}: not a row of this run's history", path.display(), number + 1))
            })?;
            rows.push(row);
            kept.push_str(line);
            kept.push('\n');
        }
        if rows.len() < epochs {
            return Err(Diag::new(format!(
                "{} has {} epochs, the checkpoint {epochs}",
                path.display(),
                rows.len()
            ))
            .into());
        }
        write_atomic(&path, |w| w.write_all(kept.as_bytes()))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| cannot_write(&path, &e))?;
        Ok(History { columns, rows, file, path })
    }

    /// Adds an epoch's row.
    pub fn push(&mut self, row: Vec<f64>) -> Result<()> {
        let cells: Vec<String> = row.iter().map(|v| cell(*v)).collect();
        self.write_line(&cells.join(","))?;
        self.rows.push(row);
        Ok(())
    }

    /// Brings the rows to the disk, if there are any: without them nothing is missed.
    pub fn sync(&self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.file.sync_data().map_err(|e| cannot_write(&self.path, &e))
    }

    fn write_line(&mut self, line: &str) -> Result<()> {
        // One call per row: a reader never sees half of one.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|e| cannot_write(&self.path, &e))
    }
}

/// The shortest text that reads back to the same number; empty where there is none.
fn cell(value: f64) -> String {
    if value.is_nan() { String::new() } else { format!("{value}") }
}

fn parse_cell(text: &str) -> Option<f64> {
    if text.is_empty() { Some(f64::NAN) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_reused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run");
        let run = RunFolder::create(Some(&dir), "x", false).unwrap();
        run.write_config("a = 1").unwrap();
        let again = RunFolder::create(Some(&dir), "x", false).unwrap_err();
        assert!(again.diags()[0].message.contains("is not empty"), "{}", again.diags()[0]);
        std::fs::write(dir.join(".last.safetensors.1.tmp"), "half").unwrap();
        RunFolder::create(Some(&dir), "x", true).unwrap();
        assert!(!dir.join(".last.safetensors.1.tmp").exists(), "what a killed write left is swept away");
        assert!(!dir.join("config.toml").exists());
    }

    #[test]
    fn a_former_run_s_samples_go_and_nobody_else_s() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(Some(folder.path()), "x", false).unwrap();
        let picture = Picture { height: 1, width: 1, channels: 1, pixels: vec![7] };
        run.write_samples(8, &picture).unwrap();
        run.write_samples(12345, &picture).unwrap();
        let samples = folder.path().join("samples");
        let half = samples.join(".epoch_0009.png.8509.tmp");
        fs::write(&half, "half").unwrap();
        fs::write(folder.path().join("last.safetensors"), "").unwrap();
        RunFolder::existing(folder.path()).unwrap();
        assert!(!half.exists(), "what a killed write left is swept away before a run goes on");
        assert!(samples.join("epoch_0008.png").exists());

        fs::write(samples.join("epoch_best.png"), "mine").unwrap();
        RunFolder::create(Some(folder.path()), "x", true).unwrap();
        let left: Vec<_> = fs::read_dir(&samples).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["epoch_best.png"]);
        fs::remove_file(samples.join("epoch_best.png")).unwrap();
        RunFolder::create(Some(folder.path()), "x", true).unwrap();
        assert!(!samples.exists());
    }

    #[test]
    fn history_is_cut_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(Some(folder.path()), "x", false).unwrap();
        let columns = || vec!["epoch".to_string(), "loss".to_string()];
        let mut history = History::create(&run, columns()).unwrap();
        for epoch in 1..=3 {
            history.push(vec![f64::from(epoch), 1.0 / f64::from(epoch)]).unwrap();
        }
        let mut again = History::reopen(&run, columns(), 2).unwrap();
        again.push(vec![3.0, f64::NAN]).unwrap();
        let text = fs::read_to_string(folder.path().join("history.csv")).unwrap();
        assert_eq!(text, "epoch,loss\n1,1\n2,0.5\n3,\n");
        assert!(History::reopen(&run, columns(), 4).is_err());
        // Before the first epoch there is nothing to read, whatever a failing machine left.
        fs::write(folder.path().join("history.csv"), "").unwrap();
        History::reopen(&run, columns(), 0).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("history.csv")).unwrap(), "epoch,loss\n");
    }
}
