//! `mnist` and `fashion_mnist`: 70,000 images of 28x28 pixels in IDX files.
//!
//! The standard files are parsed by the `mnist` crate, which panics on bad ones: so everything
//! is checked first, and it is always asked for 60,000/0/10,000 samples (with fewer it takes "test"
//! samples from the training file). Compressed files and other sizes go through [`crate::data::idx`].

use std::fs::read_dir;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::download::{Remote, RemoteFile, fetch};
use crate::data::idx::{Holds, IdxFile};
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::labelled;
use crate::data::places::places;
use crate::data::preprocessing::{InputEncoding, Preprocessing};
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::{Diag, Failure, Result};

pub const MNIST: Entry<dyn DatasetSpec> = Entry {
    name: "mnist",
    aliases: &[],
    about: "70,000 handwritten digits, 28x28 pixels, 10 classes (downloaded once)",
    parse: |f| Box::new(Mnist::read(f, &MNIST_FILES, (0..10).map(|d| d.to_string()).collect())),
};

pub const FASHION_MNIST: Entry<dyn DatasetSpec> = Entry {
    name: "fashion_mnist",
    aliases: &[],
    about: "70,000 photographs of clothes, 28x28 pixels, 10 classes (downloaded once)",
    parse: |f| Box::new(Mnist::read(f, &FASHION_FILES, CLOTHES.map(String::from).to_vec())),
};

const CLOTHES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// LeCun, Cortes, Burges: The MNIST database of handwritten digits.
static MNIST_FILES: Remote = Remote {
    kind: "mnist",
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    files: remote([
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ]),
};

/// Xiao, Rasul, Vollgraf: Fashion-MNIST (2017).
static FASHION_FILES: Remote = Remote {
    kind: "fashion_mnist",
    mirrors: &[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ],
    files: remote([
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ]),
};

/// Training images and labels, test images and labels.
const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

const HOLDS: [Holds; 4] = [Holds::Images, Holds::Labels, Holds::Images, Holds::Labels];

/// What the `mnist` crate can read.
const STANDARD: [&[usize]; 4] = [&[60_000, 28, 28], &[60_000], &[10_000, 28, 28], &[10_000]];

const fn remote(sha256: [&'static str; 4]) -> [RemoteFile; 4] {
    [
        RemoteFile { name: "train-images-idx3-ubyte.gz", sha256: sha256[0] },
        RemoteFile { name: "train-labels-idx1-ubyte.gz", sha256: sha256[1] },
        RemoteFile { name: "t10k-images-idx3-ubyte.gz", sha256: sha256[2] },
        RemoteFile { name: "t10k-labels-idx1-ubyte.gz", sha256: sha256[3] },
    ]
}

#[derive(Debug)]
struct Mnist {
    remote: &'static Remote,
    images: Images,
}

impl Mnist {
    fn read(f: &mut Fields<'_>, remote: &'static Remote, class_names: Vec<String>) -> Mnist {
        let images = Images {
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, Offers { test: true, columns: false }),
            shape: [28, 28, 1],
            frames: None,
            largest: 255.0,
            column: "label",
            class_names,
        };
        Mnist { remote, images }
    }

    /// The folder and files; what is missing is downloaded, if that may be tried.
    fn files(
        &self,
        cx: &LoadContext,
        places: &[PathBuf],
        servers: &[String],
    ) -> Result<(PathBuf, [IdxFile; 4])> {
        let present = |folder: &Path| NAMES.map(|name| IdxFile::find(folder, name));
        let begun = places.iter().find(|folder| present(folder).iter().any(Option::is_some));
        let folder = begun.unwrap_or(&places[0]);
        let missing: Vec<usize> =
            present(folder).iter().enumerate().filter(|(_, f)| f.is_none()).map(|(i, _)| i).collect();
        if !missing.is_empty() && !cx.allow_download {
            return Err(self.nowhere(begun, &missing, places).into());
        }
        for index in &missing {
            let fetched = fetch(&self.remote.files[*index], servers, folder, cx.show_progress);
            if let Err(reasons) = fetched {
                let diag = self.nowhere(begun, &missing, places);
                let diag = reasons.into_iter().fold(diag, |diag, r| diag.note(format!("download: {r}")));
                return Err(diag.into());
            }
        }
        let found = present(folder).map(|file| file.expect("what was missing was just downloaded"));
        Ok((folder.clone(), found))
    }

    fn nowhere(&self, begun: Option<&PathBuf>, missing: &[usize], places: &[PathBuf]) -> Diag {
        let kind = self.remote.kind;
        let names: Vec<&str> = missing.iter().map(|i| NAMES[*i]).collect();
        let diag = match begun {
            Some(folder) => {
                let names = names.join(", ");
                Diag::new(format!("`{}` lacks {names} (or the same with .gz)", folder.display()))
            }
            None => {
                let list: Vec<String> = places.iter().map(|p| format!("`{}`", p.display())).collect();
                let diag = Diag::new(format!("the files of `{kind}` are nowhere to be found"));
                diag.note(format!("looked for {} (or .gz) in {}", NAMES[0], list.join(", ")))
            }
        };
        let hint = "what works without them: nntrain fit configs/cnn_digits.toml";
        diag.at(&self.images.common.at).hint(hint)
    }

    fn images_of(&self, shape: [usize; 3]) -> Images {
        Images { shape, ..self.images.clone() }
    }
}

