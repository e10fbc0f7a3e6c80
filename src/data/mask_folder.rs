//! `image_folder` with `task = "segment"`: a folder of pictures and one of masks.
//!
//! ```toml
//! [dataset]
//! type = "image_folder"
//! task = "segment"
//! images = "pets/images"      # PNG or JPEG
//! masks = "pets/masks"        # PNG of the same names: a class number for each pixel
//! classes = ["background", "cat", "dog"]
//! ignore_class = 255
//! ```
//!
//! Pictures become the size by bilinear mixing, masks by the nearest pixel. Pictures that have no mask
//! are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::config::fields::Fields;
use crate::config::read::{FilePath, Read, Wrong};
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::data::class_folders::Place;
use crate::data::common::Common;
use crate::data::image_folder::{read_memory, read_size};
use crate::data::images::PixelScale;
use crate::data::mistakes::Mistakes;
use crate::data::pictures::folder::{locate, pictures};
use crate::data::pictures::load::{self, MemoryLimit};
use crate::data::pictures::{codec, resize};
use crate::data::preprocessing::Preprocessing;
use crate::data::segments::{Masked, Segments};
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::{Diag, Result};
use crate::kernels::par::Pool;

#[derive(Debug)]
pub struct MaskFolder {
    train: Folders,
    test: Option<Folders>,
    memory: MemoryLimit,
    segments: Segments,
}

/// Where pictures and their masks are.
#[derive(Debug)]
struct Folders {
    images: Place,
    masks: Place,
}

/// Names by class number; a count stands for numbers as names.
struct Classes(Vec<String>);

impl Read for Classes {
    fn read(value: &Value) -> Result<Classes, Wrong> {
        let names = match value.data {
            Data::Int(_) => (0..usize::read(value)?.min(257)).map(|class| class.to_string()).collect(),
            Data::Array(_) => Vec::read(value)?,
            _ => return Err(Wrong::expected("the classes' names, or how many there are", value)),
        };
        match names.len() {
            2..=256 => Ok(Classes(names)),
            n => Err(Wrong::new(format!(
                "must be 2 to 256 classes, got {}",
                if n > 256 { "more".into() } else { n.to_string() }
            ))),
        }
    }

    fn write(&self) -> Plain {
        self.0.write()
    }

    fn blank() -> Classes {
        Classes(vec![])
    }
}

impl MaskFolder {
    pub fn read(f: &mut Fields<'_>) -> MaskFolder {
        let mut place = |key| {
            let FilePath(path) = f.key(key).required();
            Place { path, at: f.place(key) }
        };
        let train = Folders { images: place("images"), masks: place("masks") };
        let has_test = f.has("test_images") || f.has("test_masks");
        let mut place = |key| {
            let FilePath(path) = f.key(key).required();
            Place { path, at: f.place(key) }
        };
        let test = has_test.then(|| Folders { images: place("test_images"), masks: place("test_masks") });
        if !has_test {
            f.allow("test_images");
            f.allow("test_masks");
        }
        let Classes(names) = f.key("classes").required();
        let ignore: Option<usize> = f.key("ignore_class").within(0, 256).optional();
        let segments = Segments {
            size: read_size(f),
            scale: f.key("normalize").or(PixelScale::Unit),
            names,
            ignore: ignore.map(|class| class as u8),
            common: Common::read(f, Offers { test: has_test, columns: false }),
        };
        MaskFolder { train, test, memory: read_memory(f), segments }
    }
}

/// A picture's path below its folder, without its ending.
fn key(folder: &Path, file: &Path) -> PathBuf {
    file.strip_prefix(folder).unwrap_or(file).with_extension("")
}

/// Pictures and their masks in the same order.
struct Pairs {
    images: Vec<PathBuf>,
    masks: Vec<PathBuf>,
}

