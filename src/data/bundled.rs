//! `digits`, `iris`, `wine`, `breast_cancer`: small real data that is part of the program.
//!
//! UCI Machine Learning Repository, CC BY 4.0; see data/README.md.

use std::path::Path;

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::labelled;
use crate::data::preprocessing::Preprocessing;
use crate::data::records::Records;
use crate::data::source::{Fingerprint, Source};
use crate::data::split::Offers;
use crate::data::table::keys::{Missing, Named, Normalize, Task, Tasks};
use crate::data::table::{Format, TableSpec};
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::Result;

pub const DIGITS: Entry<dyn DatasetSpec> = Entry {
    name: "digits",
    aliases: &[],
    about: "1,797 scans of handwritten digits, 8x8 pixels, 10 classes (bundled)",
    parse: |f| Box::new(Digits::read(f)),
};

pub const IRIS: Entry<dyn DatasetSpec> = Entry {
    name: "iris",
    aliases: &[],
    about: "150 flowers, 4 measurements, 3 species (bundled)",
    parse: |f| Box::new(Bundled::read(f, "data/iris.csv", include_bytes!("../../data/iris.csv"), "species")),
};

pub const WINE: Entry<dyn DatasetSpec> = Entry {
    name: "wine",
    aliases: &[],
    about: "178 wines, 13 chemical measurements, 3 cultivars (bundled)",
    parse: |f| Box::new(Bundled::read(f, "data/wine.csv", include_bytes!("../../data/wine.csv"), "class")),
};

pub const BREAST_CANCER: Entry<dyn DatasetSpec> = Entry {
    name: "breast_cancer",
    aliases: &[],
    about: "569 tumours, 30 measurements, benign or malignant (bundled)",
    parse: |f| {
        let bytes = include_bytes!("../../data/breast_cancer.csv");
        Box::new(Bundled::read(f, "data/breast_cancer.csv", bytes, "diagnosis"))
    },
};

const SPLITS: Offers = Offers { test: false, columns: false };

fn format() -> Format {
    Format { header: true, delimiter: b',', missing_values: vec![String::new()] }
}

#[derive(Debug)]
struct Bundled(TableSpec);

impl Bundled {
    fn read(f: &mut Fields<'_>, name: &'static str, bytes: &'static [u8], target: &str) -> Bundled {
        let normalize = f.key("normalize").or(Normalize::Standard);
        let label_mode = f.key("label_mode").or(LabelMode::Int);
        let common = Common::read(f, SPLITS);
        Bundled(TableSpec {
            train: Source::Bundled { name, bytes },
            test: None,
            format: format(),
            target: vec![Named { name: target.to_string(), at: common.at.clone() }],
            features: None,
            in_time: false,
            drop: vec![],
            categorical: vec![],
            sample_weight: None,
            task: Tasks::All(Task::Classification),
            missing: Missing::Error,
            normalize,
            normalize_target: Normalize::None,
            label_mode,
            common,
        })
    }
}

impl DatasetSpec for Bundled {
    fn has_validation(&self) -> bool {
        self.0.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        self.0.load(cx)
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        labelled::load(path, fitted, None)
    }
}

const DIGITS_CSV: Source =
    Source::Bundled { name: "data/digits.csv", bytes: include_bytes!("../../data/digits.csv") };

/// Alpaydin and Kaynak: Optical Recognition of Handwritten Digits; pixels count 0 to 16.
#[derive(Debug)]
struct Digits(Images);

impl Digits {
    fn read(f: &mut Fields<'_>) -> Digits {
        Digits(Images {
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, SPLITS),
            shape: [8, 8, 1],
            frames: None,
            largest: 16.0,
            column: "digit",
            class_names: (0..10).map(|d| d.to_string()).collect(),
        })
    }
}

