//! Datasets: from files to samples in memory.
//!
//! A dataset's file holds its TOML keys and its `load`; [`DATASETS`] is the table of all of them.
//! Whatever was fitted on the training part (means, categories, class names) lands in
//! [`preprocessing::Preprocessing`], which the checkpoint stores and `predict` uses.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::registry::Registry;
use crate::data::pictures::files::Files;
use crate::diag::{Diag, Result};
use crate::kernels::par::{Pool, for_chunks};
use crate::kernels::prefetch::prefetch;
use crate::shape::Shape;

mod bundled;
mod cifar10;
mod class_folders;
mod common;
mod csv;
mod decimal;
mod download;
mod idx;
mod image_folder;
mod images;
mod labelled;
mod mask_folder;
mod mistakes;
mod mnist;
mod moving_shapes;
pub mod pictures;
mod places;
pub mod preprocessing;
mod records;
pub mod rows;
mod scene;
mod segments;
mod series;
mod shapes;
mod source;
mod split;
mod table;
#[cfg(test)]
mod testing;
pub mod text;
mod video;

/// All datasets.
pub const DATASETS: Registry<dyn DatasetSpec> = Registry {
    kind: "dataset",
    entries: &[
        mnist::MNIST,
        mnist::FASHION_MNIST,
        cifar10::ENTRY,
        image_folder::ENTRY,
        video::ENTRY,
        bundled::DIGITS,
        bundled::IRIS,
        bundled::WINE,
        bundled::BREAST_CANCER,
        csv::ENTRY,
        series::ENTRY,
        shapes::ENTRY,
        moving_shapes::ENTRY,
        text::ENTRY,
    ],
};

/// The word after `[dataset] type = `: its keys, and how to load it.
pub trait DatasetSpec: Debug + Send + Sync {
    /// Reads everything; all mistakes found in the data are returned together.
    fn load(&self, cx: &LoadContext) -> Result<Dataset>;

    /// Whether the keys ask for a validation part: known before anything is read.
    fn has_validation(&self) -> bool;

    /// Reads other data of the same kind for `eval --data`, with preprocessing fitted earlier.
    fn load_other(&self, path: &std::path::Path, fitted: &preprocessing::Preprocessing) -> Result<Part>;
}

/// What a dataset's `load` may depend on besides its own keys.
#[derive(Clone, Debug)]
pub struct LoadContext {
    /// Folder of the config file: relative paths start here.
    pub config_dir: PathBuf,
    /// `--data-dir`, if given.
    pub data_dir: Option<PathBuf>,
    pub seed: u64,
    /// Whether the task learns the targets: there is nothing to say of those that nobody looks at.
    pub learns_targets: bool,
    /// Threads to decode on.
    pub threads: usize,
    /// Whether a download may be tried and a progress bar shown on stderr.
    pub allow_download: bool,
    pub show_progress: bool,
}

/// A loaded dataset.
#[derive(Debug)]
pub struct Dataset {
    /// Shape of one input, batched: `[N, 28, 28, 1]`.
    pub input_shape: Shape,
    pub train: Part,
    pub validation: Option<Part>,
    pub test: Option<Part>,
    pub preprocessing: preprocessing::Preprocessing,
    /// SHA-256 (hex) over everything that was read: the stored data's identity.
    pub fingerprint: String,
    /// What the user should know: dropped rows, unseen categories, class counts of each part.
    pub notes: Vec<String>,
}

/// Some samples of a table, in a fixed order: the training part, the validation part, ...
#[derive(Clone, Debug)]
pub struct Part {
    pub table: Arc<Table>,
    /// Rows of the table that belong to the part.
    pub rows: Vec<u32>,
}

/// Samples in memory: one row of inputs and one of targets for each.
#[derive(Debug)]
pub struct Table {
    pub inputs: Rows,
    /// Class numbers (width 1), one-hot rows (width = classes) or values (width = columns).
    pub targets: Rows,
    /// One factor per row; `None` means 1 everywhere.
    pub weights: Option<Vec<f32>>,
}

/// Row-major numbers, `width` per row.
#[derive(Debug)]
pub enum Rows {
    F32 {
        data: Vec<f32>,
        width: usize,
    },
    /// Bytes that stand for `byte / divisor`: images stay small in memory.
    U8 {
        data: Vec<u8>,
        width: usize,
        divisor: f32,
    },
    /// Pictures of which the first are kept as bytes, and the others decoded whenever they are asked for.
    Files {
        kept: Vec<u8>,
        width: usize,
        divisor: f32,
        others: Files,
    },
    /// Runs of `length` points of a series, `width` numbers each: row i starts at point `first + i`.
    Windows {
        points: Vec<f32>,
        width: usize,
        first: usize,
        length: usize,
    },
}

impl Rows {
    pub fn width(&self) -> usize {
        match self {
            Rows::F32 { width, .. } | Rows::U8 { width, .. } | Rows::Files { width, .. } => *width,
            Rows::Windows { width, length, .. } => width * length,
        }
    }

