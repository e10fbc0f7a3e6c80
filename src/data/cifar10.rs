//! `cifar10`: 60,000 colour photographs of 32x32 pixels, in the binary version's files.
//!
//! A record is one label byte and 3,072 pixels: all red ones, then green, then blue, row by row
//! (Krizhevsky 2009). They become channels-last here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::labelled;
use crate::data::places::places;
use crate::data::preprocessing::Preprocessing;
use crate::data::source::{Fingerprint, open};
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::{Diag, Result};

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "cifar10",
    aliases: &[],
    about: "60,000 colour photographs, 32x32 pixels, 10 classes (binary version's files)",
    parse: |f| {
        Box::new(Cifar10(Images {
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, Offers { test: true, columns: false }),
            shape: [32, 32, 3],
            frames: None,
            largest: 255.0,
            column: "label",
            class_names: CLASSES.map(String::from).to_vec(),
        }))
    },
};

const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";

/// Pixels of one colour.
const PLANE: usize = 32 * 32;
const RECORD: usize = 1 + 3 * PLANE;

#[derive(Debug)]
struct Cifar10(Images);

impl Cifar10 {
    fn folder(&self, cx: &LoadContext) -> Result<PathBuf, Diag> {
        let places = places(cx, "cifar10");
        let inside = |place: &PathBuf| [place.clone(), place.join("cifar-10-batches-bin")];
        if let Some(found) = places.iter().flat_map(inside).find(|f| f.join(TEST).is_file()) {
            return Ok(found);
        }
        let list: Vec<String> = places.iter().map(|p| format!("`{}`", p.display())).collect();
        Err(Diag::new("the files of `cifar10` are nowhere to be found")
            .at(&self.0.common.at)
            .note(format!("looked for {TEST} in {}, and in cifar-10-batches-bin there", list.join(", ")))
            .hint("unpack the binary version from https://www.cs.toronto.edu/~kriz/cifar.html there"))
    }
}

impl DatasetSpec for Cifar10 {
    fn has_validation(&self) -> bool {
        self.0.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let folder = self.folder(cx)?;
        let mut fingerprint = Fingerprint::default();
        let (mut train, mut test) = (Labelled::default(), Labelled::default());
        for name in TRAIN {
            append(&folder.join(name), &mut train, &mut fingerprint)?;
        }
        append(&folder.join(TEST), &mut test, &mut fingerprint)?;
        self.0.dataset(train, Some(test), cx.seed, fingerprint)
    }

    /// A folder with `test_batch.bin`, one `.bin` file, or a CSV with a label column.
    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        let file = if path.is_dir() { path.join(TEST) } else { path.to_path_buf() };
        if file.extension().is_none_or(|e| e != "bin") {
            return labelled::load(&file, fitted, None);
        }
        let mut samples = Labelled::default();
        append(&file, &mut samples, &mut Fingerprint::default())?;
        Ok(Part::whole(self.0.table(samples)))
    }
}

/// Reads one batch file.
fn append(path: &Path, samples: &mut Labelled, fingerprint: &mut Fingerprint) -> Result<(), Diag> {
    let name = path.display();
    let file: File = open(path)?;
    let mut bytes = vec![];
    let read = fingerprint.over(file).read_to_end(&mut bytes);
    read.map_err(|error| Diag::new(format!("cannot read `{name}`: {error}")))?;
    if bytes.is_empty() || bytes.len() % RECORD != 0 {
        let message = format!("`{name}` has {} bytes, which is no multiple of {RECORD}", bytes.len());
        return Err(Diag::new(message).hint("a record is 1 label and 3072 pixels; get the file again"));
    }
    samples.pixels.reserve_exact(bytes.len() / RECORD * 3 * PLANE);
    for (number, record) in bytes.chunks_exact(RECORD).enumerate() {
        if record[0] > 9 {
            let label = record[0];
            return Err(Diag::new(format!("`{name}`: sample {number} has label {label}, labels are 0 to 9")));
        }
        samples.labels.push(record[0].into());
        let planes = &record[1..];
        samples.pixels.extend((0..3 * PLANE).map(|i| planes[i % 3 * PLANE + i / 3]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{Folder, dataset};
    use crate::kernels::par::Pool;

    fn batch(label: u8, count: usize) -> Vec<u8> {
        let mut record = vec![label];
        (0..3u8).for_each(|colour| record.extend((0..PLANE).map(|i| colour * 80 + (i % 80) as u8)));
        record.repeat(count)
    }

    fn write(folder: &Folder, inside: &str) {
        for (index, name) in TRAIN.iter().enumerate() {
            folder.write(&format!("cifar10/{inside}{name}"), batch(index as u8, 2));
        }
        folder.write(&format!("cifar10/{inside}{TEST}"), batch(9, 3));
    }

    #[test]
    fn planes_become_channels() {
        for inside in ["", "cifar-10-batches-bin/"] {
            let folder = Folder::new();
            write(&folder, inside);
            let spec = dataset("type = \"cifar10\", normalize = \"none\"").unwrap();
            let data = spec.load(&folder.context()).unwrap();
            assert_eq!((data.input_shape.dims, data.train.len()), (vec![32, 32, 3], 10));
            let (mut pixels, mut label, mut weight) = (vec![0.0; 3072], [0.0], [0.0]);
            data.train.gather(&Pool::new(1), &[7], &mut pixels, &mut label, &mut weight);
            assert_eq!((&pixels[..6], label[0]), (&[0.0, 80.0, 160.0, 1.0, 81.0, 161.0][..], 3.0));
            let test = data.test.unwrap();
            let other = folder.write("other.bin", batch(9, 3));
            let other = spec.load_other(&other, &data.preprocessing).unwrap();
            let mut other_pixels = vec![0.0; 3072];
            other.gather(&Pool::new(1), &[2], &mut other_pixels, &mut label, &mut weight);
            assert_eq!((test.len(), other.len(), other_pixels, label[0]), (3, 3, pixels, 9.0));
        }
    }

    #[test]
    fn bad_files() {
        let folder = Folder::new();
        let spec = dataset("type = \"cifar10\"").unwrap();
        write(&folder, "");
        folder.write("cifar10/data_batch_2.bin", &batch(1, 1)[1..]);
        let failure = spec.load(&folder.context()).unwrap_err();
        assert!(failure.diags()[0].message.contains("3072 bytes, which is no multiple of 3073"));
        folder.write("cifar10/data_batch_2.bin", batch(10, 1));
        let failure = spec.load(&folder.context()).unwrap_err();
        assert!(failure.diags()[0].message.contains("sample 0 has label 10"));
        std::fs::remove_file(folder.write("cifar10/data_batch_2.bin", "")).unwrap();
        let failure = spec.load(&folder.context()).unwrap_err();
        assert!(failure.diags()[0].message.contains("cannot open"));
    }
}