impl DatasetSpec for Mnist {
    fn has_validation(&self) -> bool {
        self.images.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let servers = self.remote.servers(std::env::var("NNTRAIN_MIRROR").ok());
        let (folder, files) = self.files(cx, &places(cx, self.remote.kind), &servers)?;
        let mut fingerprint = Fingerprint::default();
        let Samples { train, test, shape } = match files.iter().any(|f| f.compressed) {
            true => read_own(&files, &mut fingerprint)?,
            false => read_plain(&folder, &files, &mut fingerprint)?,
        };
        self.images_of(shape).dataset(train, Some(test), cx.seed, fingerprint)
    }

    /// A folder with IDX files (the test ones, else the training ones), or a CSV with a label column.
    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        if !path.is_dir() {
            return labelled::load(path, fitted, None);
        }
        let find = |name| IdxFile::find(path, name);
        let pair = find(NAMES[2]).zip(find(NAMES[3])).or_else(|| find(NAMES[0]).zip(find(NAMES[1])));
        let Some((images, labels)) = pair else {
            let message = format!("`{}` has no {} with {}", path.display(), NAMES[2], NAMES[3]);
            return Err(Diag::new(message).maybe_hint(folder_hint(path)).into());
        };
        let (samples, [rows, columns]) = read_pair(&images, &labels, &mut Fingerprint::default())?;
        let InputEncoding::Pixels { shape, .. } = &fitted.input else {
            return Err(Diag::new("the model was not trained on images").into());
        };
        if shape[..2] != [rows, columns] {
            let wanted = (shape[0], shape[1]);
            let message = format!(
                "`{}` has images of {rows} x {columns} pixels, the model takes {} x {}",
                images.path.display(),
                wanted.0,
                wanted.1
            );
            return Err(Diag::new(message).into());
        }
        Ok(Part::whole(self.images_of([rows, columns, 1]).table(samples)))
    }
}

fn folder_hint(path: &Path) -> Option<String> {
    let mut names: Vec<String> =
        read_dir(path).ok()?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.truncate(10);
    Some(match names.is_empty() {
        true => "the folder is empty".to_string(),
        false => format!("it has {}", names.join(", ")),
    })
}

/// Both parts of the dataset.
#[derive(Debug, PartialEq, Eq)]
struct Samples {
    train: Labelled,
    test: Labelled,
    shape: [usize; 3],
}