impl DatasetSpec for Digits {
    fn has_validation(&self) -> bool {
        self.0.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut fingerprint = Fingerprint::default();
        let reader = fingerprint.over(DIGITS_CSV.open()?);
        let mut records = Records::new(reader, DIGITS_CSV.path(), b',');
        let mut samples = Labelled::default();
        records.next()?;
        while let Some(row) = records.next()? {
            let mut cells =
                row.cells().map(|c| c.parse::<u8>().expect("the bundled file holds small numbers"));
            samples.pixels.extend(cells.by_ref().take(64));
            samples.labels.extend(cells.map(u32::from));
        }
        self.0.dataset(samples, None, cx.seed, fingerprint)
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        labelled::load(path, fitted, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rows;
    use crate::data::testing::{Folder, dataset};

    fn load(keys: &str) -> Dataset {
        dataset(keys).unwrap().load(&Folder::new().context()).unwrap()
    }

    #[test]
    fn sizes_and_classes() {
        for (name, samples, width, classes) in [
            ("iris", 150, 4, vec!["setosa", "versicolor", "virginica"]),
            ("wine", 178, 13, vec!["class_0", "class_1", "class_2"]),
            ("breast_cancer", 569, 30, vec!["benign", "malignant"]),
        ] {
            let data = load(&format!("type = \"{name}\""));
            assert_eq!((data.train.len(), data.input_shape.dims), (samples, vec![width]), "{name}");
            assert_eq!(data.preprocessing.classes().unwrap(), classes);
            assert!(data.validation.is_none() && data.test.is_none());
        }
        let digits = load("type = \"digits\"");
        assert_eq!((digits.train.len(), digits.input_shape.dims), (1797, vec![8, 8, 1]));
        assert_eq!(digits.notes.len(), 1);
        assert!(digits.notes[0].starts_with("training: 1797 samples (0 178, 1 182,"), "{:?}", digits.notes);
    }

    #[test]
    fn the_training_part_is_standardised() {
        let data = load("type = \"iris\", validation = 0.2");
        assert_eq!((data.train.len(), data.validation.as_ref().unwrap().len()), (120, 30));
        let mut row = [0.0; 4];
        let (mut sum, mut squares) = ([0.0f64; 4], [0.0f64; 4]);
        for r in &data.train.rows {
            data.train.table.inputs.copy_row(*r as usize, &mut row);
            for i in 0..4 {
                sum[i] += f64::from(row[i]);
                squares[i] += f64::from(row[i]).powi(2);
            }
        }
        for i in 0..4 {
            assert!(sum[i].abs() < 1e-4 && (squares[i] / 120.0 - 1.0).abs() < 1e-6, "{sum:?} {squares:?}");
        }
        assert!(data.notes[1].contains("setosa 10, versicolor 10, virginica 10"), "{:?}", data.notes);
    }

    #[test]
    fn digits_are_sixteenths_and_one_hot_on_request() {
        let data = load("type = \"digits\", label_mode = \"categorical\", limit = 5");
        assert_eq!((data.train.len(), data.train.table.targets.width()), (5, 10));
        let mut row = [0.0; 64];
        data.train.table.inputs.copy_row(0, &mut row);
        assert_eq!(row[..5], [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0]);
        let mut target = [0.0; 10];
        data.train.table.targets.copy_row(3, &mut target);
        assert_eq!(target.iter().position(|v| *v == 1.0), Some(3));
        let raw = load("type = \"digits\", normalize = \"none\"");
        assert!(matches!(raw.train.table.inputs, Rows::U8 { divisor: 1.0, .. }));
    }

    #[test]
    fn keys_are_checked() {
        for (keys, part) in [
            ("type = \"iris\", normalise = \"none\"", "unknown key `normalise`"),
            ("type = \"iris\", validation = \"test\"", "no test part"),
            ("type = \"iriss\"", "unknown dataset `iriss`"),
            ("type = \"digits\", normalize = \"standard\"", "is not one of"),
        ] {
            let diags = dataset(keys).unwrap_err();
            assert!(diags[0].message.contains(part), "{diags:?}");
        }
    }
}
