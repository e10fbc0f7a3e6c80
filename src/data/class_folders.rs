//! Folders whose names are classes: what `image_folder` and `video` share.
//!
//! Samples are the first of each class, then the second of each, and so on, so that a `limit` meets all
//! classes. A folder without folders is one class: enough for what asks for none.

use std::path::{Path, PathBuf};

use crate::config::fields::Fields;
use crate::config::read::FilePath;
use crate::data::LoadContext;
use crate::data::common::Common;
use crate::data::pictures::clips::Clip;
use crate::data::pictures::folder::{self, Contents, contents, locate};
use crate::data::preprocessing::{Preprocessing, TargetEncoding};
use crate::data::split::Validation;
use crate::diag::{At, Diag, Failure, Result, suggest};

/// A folder that the config names.
#[derive(Debug)]
pub struct Place {
    pub path: String,
    pub at: At,
}

/// What is a sample in a class's folder.
pub trait Sample: Sized {
    /// What messages call several of them.
    const NAME: &str;
    /// Where files must be to be taken.
    const HOME: &str;
    /// What a folder of classes needs.
    const NEEDS: &str;
    /// Whether those of the only class may lie there without a folder for it.
    const LOOSE: bool;

    /// Those in the folder of one class, in order, and how many files were left out.
    fn find(folder: &Path) -> Result<(Vec<Self>, usize), Diag>;
}

/// A picture's file.
impl Sample for PathBuf {
    const NAME: &str = "pictures";
    const HOME: &str = "a class's folder";
    const NEEDS: &str = "it needs one folder for each class, with PNG or JPEG files inside";
    const LOOSE: bool = true;

    fn find(folder: &Path) -> Result<(Vec<PathBuf>, usize), Diag> {
        folder::pictures(folder)
    }
}

impl Sample for Clip {
    const NAME: &str = "clips";
    const HOME: &str = "a clip's folder";
    const NEEDS: &str =
        "it needs one folder for each class, with a folder of PNG or JPEG files for each clip";
    const LOOSE: bool = false;

    fn find(folder: &Path) -> Result<(Vec<Clip>, usize), Diag> {
        let Contents { folders, pictures, others } = contents(folder)?;
        let (mut clips, mut left_out) = (vec![], pictures.len() + others);
        for inside in folders {
            let (clip, others) = Clip::open(&inside)?;
            clips.push(clip);
            left_out += others;
        }
        if clips.is_empty() {
            let diag = Diag::new(format!("`{}` holds no clips", folder.display()));
            return Err(diag.hint("a clip is a folder of frames in the folder of its class"));
        }
        Ok((clips, left_out))
    }
}

/// Samples and their class numbers.
#[derive(Debug)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub labels: Vec<u32>,
}

impl<T> Listed<T> {
    /// The first of each class, then the second of each.
    fn in_turns(classes: Vec<Vec<T>>) -> Listed<T> {
        let mut listed = Listed { items: vec![], labels: vec![] };
        let mut classes: Vec<_> = (0..).zip(classes.into_iter().map(Vec::into_iter)).collect();
        while !classes.is_empty() {
            classes.retain_mut(|(class, items)| match items.next() {
                Some(item) => {
                    listed.items.push(item);
                    listed.labels.push(*class);
                    true
                }
                None => false,
            });
        }
        listed
    }

    fn truncate(&mut self, samples: usize) {
        self.items.truncate(samples);
        self.labels.truncate(samples);
    }
}

impl<T: Sample> Listed<T> {
    /// The classes' names and the samples of each, by number. Notes what was left out.
    fn of(root: &Path, notes: &mut Vec<String>) -> Result<(Vec<String>, Listed<T>)> {
        let Contents { mut folders, pictures, others } = contents(root)?;
        let mut left_out = pictures.len() + others;
        if T::LOOSE && folders.is_empty() && !pictures.is_empty() {
            (folders, left_out) = (vec![root.to_path_buf()], 0);
        }
        let names: Vec<String> = folders.iter().map(|f| folder::name(f)).collect();
        let (mut classes, mut wrong) = (vec![], vec![]);
        for inside in &folders {
            match T::find(inside) {
                Ok((found, others)) => {
                    left_out += others;
                    classes.push(found);
                }
                Err(diag) => wrong.push(diag),
            }
        }
        if !wrong.is_empty() {
            return Err(Failure::Input(wrong));
        }
        if left_out > 0 {
            notes.push(format!(
                "{}: {left_out} files were left out: no PNG or JPEG in {}",
                root.display(),
                T::HOME
            ));
        }
        Ok((names, Listed::in_turns(classes)))
    }

