//! `image_folder`: pictures in files, PNG or JPEG; the folder that a picture is in is its class.
//!
//! ```toml
//! [dataset]
//! type = "image_folder"
//! train = "flowers"          # flowers/rose/1.jpg, ...; or flowers/train/rose and flowers/test/rose
//! image_size = [64, 64]
//! validation = 0.2
//! ```
//!
//! Keras: `image_dataset_from_directory`: classes are the folders' names in order, pictures are resized as
//! there. Other than there they are kept in memory as bytes, and 0 to 1 unless `normalize = "none"`.

use std::path::{Path, PathBuf};

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::class_folders::{self, ClassFolders, Listed, Parts};
use crate::data::common::{Common, LabelMode};
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::labelled;
use crate::data::mask_folder::MaskFolder;
use crate::data::mistakes::Mistakes;
use crate::data::pictures::load::{self, MemoryLimit, Size};
use crate::data::preprocessing::Preprocessing;
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::Result;
use crate::kernels::par::Pool;

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "image_folder",
    aliases: &[],
    about: "PNG and JPEG files, one folder for each class",
    parse: |f| match f.key("task").or(Task::Classification) {
        Task::Classification => Box::new(ImageFolder::read(f)),
        Task::Segment => Box::new(MaskFolder::read(f)),
    },
};

/// What is said of a picture: its class, or that of each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Classification,
    Segment,
}

crate::words!(Task, Classification = "classification", Segment = "segment");

#[derive(Debug)]
struct ImageFolder {
    folders: ClassFolders,
    size: Size,
    scale: PixelScale,
    label_mode: LabelMode,
    memory: MemoryLimit,
    common: Common,
}

impl ImageFolder {
    fn read(f: &mut Fields<'_>) -> ImageFolder {
        ImageFolder {
            folders: ClassFolders::read(f),
            size: read_size(f),
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            memory: read_memory(f),
            common: Common::read(f, Offers { test: true, columns: false }),
        }
    }

    fn images(&self, class_names: Vec<String>) -> Images {
        Images {
            scale: self.scale,
            label_mode: self.label_mode,
            common: self.common.clone(),
            shape: self.size,
            frames: None,
            largest: 255.0,
            column: "label",
            class_names,
        }
    }

    /// Decodes listed pictures.
    fn decode(
        &self,
        pool: &Pool,
        listed: Listed<PathBuf>,
        room: usize,
        fingerprint: &mut Fingerprint,
        mistakes: &mut Mistakes,
    ) -> Labelled {
        let Listed { items, labels } = listed;
        let (pixels, others) = load::pictures(pool, items, (self.size, room), fingerprint, mistakes);
        Labelled { pixels, labels, others }
    }
}

/// `image_size` and `channels`.
pub(super) fn read_size(f: &mut Fields<'_>) -> Size {
    read_size_or(f, [256, 256])
}

pub(super) fn read_size_or(f: &mut Fields<'_>, default: [usize; 2]) -> Size {
    let [height, width] = f.key("image_size").at_least(1).or(default);
    let channels: usize = f.key("channels").or(3);
    if ![1, 3].contains(&channels) {
        f.error("channels", format!("must be 3 (colours) or 1 (grey), got {channels}"), None);
    }
    [height, width, channels]
}

pub(super) fn read_memory(f: &mut Fields<'_>) -> MemoryLimit {
    let megabytes = f.key("memory_limit").at_least(1).optional();
    MemoryLimit { megabytes, at: f.place(if f.has("memory_limit") { "memory_limit" } else { "type" }) }
}

impl DatasetSpec for ImageFolder {
    fn has_validation(&self) -> bool {
        self.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut notes = vec![];
        let parts = self.folders.list(cx, &self.common, &mut notes)?;
        let (count, room) = (parts.len(), self.memory.room(self.size.iter().product()));
        if room < count {
            notes.push(format!(
                "memory has room for {room} of {count} pictures: the others are decoded whenever they are used"
            ));
        }
        let Parts { names, train, test } = parts;
        let left = room.saturating_sub(train.items.len());
        let mut fingerprint = Fingerprint::default();
        fingerprint.update(names.join("\n").as_bytes());
        let pool = Pool::new(cx.threads);
        let mut mistakes = Mistakes::default();
        let train = self.decode(&pool, train, room, &mut fingerprint, &mut mistakes);
        let test = test.map(|test| self.decode(&pool, test, left, &mut fingerprint, &mut mistakes));
        mistakes.finish()?;
        let mut dataset = self.images(names).dataset(train, test, cx.seed, fingerprint)?;
        dataset.notes.extend(notes);
        Ok(dataset)
    }

