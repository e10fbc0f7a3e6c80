//! Pictures with masks in memory: what `image_folder` with `task = "segment"` and `shapes` share.
//!
//! Both stay bytes until a batch is gathered. A sample's target is `[H, W]` class numbers.

use std::sync::Arc;

use crate::data::common::Common;
use crate::data::images::PixelScale;
use crate::data::pictures::load::Size;
use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::source::Fingerprint;
use crate::data::split::{Labels, divide};
use crate::data::{Dataset, Part, Rows, Table};
use crate::diag::Result;
use crate::shape::Shape;

/// What is known before anything is read.
#[derive(Clone, Debug)]
pub struct Segments {
    pub size: Size,
    pub scale: PixelScale,
    /// By class number.
    pub names: Vec<String>,
    /// Stands at pixels that are of no class.
    pub ignore: Option<u8>,
    pub common: Common,
}

/// Pictures one after the other, channels last, and a class number for each pixel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Masked {
    pub pixels: Vec<u8>,
    pub masks: Vec<u8>,
}

impl Segments {
    fn divisor(&self) -> f32 {
        match self.scale {
            PixelScale::Unit => 255.0,
            PixelScale::None => 1.0,
        }
    }

    /// Pixels of a mask.
    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    pub fn input(&self) -> InputEncoding {
        InputEncoding::Pixels { shape: self.size.to_vec(), divisor: self.divisor() }
    }

    /// Pictures as rows.
    pub fn rows(&self, pixels: Vec<u8>) -> Rows {
        Rows::U8 { data: pixels, width: self.size.iter().product(), divisor: self.divisor() }
    }

    fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            window: None,
            input: self.input(),
            target: TargetEncoding::Mask {
                shape: [self.size[0], self.size[1]],
                names: self.names.clone(),
                ignore: self.ignore,
            },
        }
    }

    pub fn table(&self, samples: Masked) -> Table {
        Table {
            inputs: self.rows(samples.pixels),
            targets: Rows::U8 { data: samples.masks, width: self.area(), divisor: 1.0 },
            weights: None,
        }
    }

    /// "training: 80 pictures (background 75.0 %, circle 25.0 %)": shares of pixels.
    fn shares<'a>(&self, part: &str, masks: impl Iterator<Item = &'a [u8]>) -> String {
        let (mut counts, mut pictures) = ([0u64; 256], 0);
        for mask in masks {
            mask.iter().for_each(|class| counts[usize::from(*class)] += 1);
            pictures += 1;
        }
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let share =
            |name: &str, class: usize| format!("{name} {:.1} %", 100.0 * counts[class] as f64 / total);
        let ignore = self.ignore.map(usize::from);
        let known = self.names.iter().enumerate().map(|(class, name)| match ignore == Some(class) {
            true => format!("{}, which does not count", share(name, class)),
            false => share(name, class),
        });
        let none = ignore.filter(|class| *class >= self.names.len());
        let none = none.map(|class| share("of no class", class));
        let shares: Vec<String> = known.chain(none).collect();
        format!("{part}: {pictures} pictures ({})", shares.join(", "))
    }

    /// Splits and counts.
    pub fn dataset(
        &self,
        train: Masked,
        test: Option<Masked>,
        seed: u64,
        fingerprint: Fingerprint,
    ) -> Result<Dataset> {
        let samples = train.masks.len() / self.area();
        let (rows, held_out) = divide(&self.common.validation, samples, Labels::default(), seed)?;
        let of = |rows: &[u32]| {
            let masks = rows.iter().map(|row| &train.masks[*row as usize * self.area()..][..self.area()]);
            masks.collect::<Vec<&[u8]>>().into_iter()
        };
        let mut notes = vec![self.shares("training", of(&rows))];
        notes.extend(held_out.as_ref().map(|rows| self.shares("validation", of(rows))));
        let test = test.map(|test| {
            notes.push(self.shares("test", test.masks.chunks_exact(self.area())));
            Part::whole(self.table(test))
        });
        let table = Arc::new(self.table(train));
        let split_off = held_out.map(|rows| Part { table: table.clone(), rows });
        let (validation, test) = self.common.held_out(split_off, test);
        Ok(Dataset {
            input_shape: Shape::batch(self.size),
            train: Part { table, rows },
            validation,
            test,
            preprocessing: self.preprocessing(),
            fingerprint: fingerprint.hex(),
            notes,
        })
    }
}