    /// The samples of a folder whose classes must be known.
    fn of_known(root: &Path, known: &[String], notes: &mut Vec<String>) -> Result<Listed<T>> {
        let (names, mut listed) = Listed::of(root, notes)?;
        let mut numbers = vec![];
        for name in &names {
            // Where there is one class only, its name is that of whatever folder it was.
            let only = known.len() == 1 && names.len() == 1;
            let Some(number) = known.iter().position(|k| only || k == name) else {
                let choices: Vec<&str> = known.iter().map(String::as_str).collect();
                let message = format!("`{}` is no class of the training part", root.join(name).display());
                return Err(Diag::new(message).maybe_hint(suggest(name, &choices)).into());
            };
            numbers.push(number as u32);
        }
        listed.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        if listed.items.is_empty() {
            return Err(nothing::<T>(root).into());
        }
        Ok(listed)
    }
}

fn nothing<T: Sample>(root: &Path) -> Diag {
    Diag::new(format!("`{}` holds no {} in folders of classes", root.display(), T::NAME)).hint(T::NEEDS)
}

/// `train` and `test`.
#[derive(Debug)]
pub struct ClassFolders {
    train: Place,
    test: Option<Place>,
}

/// What both parts hold.
pub struct Parts<T> {
    pub names: Vec<String>,
    pub train: Listed<T>,
    pub test: Option<Listed<T>>,
}

impl<T> Parts<T> {
    /// Samples of both parts.
    pub fn len(&self) -> usize {
        self.train.items.len() + self.test.as_ref().map_or(0, |test| test.items.len())
    }
}

impl ClassFolders {
    pub fn read(f: &mut Fields<'_>) -> ClassFolders {
        let FilePath(train) = f.key("train").required();
        let train = Place { path: train, at: f.place("train") };
        let test: Option<FilePath> = f.key("test").optional();
        let test = test.map(|FilePath(path)| Place { path, at: f.place("test") });
        ClassFolders { train, test }
    }

    /// The folders of the training and the test part.
    fn roots(&self, cx: &LoadContext, common: &Common) -> Result<(PathBuf, Option<PathBuf>), Diag> {
        let train = locate(cx, &self.train.path, &self.train.at)?;
        let test = self.test.as_ref().map(|test| locate(cx, &test.path, &test.at)).transpose()?;
        let (train, test) = match (test, inner(&train)) {
            (None, Some((inner, held_out))) => (inner, Some(held_out)),
            (test, _) => (train, test),
        };
        if test.is_none()
            && let Validation::Test = common.validation
        {
            let message = format!("validation = \"test\", but `{}` has no test part", train.display());
            let diag = Diag::new(message).at(&self.train.at);
            return Err(diag.hint("give `test = \"DIR\"`, or folders train and test, or a fraction"));
        }
        Ok((train, test))
    }

    /// Lists both parts, the training part up to its limit.
    pub fn list<T: Sample>(
        &self,
        cx: &LoadContext,
        common: &Common,
        notes: &mut Vec<String>,
    ) -> Result<Parts<T>> {
        let (train_root, test_root) = self.roots(cx, common)?;
        let (names, mut train) = Listed::of(&train_root, notes)?;
        if train.items.is_empty() {
            return Err(nothing::<T>(&train_root).at(&self.train.at).into());
        }
        train.truncate(common.limited(train.items.len()));
        let test = test_root.map(|root| Listed::of_known(&root, &names, notes)).transpose()?;
        Ok(Parts { names, train, test })
    }
}

/// The folders `train` and `test` in this one, if both are there.
fn inner(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let (train, test) = (root.join("train"), root.join("test"));
    (train.is_dir() && test.is_dir()).then_some((train, test))
}

/// Another folder of the classes that training knew, or one with `test` in it; and the classes' names.
pub fn other<T: Sample>(path: &Path, fitted: &Preprocessing) -> Result<(Vec<String>, Listed<T>)> {
    let TargetEncoding::Classes { names, .. } = &fitted.target else {
        return Err(Diag::new("the model was not trained on classes").into());
    };
    let held_out = inner(path).map(|(_, test)| test);
    let listed = Listed::of_known(held_out.as_deref().unwrap_or(path), names, &mut vec![])?;
    Ok((names.clone(), listed))
}
