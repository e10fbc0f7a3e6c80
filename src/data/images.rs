//! Labelled images in memory: what `mnist`, `fashion_mnist`, `cifar10`, `digits` and `image_folder` share;
//! and clips, whose samples are several pictures each.
//!
//! Pixels stay bytes until a batch is gathered.

use std::sync::Arc;

use crate::data::common::{Common, LabelMode, class_counts};
use crate::data::pictures::clips::Frames;
use crate::data::pictures::files::Files;
use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::source::Fingerprint;
use crate::data::split::{Labels, divide};
use crate::data::{Dataset, Part, Rows, Table};
use crate::diag::Result;
use crate::shape::Shape;

/// `normalize` of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelScale {
    /// 0 to 1.
    Unit,
    /// As they are.
    None,
}

crate::words!(PixelScale, Unit = "unit", None = "none");

/// What is known of an image dataset before it is read.
#[derive(Clone, Debug)]
pub struct Images {
    pub scale: PixelScale,
    pub label_mode: LabelMode,
    pub common: Common,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// Of a sample that is a clip.
    pub frames: Option<Frames>,
    /// The pixel value that becomes 1.
    pub largest: f32,
    /// Name of the label column in a CSV.
    pub column: &'static str,
    pub class_names: Vec<String>,
}

/// Images one after the other, channels last, and a class number for each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    pub pixels: Vec<u8>,
    pub labels: Vec<u32>,
    /// Images behind those.
    pub others: Option<Files>,
}

impl Images {
    fn divisor(&self) -> f32 {
        match self.scale {
            PixelScale::Unit => self.largest,
            PixelScale::None => 1.0,
        }
    }

    /// Shape of a sample: `[H, W, C]`, of a clip `[T, H, W, C]`.
    fn sample_shape(&self) -> Vec<usize> {
        self.frames.iter().map(|frames| frames.count).chain(self.shape).collect()
    }

    pub fn preprocessing(&self) -> Preprocessing {
        let (shape, divisor) = (self.sample_shape(), self.divisor());
        Preprocessing {
            window: None,
            input: match self.frames {
                Some(frames) => InputEncoding::Clips { shape, divisor, frame_step: frames.step },
                None => InputEncoding::Pixels { shape, divisor },
            },
            target: TargetEncoding::Classes {
                column: self.column.to_string(),
                names: self.class_names.clone(),
                one_hot: self.label_mode == LabelMode::Categorical,
            },
        }
    }

    pub fn table(&self, samples: Labelled) -> Table {
        Table {
            targets: self.label_mode.targets(samples.labels.iter().copied(), self.class_names.len()),
            inputs: match (samples.others, self.sample_shape().iter().product(), self.divisor()) {
                (None, width, divisor) => Rows::U8 { data: samples.pixels, width, divisor },
                (Some(others), width, divisor) => {
                    Rows::Files { kept: samples.pixels, width, divisor, others }
                }
            },
            weights: None,
        }
    }

    /// Splits and counts.
    pub fn dataset(
        &self,
        mut train: Labelled,
        test: Option<Labelled>,
        seed: u64,
        fingerprint: Fingerprint,
    ) -> Result<Dataset> {
        let samples = self.common.limited(train.labels.len());
        train.labels.truncate(samples);
        train.pixels.truncate(samples * self.sample_shape().iter().product::<usize>());
        let labels = Labels { classes: Some(&train.labels), groups: None };
        let (rows, held_out) = divide(&self.common.validation, samples, labels, seed)?;
        let count = |name, rows: &[u32]| {
            class_counts(name, rows.iter().map(|r| train.labels[*r as usize]), &self.class_names)
        };
        let mut notes = vec![count("training", &rows)];
        notes.extend(held_out.as_ref().map(|rows| count("validation", rows)));
        let test = test.map(|test| {
            notes.push(class_counts("test", test.labels.iter().copied(), &self.class_names));
            Part::whole(self.table(test))
        });
        let table = Arc::new(self.table(train));
        let split_off = held_out.map(|rows| Part { table: table.clone(), rows });
        let (validation, test) = self.common.held_out(split_off, test);
        Ok(Dataset {
            input_shape: Shape::batch(self.sample_shape()),
            train: Part { table, rows },
            validation,
            test,
            preprocessing: self.preprocessing(),
            fingerprint: fingerprint.hex(),
            notes,
        })
    }
}