    pub fn len(&self) -> usize {
        let numbers = match self {
            Rows::F32 { data, .. } => data.len(),
            Rows::U8 { data, .. } => data.len(),
            Rows::Files { kept, width, others, .. } => return kept.len() / width + others.count(),
            Rows::Windows { points, width, first, length } => {
                return (points.len() / width + 1).saturating_sub(first + length);
            }
        };
        numbers / self.width().max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a row's numbers lie.
    fn range(&self, row: usize) -> Range<usize> {
        let start = match self {
            Rows::Windows { width, first, .. } => (first + row) * width,
            _ => row * self.width(),
        };
        start..start + self.width()
    }

    fn prefetch_row(&self, row: usize) {
        match self {
            Rows::F32 { data, .. } | Rows::Windows { points: data, .. } => prefetch(&data[self.range(row)]),
            Rows::U8 { data, .. } => prefetch(&data[self.range(row)]),
            Rows::Files { .. } => {}
        }
    }

    /// Copies one row out as numbers; `out` has `width` entries. Of a file that can be read no longer they are
    /// NaN, and [`Rows::failure`] tells why.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Rows::F32 { data, .. } | Rows::Windows { points: data, .. } => {
                out.copy_from_slice(&data[self.range(row)]);
            }
            Rows::U8 { data, divisor, .. } => scaled(&data[self.range(row)], *divisor, out),
            Rows::Files { kept, width, divisor, others } => {
                let held = kept.len() / width;
                match row.checked_sub(held).map(|number| others.pixels(number)) {
                    None => scaled(&kept[self.range(row)], *divisor, out),
                    Some(Some(pixels)) => scaled(&pixels, *divisor, out),
                    Some(None) => out.fill(f32::NAN),
                }
            }
        }
    }

    /// Whether a row is in memory, or a file.
    pub fn holds(&self, row: usize) -> bool {
        !matches!(self, Rows::Files { kept, width, .. } if row >= kept.len() / width)
    }

    /// Why a row could not be copied.
    fn failure(&self) -> Option<&str> {
        match self {
            Rows::Files { others, .. } => others.failure(),
            _ => None,
        }
    }
}

impl Part {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Why samples could not be gathered: then they are not finite.
    pub fn failure(&self) -> Option<Diag> {
        let why = self.table.inputs.failure()?;
        Some(Diag::new(why).hint("the files must stay as they are while a run goes on"))
    }

    /// Whether each sample begins where the one before it ends.
    pub fn is_walk(&self) -> bool {
        let Rows::Windows { length, .. } = self.table.inputs else { return false };
        self.rows.windows(2).all(|pair| pair[0] as usize + length == pair[1] as usize)
    }

    /// Gathers samples `order` (positions within the part) into dense rows.
    ///
    /// `weights` gets each sample's factor, 1 where the table has none.
    pub fn gather(
        &self,
        pool: &Pool,
        order: &[u32],
        inputs: &mut [f32],
        targets: &mut [f32],
        weights: &mut [f32],
    ) {
        let Table { inputs: from, targets: labels, weights: factors } = &*self.table;
        let width = from.width();
        let row = |position: u32| self.rows[position as usize] as usize;
        let at_once = (GATHERED / width.max(1)).max(1);
        for_chunks(pool, inputs, at_once * width, |chunk, inputs| {
            let order = &order[chunk * at_once..];
            order.iter().take(at_once).for_each(|position| from.prefetch_row(row(*position)));
            for (out, position) in inputs.chunks_exact_mut(width).zip(order) {
                from.copy_row(row(*position), out);
            }
        });
        let width = labels.width();
        for ((out, weight), position) in targets.chunks_exact_mut(width).zip(weights).zip(order) {
            labels.copy_row(row(*position), out);
            *weight = factors.as_ref().map_or(1.0, |w| w[row(*position)]);
        }
    }
}

/// Numbers that one task gathers.
const GATHERED: usize = 1 << 12;

simd! {
    /// `out = bytes / divisor`
    fn scaled(bytes: &[u8], divisor: f32, out: &mut [f32]) {
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = f32::from(*byte) / divisor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_samples_asked_for_in_their_order() {
        let width = 1500;
        let bytes: Vec<u8> = (0..20 * width).map(|i| (i * 31 % 251) as u8).collect();
        let numbers: Vec<f32> = bytes.iter().map(|b| f32::from(*b) / 255.0).collect();
        let order = [3, 0, 6, 6, 5, 1, 2];
        for inputs in
            [Rows::U8 { data: bytes, width, divisor: 255.0 }, Rows::F32 { data: numbers.clone(), width }]
        {
            let targets = Rows::F32 { data: (0..20).map(|i| i as f32).collect(), width: 1 };
            let table = Table { inputs, targets, weights: Some((0..20).map(|i| 0.5 * i as f32).collect()) };
            let part = Part { table: Arc::new(table), rows: (0..20).rev().step_by(2).collect() };
            for threads in [1, 3] {
                let (mut x, mut y, mut w) = (vec![f32::NAN; 7 * width], [f32::NAN; 7], [f32::NAN; 7]);
                part.gather(&Pool::new(threads), &order, &mut x, &mut y, &mut w);
                for (k, position) in order.iter().enumerate() {
                    let row = 19 - 2 * *position as usize;
                    assert_eq!((y[k], w[k]), (row as f32, 0.5 * row as f32));
                    assert_eq!(x[k * width..(k + 1) * width], numbers[row * width..(row + 1) * width]);
                }
            }
        }
    }
}
