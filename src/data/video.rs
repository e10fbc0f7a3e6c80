//! `video`: clips as folders of frames, PNG or JPEG; the folder that a clip is in is its class.
//!
//! ```toml
//! [dataset]
//! type = "video"
//! train = "gestures"          # gestures/wave/clip7/frame_0001.png, ...; or gestures/train and gestures/test
//! frames = 16
//! image_size = [112, 112]
//! validation = 0.2
//! ```
//!
//! A sample is one clip, `[T, H, W, C]`. Its frames are in the order of their names, in which 2 is before 10,
//! and `frames` of them are taken: spread evenly over the clip, or with `frame_step = n` each n-th of its middle.
//! Frames of a clip are of one height and width, and become the size as in `image_folder`, whose keys the
//! others are. The default size is that of Tran et al. 2015 (C3D).

use std::path::Path;

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::class_folders::{self, ClassFolders, Listed, Parts};
use crate::data::common::{Common, LabelMode};
use crate::data::image_folder::{read_memory, read_size_or};
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::labelled;
use crate::data::mistakes::Mistakes;
use crate::data::pictures::clips::{self, Clip, Frames};
use crate::data::pictures::load::{self, MemoryLimit};
use crate::data::preprocessing::Preprocessing;
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::Result;
use crate::kernels::par::Pool;

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "video",
    aliases: &[],
    about: "clips as folders of PNG and JPEG frames, in one folder for each class",
    parse: |f| Box::new(Video::read(f)),
};

#[derive(Debug)]
struct Video {
    folders: ClassFolders,
    clips: Clips,
    memory: MemoryLimit,
}

/// Labelled clips: what `video` and `moving_shapes` share.
#[derive(Clone, Debug)]
pub(super) struct Clips {
    pub frames: Frames,
    /// With the same frames; `video` learns the classes' names later.
    pub images: Images,
}

impl Video {
    fn read(f: &mut Fields<'_>) -> Video {
        let folders = ClassFolders::read(f);
        let count = f.key("frames").at_least(1).or(16);
        let frames = Frames { count, step: f.key("frame_step").at_least(1).optional() };
        let images = Images {
            shape: read_size_or(f, [112, 112]),
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, Offers { test: true, columns: false }),
            frames: Some(frames),
            largest: 255.0,
            column: "label",
            class_names: vec![],
        };
        Video { folders, clips: Clips { frames, images }, memory: read_memory(f) }
    }
}

impl Clips {
    /// Bytes of one.
    pub fn bytes(&self) -> usize {
        self.images.shape.iter().fold(self.frames.count, |bytes, n| bytes.saturating_mul(*n))
    }

    fn decode(
        &self,
        pool: &Pool,
        listed: Listed<Clip>,
        fingerprint: &mut Fingerprint,
        mistakes: &mut Mistakes,
    ) -> Labelled {
        let size = self.images.shape;
        let pixels = clips::read(pool, &listed.items, self.frames, size, fingerprint, mistakes);
        Labelled { pixels, labels: listed.labels, others: None }
    }

    /// A folder with folders of the same classes (or one with `test` in it), or a CSV with a label column.
    pub fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        if !path.is_dir() {
            return labelled::load(path, fitted, None);
        }
        let (names, listed) = class_folders::other(path, fitted)?;
        let mut mistakes = Mistakes::default();
        let pool = Pool::new(load::threads());
        let samples = self.decode(&pool, listed, &mut Fingerprint::default(), &mut mistakes);
        mistakes.finish()?;
        Ok(Part::whole(Images { class_names: names, ..self.images.clone() }.table(samples)))
    }
}