impl Pairs {
    fn find(images: &Path, masks: &Path, notes: &mut Vec<String>) -> Result<Pairs> {
        let (files, _) = pictures(images)?;
        let mut pictures_of: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut mistakes = Mistakes::default();
        for file in files {
            if let Some(other) = pictures_of.insert(key(images, &file), file.clone()) {
                let (a, b) = (other.display(), file.display());
                mistakes.push(Diag::new(format!("`{a}` and `{b}` would have the same mask")));
            }
        }
        let (mut found, all) = (Pairs { images: vec![], masks: vec![] }, pictures_of.len());
        for mask in pictures(masks)?.0 {
            match pictures_of.remove(&key(masks, &mask)) {
                Some(image) => {
                    found.images.push(image);
                    found.masks.push(mask);
                }
                None => mistakes.push_with(|| {
                    let message = format!(
                        "`{}` is a mask without its picture in `{}`",
                        mask.display(),
                        images.display()
                    );
                    Diag::new(message)
                }),
            }
        }
        mistakes.finish()?;
        if found.masks.is_empty() {
            let diag = Diag::new(format!("`{}` holds no masks", masks.display()));
            return Err(diag.hint("masks are PNG files with the names of their pictures").into());
        }
        if found.images.len() < all {
            let without = all - found.images.len();
            notes.push(format!("{}: {without} pictures were left out: they have no mask", images.display()));
        }
        Ok(found)
    }
}

/// How many of a list are named.
const NAMED: usize = 8;