    /// A folder with folders of the same classes (or one with `test` in it), or a CSV with a label column.
    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        if !path.is_dir() {
            return labelled::load(path, fitted, None);
        }
        let (names, listed) = class_folders::other(path, fitted)?;
        let mut mistakes = Mistakes::default();
        let pool = Pool::new(load::threads());
        let room = self.memory.room(self.size.iter().product());
        let samples = self.decode(&pool, listed, room, &mut Fingerprint::default(), &mut mistakes);
        mistakes.finish()?;
        Ok(Part::whole(self.images(names).table(samples)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rows;
    use crate::data::pictures::codec::tests::{grey_jpeg, grey_png};
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;

    fn load(folder: &Folder, keys: &str) -> Result<Dataset> {
        let keys = format!("type = \"image_folder\", image_size = [2, 2], channels = 1, {keys}");
        dataset(&keys).map_err(Failure::Input)?.load(&folder.context())
    }

    fn said(folder: &Folder, keys: &str) -> String {
        load(folder, keys).unwrap_err().diags().iter().map(|d| d.to_string()).collect::<Vec<_>>().join("\n")
    }

    /// Pixels times 255 and class of each sample.
    fn samples(part: &Part) -> Vec<(Vec<f32>, f32)> {
        let sample = |position: u32| {
            let (mut x, mut y) = (vec![0.0; part.table.inputs.width()], [0.0]);
            part.gather(&Pool::new(1), &[position], &mut x, &mut y, &mut [0.0]);
            (x.iter().map(|x| (x * 255.0).round()).collect(), y[0])
        };
        (0..part.len() as u32).map(sample).collect()
    }

    fn two_classes() -> Folder {
        let folder = Folder::new();
        for (name, value) in [("d/cat/1.png", 1), ("d/cat/2.png", 2), ("d/ant/9.png", 9), ("d/ant/x.txt", 0)]
        {
            folder.write(name, grey_png(2, 2, &[value; 4]));
        }
        folder.write("d/cat/3.jpg", grey_jpeg());
        folder
    }

    #[test]
    fn folders_are_classes_and_take_turns() {
        let folder = two_classes();
        let data = load(&folder, "train = \"d\"").unwrap();
        assert_eq!(data.preprocessing.classes().unwrap(), ["ant", "cat"]);
        let (found, classes): (Vec<f32>, Vec<f32>) =
            samples(&data.train).iter().map(|(x, y)| (x[0], *y)).unzip();
        assert_eq!((found, classes), (vec![9.0, 1.0, 2.0, 128.0], vec![0.0, 1.0, 1.0, 1.0]));
        assert!(data.notes[0].contains("ant 1, cat 3"), "{:?}", data.notes);
        assert!(data.notes[1].contains("1 files were left out"), "{:?}", data.notes);
        let limited = load(&folder, "train = \"d\", limit = 2").unwrap();
        assert_eq!(limited.train.len(), 2);
        let before = data.fingerprint;
        folder.write("d/cat/2.png", grey_png(2, 2, &[3; 4]));
        assert_ne!(load(&folder, "train = \"d\"").unwrap().fingerprint, before);
    }

    #[test]
    fn what_memory_has_no_room_for_is_decoded_again() {
        let folder = two_classes();
        folder.write("test/cat/1.png", grey_png(1, 1, &[7]));
        let keys = "train = \"d\", test = \"test\", image_size = 600";
        let load = |more: &str| {
            let keys = format!("type = \"image_folder\", channels = 1, {keys}{more}");
            dataset(&keys).unwrap().load(&folder.context()).unwrap()
        };
        let (whole, limited) = (load(""), load(", memory_limit = 1"));
        let Rows::Files { kept, others, .. } = &limited.train.table.inputs else { panic!("files stay") };
        assert_eq!((kept.len() / 360_000, others.count()), (2, 2));
        let held = [1, 2].map(|row| limited.train.table.inputs.holds(row));
        assert_eq!(held, [true, false]);
        assert_eq!(samples(&limited.train), samples(&whole.train));
        assert_eq!(samples(&limited.test.unwrap()), samples(&whole.test.unwrap()));
        assert_eq!(limited.fingerprint, whole.fingerprint);
        let note = "memory has room for 2 of 5 pictures: the others are decoded whenever they are used";
        assert!(limited.notes.iter().any(|n| n == note), "{:?}", limited.notes);
        assert!(limited.train.failure().is_none());

        folder.write("d/cat/2.png", "no picture");
        assert!(samples(&limited.train)[2].0.iter().all(|x| x.is_nan()));
        let said = limited.train.failure().unwrap().to_string();
        assert!(said.contains("2.png` is not a PNG or JPEG"), "{said}");
    }

    #[test]
    fn train_and_test_are_found_by_themselves() {
        let folder = Folder::new();
        for (name, value) in [("d/train/a/1.png", 1), ("d/train/b/2.png", 2), ("d/test/b/3.png", 3)] {
            folder.write(name, grey_png(1, 1, &[value]));
        }
        let keys = "train = \"d\", validation = \"test\"";
        let data = load(&folder, keys).unwrap();
        assert_eq!((data.train.len(), samples(&data.test.unwrap())), (2, vec![(vec![3.0; 4], 1.0)]));
        assert_eq!(data.validation.unwrap().len(), 1);
        let spec = dataset("type = \"image_folder\", image_size = 2, channels = 1, train = \"d\"").unwrap();
        let other = spec.load_other(&folder.context().config_dir.join("d"), &data.preprocessing).unwrap();
        assert_eq!(samples(&other), [(vec![3.0; 4], 1.0)]);
        folder.write("d/test/bb/3.png", grey_png(1, 1, &[1]));
        assert!(said(&folder, keys).contains("bb` is no class of the training part"));
    }

    #[test]
    fn a_folder_of_pictures_is_one_class() {
        let folder = two_classes();
        let data = load(&folder, "train = \"d/cat\"").unwrap();
        assert_eq!((data.train.len(), data.preprocessing.classes().unwrap()), (3, &["cat".to_string()][..]));
        let spec =
            dataset("type = \"image_folder\", image_size = 2, channels = 1, train = \"d/cat\"").unwrap();
        let other = spec.load_other(&folder.context().config_dir.join("d/ant"), &data.preprocessing).unwrap();
        assert_eq!(samples(&other), [(vec![9.0; 4], 0.0)]);
    }

    #[test]
    fn every_bad_picture_is_named() {
        let folder = two_classes();
        folder.write("d/ant/bad.png", "no picture");
        folder.write("d/cat/half.png", &grey_png(9, 9, &[1; 81])[..50]);
        let said = said(&folder, "train = \"d\"");
        assert!(said.contains("bad.png` is not a PNG or JPEG"), "{said}");
        assert!(said.contains("half.png` is a broken PNG"), "{said}");
    }

    #[test]
    fn mistakes_name_what_to_change() {
        let folder = two_classes();
        folder.write("one/a/1.png", grey_png(1, 1, &[1]));
        folder.write("none/readme.txt", "");
        for (keys, part) in [
            ("train = \"nowhere\"", "no folder `nowhere`"),
            ("train = \"none\"", "holds no pictures in folders of classes"),
            ("train = \"d\", validation = \"test\"", "has no test part"),
            ("train = \"d\", test = \"one\"", "a` is no class of the training part"),
        ] {
            let said = said(&folder, keys);
            assert!(said.contains(part), "{keys}: {said}");
        }
        let wrong = dataset("type = \"image_folder\", train = \"d\", channels = 4").unwrap_err();
        assert!(wrong[0].message.contains("3 (colours) or 1 (grey), got 4"));
    }
}