fn read_own(files: &[IdxFile; 4], fingerprint: &mut Fingerprint) -> Result<Samples> {
    let (train, size) = read_pair(&files[0], &files[1], fingerprint)?;
    let (test, test_size) = read_pair(&files[2], &files[3], fingerprint)?;
    if size != test_size {
        let message = format!(
            "training images have {} x {} pixels (`{}`), test images {} x {} (`{}`)",
            size[0],
            size[1],
            files[0].path.display(),
            test_size[0],
            test_size[1],
            files[2].path.display()
        );
        return Err(Diag::new(message).into());
    }
    Ok(Samples { train, test, shape: [size[0], size[1], 1] })
}

/// Images and their labels; also the images' rows and columns.
fn read_pair(
    images: &IdxFile,
    labels: &IdxFile,
    fingerprint: &mut Fingerprint,
) -> Result<(Labelled, [usize; 2])> {
    let pixels = images.read(Holds::Images, fingerprint)?;
    let classes = labels.read(Holds::Labels, fingerprint)?;
    same_count(images, pixels.sizes[0], labels, classes.sizes[0])?;
    check_labels(labels, &classes.data)?;
    let samples = Labelled { pixels: pixels.data, labels: numbers(&classes.data), others: None };
    Ok((samples, [pixels.sizes[1], pixels.sizes[2]]))
}

fn numbers(labels: &[u8]) -> Vec<u32> {
    labels.iter().copied().map(u32::from).collect()
}

fn same_count(images: &IdxFile, pixels: usize, labels: &IdxFile, classes: usize) -> Result<(), Diag> {
    if pixels == classes {
        return Ok(());
    }
    let (images, labels) = (images.path.display(), labels.path.display());
    Err(Diag::new(format!("`{images}` has {pixels} images and `{labels}` {classes} labels")))
}

fn check_labels(file: &IdxFile, labels: &[u8]) -> Result<(), Diag> {
    match labels.iter().position(|label| *label > 9) {
        None => Ok(()),
        Some(sample) => {
            let (name, label) = (file.path.display(), labels[sample]);
            Err(Diag::new(format!("`{name}`: sample {sample} has label {label}, labels are 0 to 9")))
        }
    }
}

/// Uncompressed files: through the `mnist` crate if they are the standard ones.
fn read_plain(folder: &Path, files: &[IdxFile; 4], fingerprint: &mut Fingerprint) -> Result<Samples> {
    let mut checked = Fingerprint::default();
    let mut standard = true;
    for ((file, holds), sizes) in files.iter().zip(HOLDS).zip(STANDARD) {
        standard &= match holds {
            Holds::Images => file.inspect(holds, &mut checked)? == sizes,
            Holds::Labels => {
                let labels = file.read(holds, &mut checked)?;
                check_labels(file, &labels.data)?;
                labels.sizes == sizes
            }
        };
    }
    match folder.to_str() {
        Some(folder) if standard => {
            *fingerprint = checked;
            read_with_crate(folder)
        }
        _ => read_own(files, fingerprint),
    }
}

/// Reads checked standard files. That the crate panics all the same means that they changed since.
fn read_with_crate(folder: &str) -> Result<Samples> {
    let read = catch_unwind(|| {
        ::mnist::MnistBuilder::new()
            .base_path(folder)
            .training_set_length(60_000)
            .validation_set_length(0)
            .test_set_length(10_000)
            .finalize()
    });
    let Ok(mut data) = read else {
        return Err(Failure::run(format!("the files in `{folder}` changed while they were read")));
    };
    // The crate's vector of training images has room for the test images too.
    data.trn_img.shrink_to_fit();
    Ok(Samples {
        train: Labelled { pixels: data.trn_img, labels: numbers(&data.trn_lbl), others: None },
        test: Labelled { pixels: data.tst_img, labels: numbers(&data.tst_lbl), others: None },
        shape: [28, 28, 1],
    })
}

#[cfg(test)]
mod tests;