impl DatasetSpec for Video {
    fn has_validation(&self) -> bool {
        self.clips.images.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let images = &self.clips.images;
        let mut notes = vec![];
        let parts = self.folders.list(cx, &images.common, &mut notes)?;
        self.memory.check(parts.len(), "clips", self.clips.bytes())?;
        let Parts { names, train, test } = parts;
        let mut fingerprint = Fingerprint::default();
        fingerprint.update(names.join("\n").as_bytes());
        let pool = Pool::new(cx.threads);
        let mut mistakes = Mistakes::default();
        let train = self.clips.decode(&pool, train, &mut fingerprint, &mut mistakes);
        let test = test.map(|test| self.clips.decode(&pool, test, &mut fingerprint, &mut mistakes));
        mistakes.finish()?;
        let images = Images { class_names: names, ..images.clone() };
        let mut dataset = images.dataset(train, test, cx.seed, fingerprint)?;
        dataset.notes.extend(notes);
        Ok(dataset)
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        self.clips.load_other(path, fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pictures::codec::tests::{grey_jpeg, grey_png};
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;

    const KEYS: &str = "type = \"video\", train = \"d\", image_size = [2, 2], channels = 1, frames = 2";

    fn load(folder: &Folder, keys: &str) -> Result<Dataset> {
        dataset(&format!("{KEYS}{keys}")).map_err(Failure::Input)?.load(&folder.context())
    }

    /// The first pixel of each frame, times 255, and the class, of each sample.
    fn samples(part: &Part) -> Vec<(Vec<f32>, f32)> {
        let sample = |position: u32| {
            let (mut x, mut y) = (vec![0.0; part.table.inputs.width()], [0.0]);
            part.gather(&Pool::new(1), &[position], &mut x, &mut y, &mut [0.0]);
            (x.chunks(4).map(|frame| (frame[0] * 255.0).round()).collect(), y[0])
        };
        (0..part.len() as u32).map(sample).collect()
    }

    /// A clip whose frames are of these greys.
    fn write(folder: &Folder, clip: &str, greys: impl IntoIterator<Item = u8>) {
        for (i, grey) in greys.into_iter().enumerate() {
            folder.write(&format!("{clip}/f{}.png", i + 1), grey_png(2, 2, &[grey; 4]));
        }
    }

    fn two_classes() -> Folder {
        let folder = Folder::new();
        write(&folder, "d/wave/one", 1..=12);
        write(&folder, "d/wave/two", [21, 22]);
        write(&folder, "d/clap/one", [31, 32, 33]);
        folder.write("d/clap/one/notes.txt", "");
        folder
    }

    #[test]
    fn clips_are_samples_and_take_turns() {
        let folder = two_classes();
        let data = load(&folder, "").unwrap();
        assert_eq!(data.preprocessing.classes().unwrap(), ["clap", "wave"]);
        assert_eq!(data.input_shape.dims, [2, 2, 2, 1]);
        // f10 to f12 come behind f9; of three frames the first and the last.
        let expected = [(vec![31.0, 33.0], 0.0), (vec![4.0, 10.0], 1.0), (vec![21.0, 22.0], 1.0)];
        assert_eq!(samples(&data.train), expected);
        assert!(data.notes[0].contains("clap 1, wave 2"), "{:?}", data.notes);
        assert!(data.notes[1].contains("1 files were left out: no PNG or JPEG in a clip's folder"));
        let cut = load(&folder, ", frame_step = 1").unwrap();
        assert_eq!(samples(&cut.train)[..2], [(vec![31.0, 32.0], 0.0), (vec![6.0, 7.0], 1.0)]);
        assert_eq!(load(&folder, ", limit = 1").unwrap().train.len(), 1);
        folder.write("d/wave/two/f2.png", grey_png(2, 2, &[23; 4]));
        assert_ne!(load(&folder, "").unwrap().fingerprint, data.fingerprint);
    }

    #[test]
    fn other_folders_have_the_classes_of_training() {
        let folder = two_classes();
        let data = load(&folder, "").unwrap();
        write(&folder, "new/train/wave/x", [1, 2]);
        write(&folder, "new/test/wave/x", [3, 4]);
        let root = folder.context().config_dir;
        let spec = dataset(KEYS).unwrap();
        let other = spec.load_other(&root.join("new"), &data.preprocessing).unwrap();
        assert_eq!(samples(&other), [(vec![3.0, 4.0], 1.0)]);
        write(&folder, "new/test/wve/x", [3, 4]);
        let failure = spec.load_other(&root.join("new"), &data.preprocessing).unwrap_err();
        assert!(failure.diags()[0].message.contains("wve` is no class of the training part"));
        let header = (0..2).flat_map(|t| (0..4).map(move |i| format!("pixel_{t}_{}_{}", i / 2, i % 2)));
        let rows = format!("{},label\n51,0,0,0,102,0,0,0,clap\n", header.collect::<Vec<_>>().join(","));
        let csv = folder.write("rows.csv", rows);
        let other = spec.load_other(&csv, &data.preprocessing).unwrap();
        assert_eq!(samples(&other), [(vec![51.0, 102.0], 0.0)]);
    }

    #[test]
    fn every_bad_clip_is_named() {
        let folder = two_classes();
        write(&folder, "d/clap/short", [1]);
        write(&folder, "d/clap/mixed", [1]);
        folder.write("d/clap/mixed/f2.jpg", grey_jpeg());
        write(&folder, "d/wave/broken", [1]);
        folder.write("d/wave/broken/f2.png", "no picture");
        folder.write("d/wave/none/readme.txt", "");
        let failure = load(&folder, "").unwrap_err();
        let all = failure.diags().iter().map(|d| d.message.as_str()).collect::<Vec<_>>().join("\n");
        for part in [
            "d/clap/short` has 1 frame, 2 are needed",
            "f2.jpg` has 8 x 8 pixels, the clip's first frame has 2 x 2",
            "broken/f2.png` is not a PNG or JPEG",
            "d/wave/none` has 0 frames, 2 are needed",
        ] {
            assert!(all.contains(part), "{part}:\n{all}");
        }
        assert_eq!(failure.diags().len(), 4, "{all}");
        let apart = load(&two_classes(), ", frame_step = 3").unwrap_err();
        let said = &apart.diags()[0].message;
        assert!(
            said.contains("d/clap/one` has 3 frames, 4 are needed: `frames = 2` with `frame_step = 3`"),
            "{said}"
        );
    }

    #[test]
    fn mistakes_name_what_to_change() {
        let folder = two_classes();
        write(&folder, "frames/wave", [1, 2]);
        folder.write("none/x.png", grey_png(1, 1, &[1]));
        for (train, part) in [
            ("frames", "frames/wave` holds no clips"),
            ("none", "holds no clips in folders of classes"),
            ("d\", validation = \"test", "has no test part"),
        ] {
            let keys = KEYS.replace("\"d\"", &format!("\"{train}\""));
            let failure = dataset(&keys).unwrap().load(&folder.context()).unwrap_err();
            assert!(failure.diags()[0].message.contains(part), "{train}: {failure:?}");
        }
        let keys = KEYS.replace("[2, 2]", "600").replace("frames = 2", "frames = 2, memory_limit = 1");
        let failure = dataset(&keys).unwrap().load(&folder.context()).unwrap_err();
        let said = &failure.diags()[0].message;
        assert!(said.contains("3 clips of 720000 bytes take 3 MB of memory; memory_limit is 1 MB"), "{said}");
        let wrong = dataset(&KEYS.replace("frames = 2", "frames = 0")).unwrap_err();
        assert!(wrong[0].message.contains("must be at least 1, got 0"), "{wrong:?}");
    }
}