/// A list, whose end is counted where it is long.
fn shortened(items: &[String]) -> String {
    let more = items.len().saturating_sub(NAMED);
    let named = items[..items.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

impl Segments {
    /// Decodes pictures and masks.
    fn decode(
        &self,
        pool: &Pool,
        pairs: &Pairs,
        fingerprint: &mut Fingerprint,
        mistakes: &mut Mistakes,
    ) -> Masked {
        let [height, width, channels] = self.size;
        let stored: Vec<OnceLock<[usize; 2]>> = pairs.images.iter().map(|_| OnceLock::new()).collect();
        let pixels =
            load::all(pool, &pairs.images, height * width * channels, fingerprint, mistakes, |i, bytes| {
                let picture = codec::decode(bytes, channels)?;
                // Each number comes once.
                let _ = stored[i].set([picture.height, picture.width]);
                Ok(resize::bilinear(&picture, height, width))
            });
        let unknown: Vec<OnceLock<Vec<u8>>> = pairs.masks.iter().map(|_| OnceLock::new()).collect();
        let masks = load::all(pool, &pairs.masks, height * width, fingerprint, mistakes, |i, bytes| {
            let mask = codec::decode_mask(bytes)?;
            if let Some([h, w]) = stored[i].get().filter(|size| **size != [mask.height, mask.width]) {
                return Err(format!(
                    "has {} x {} pixels, its picture has {h} x {w}",
                    mask.height, mask.width
                ));
            }
            let _ = unknown[i].set(self.unknown(&mask.pixels));
            Ok(resize::nearest(&mask, height, width))
        });
        let wrong = pairs.masks.iter().zip(&unknown);
        let wrong = wrong.filter_map(|(file, classes)| Some((file, classes.get()?)));
        let wrong: Vec<(&PathBuf, &Vec<u8>)> = wrong.filter(|(_, classes)| !classes.is_empty()).collect();
        if !wrong.is_empty() {
            mistakes.push(self.unknown_classes(&wrong));
        }
        Masked { pixels, masks }
    }

    /// The numbers in a mask that are no class, each once.
    fn unknown(&self, mask: &[u8]) -> Vec<u8> {
        let mut there = [false; 256];
        mask.iter().for_each(|class| there[usize::from(*class)] = true);
        let known = |class: u8| usize::from(class) < self.names.len() || self.ignore == Some(class);
        (0..=255u8).filter(|class| there[usize::from(*class)] && !known(*class)).collect()
    }

    /// One mistake for all masks with numbers that are no class: what is wrong with one is wrong with many.
    fn unknown_classes(&self, wrong: &[(&PathBuf, &Vec<u8>)]) -> Diag {
        let mut classes: Vec<u8> = wrong.iter().flat_map(|(_, classes)| classes.iter().copied()).collect();
        classes.sort_unstable();
        classes.dedup();
        let numbers: Vec<String> = classes.iter().map(u8::to_string).collect();
        let word = if classes.len() == 1 { "class" } else { "classes" };
        let found =
            format!("pixels of {word} {}, classes are 0 to {}", shortened(&numbers), self.names.len() - 1);
        let files: Vec<String> = wrong.iter().map(|(file, _)| format!("`{}`", file.display())).collect();
        let diag = match &files[..] {
            [file] => Diag::new(format!("{file} has {found}")),
            _ => Diag::new(format!("{} masks have {found}", files.len())).note(shortened(&files)),
        };
        diag.hint(
            "`ignore_class` names a number that does not count; masks of 0 and 255 need numbers of classes",
        )
    }

    /// Pictures and masks in the folders `images` and `masks` of another one.
    pub fn load_other(&self, path: &Path) -> Result<Part> {
        let (images, masks) = (path.join("images"), path.join("masks"));
        if !images.is_dir() || !masks.is_dir() {
            let diag = Diag::new(format!("`{}` has no folders `images` and `masks`", path.display()));
            return Err(diag.hint("masks are PNG files with the names of their pictures").into());
        }
        let pairs = Pairs::find(&images, &masks, &mut vec![])?;
        let mut mistakes = Mistakes::default();
        let pool = Pool::new(load::threads());
        let samples = self.decode(&pool, &pairs, &mut Fingerprint::default(), &mut mistakes);
        mistakes.finish()?;
        Ok(Part::whole(self.table(samples)))
    }
}

impl DatasetSpec for MaskFolder {
    fn has_validation(&self) -> bool {
        self.segments.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let segments = &self.segments;
        let mut notes = vec![];
        let mut find = |folders: &Folders| {
            let images = locate(cx, &folders.images.path, &folders.images.at)?;
            let masks = locate(cx, &folders.masks.path, &folders.masks.at)?;
            Pairs::find(&images, &masks, &mut notes)
        };
        let mut train = find(&self.train)?;
        let test = self.test.as_ref().map(find).transpose()?;
        let samples = segments.common.limited(train.masks.len());
        train.images.truncate(samples);
        train.masks.truncate(samples);
        let [height, width, channels] = segments.size;
        let count = samples + test.as_ref().map_or(0, |test| test.masks.len());
        self.memory.check(count, "pictures", height * width * (channels + 1))?;
        let (mut fingerprint, mut mistakes) = (Fingerprint::default(), Mistakes::default());
        let pool = Pool::new(cx.threads);
        let train = segments.decode(&pool, &train, &mut fingerprint, &mut mistakes);
        let test = test.map(|test| segments.decode(&pool, &test, &mut fingerprint, &mut mistakes));
        mistakes.finish()?;
        let mut dataset = segments.dataset(train, test, cx.seed, fingerprint)?;
        dataset.notes.extend(notes);
        Ok(dataset)
    }

    fn load_other(&self, path: &Path, _: &Preprocessing) -> Result<Part> {
        self.segments.load_other(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pictures::codec::tests::grey_png;
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;

    const KEYS: &str = "type = \"image_folder\", task = \"segment\", images = \"i\", masks = \"m\", \
                        image_size = [2, 2], channels = 1, classes = [\"sky\", \"bird\"]";

    fn load(folder: &Folder, keys: &str) -> Result<Dataset> {
        dataset(&format!("{KEYS}, {keys}")).map_err(Failure::Input)?.load(&folder.context())
    }

    fn pairs() -> Folder {
        let folder = Folder::new();
        folder.write("i/a.png", grey_png(2, 2, &[0, 51, 102, 255]));
        folder.write("m/a.png", grey_png(2, 2, &[0, 1, 1, 0]));
        folder.write("i/b.png", grey_png(4, 4, &[100; 16]));
        folder.write("m/b.png", grey_png(4, 4, &[1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1]));
        folder.write("i/without.png", grey_png(1, 1, &[1]));
        folder
    }

    fn sample(part: &Part, position: u32) -> (Vec<f32>, Vec<f32>) {
        let (mut x, mut y) = (vec![0.0; 4], vec![0.0; 4]);
        part.gather(&Pool::new(1), &[position], &mut x, &mut y, &mut [0.0]);
        (x, y)
    }

    #[test]
    fn masks_go_with_their_pictures() {
        let folder = pairs();
        let data = load(&folder, "").unwrap();
        assert_eq!(sample(&data.train, 0), (vec![0.0, 0.2, 0.4, 1.0], vec![0.0, 1.0, 1.0, 0.0]));
        assert_eq!(sample(&data.train, 1).1, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(data.preprocessing.target_shape().dims, [2, 2]);
        assert_eq!(data.notes[0], "training: 2 pictures (sky 50.0 %, bird 50.0 %)");
        assert!(data.notes[1].contains("1 pictures were left out"), "{:?}", data.notes);
        let root = folder.context().config_dir;
        folder.write("other/images/x.png", grey_png(2, 2, &[1; 4]));
        folder.write("other/masks/x.png", grey_png(2, 2, &[1; 4]));
        let other = dataset(KEYS).unwrap().load_other(&root.join("other"), &data.preprocessing).unwrap();
        assert_eq!(sample(&other, 0).1, [1.0; 4]);
    }

    #[test]
    fn a_class_to_ignore_may_be_one_of_the_classes() {
        let notes = load(&pairs(), "ignore_class = 1").unwrap().notes;
        assert_eq!(notes[0], "training: 2 pictures (sky 50.0 %, bird 50.0 %, which does not count)");
        let notes = load(&pairs(), "ignore_class = 255").unwrap().notes;
        assert_eq!(notes[0], "training: 2 pictures (sky 50.0 %, bird 50.0 %, of no class 0.0 %)");
    }

    #[test]
    fn the_same_mistake_of_many_masks_is_told_once() {
        let folder = Folder::new();
        for i in 0..12 {
            folder.write(&format!("m/{i}.png"), grey_png(2, 1, &[0, 200 + i % 2]));
            folder.write(&format!("i/{i}.png"), grey_png(2, 1, &[0; 2]));
        }
        let failure = load(&folder, "").unwrap_err();
        let [diag] = failure.diags() else { panic!("{:?}", failure.diags()) };
        assert_eq!(diag.message, "12 masks have pixels of classes 200, 201, classes are 0 to 1");
        assert!(diag.notes[0].ends_with("and 4 more"), "{diag}");
    }

    #[test]
    fn mistakes_name_the_file() {
        let said = |folder: &Folder, keys: &str| {
            let failure = load(folder, keys).unwrap_err();
            failure.diags().iter().map(|d| d.to_string()).collect::<Vec<_>>().join("\n")
        };
        let folder = pairs();
        folder.write("m/lonely.png", grey_png(1, 1, &[0]));
        assert!(said(&folder, "").contains("lonely.png` is a mask without its picture"));
        let folder = pairs();
        folder.write("m/a.png", grey_png(2, 2, &[0, 2, 255, 0]));
        folder.write("m/b.png", grey_png(4, 2, &[0; 8]));
        let both = said(&folder, "");
        assert!(both.contains("a.png` has pixels of classes 2, 255, classes are 0 to 1"), "{both}");
        assert!(both.contains("b.png` has 2 x 4 pixels, its picture has 4 x 4"), "{both}");
        let ignored = said(&folder, "ignore_class = 2");
        assert!(ignored.contains("pixels of class 255"), "{ignored}");
        for (keys, part) in [
            ("classes = 1", "must be 2 to 256 classes, got 1"),
            ("classes = 300", "must be 2 to 256 classes, got more"),
            ("validation = \"test\", classes = 2", "no test part"),
        ] {
            let text = KEYS.replace("classes = [\"sky\", \"bird\"]", keys);
            let diags = dataset(&text).unwrap_err();
            assert!(diags.iter().any(|d| d.message.contains(part)), "{keys}: {diags:?}");
        }
    }
}
