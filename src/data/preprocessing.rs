//! What was fitted on the training part and turns raw input into numbers and back.
//!
//! Stored as JSON in the checkpoint, so that `eval` and `predict` need nothing else.

use serde::{Deserialize, Serialize};

use crate::data::text::tokenizer::Vocabulary;
use crate::shape::Shape;
use crate::target::TargetKind;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Of one row of a CSV: a sample, or a point of a series.
    pub input: InputEncoding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    pub target: TargetEncoding,
}

/// Of a series a sample is `points` rows, one after the other; its target the `horizon` rows behind them,
/// whose columns are called `name+1`, `name+2`, ... where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub points: usize,
    pub horizon: usize,
    /// From one sample's start to the next.
    #[serde(default = "next_point")]
    pub stride: usize,
}

/// What is not written in older checkpoints.
fn next_point() -> usize {
    1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputEncoding {
    /// Images as rows of raw pixel values, row-major, channels last, divided by `divisor`.
    /// As CSV: `pixel_<row>_<column>` (and `_<channel>` where there is more than one channel).
    Pixels { shape: Vec<usize>, divisor: f32 },
    /// Clips, `[T, H, W, C]`, as CSV `pixel_<frame>_<row>_<column>`. `frame_step`: each so many-th frame of
    /// the middle of a folder of frames, else they are spread evenly over all of it.
    Clips { shape: Vec<usize>, divisor: f32, frame_step: Option<usize> },
    /// Table columns in input order.
    /// Without a header, a column's name is its number from 0.
    Columns { columns: Vec<Column>, missing_values: Vec<String>, header: bool, delimiter: char },
    /// Token numbers: of a running text, or of the text in a CSV's column, cut or filled up with 0.
    Tokens { vocabulary: Vocabulary, length: usize, column: Option<String> },
}

/// One feature column of a CSV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub encoding: ColumnEncoding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnEncoding {
    /// `(value - offset) / scale`; a missing cell becomes `fill`, or is an error without one.
    Number { offset: f64, scale: f64, fill: Option<f64> },
    /// One-hot over `categories`, and a last slot for what training never saw.
    Category { categories: Vec<String>, fill: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetEncoding {
    /// Class names in class order; `one_hot` as the tutorials' `to_categorical`.
    Classes { column: String, names: Vec<String>, one_hot: bool },
    /// Regression: one entry per target column, `(value - offset) / scale`.
    Values { columns: Vec<ValueColumn> },
    /// A class number for each pixel, of images of this height and width. `ignore`: what stands at
    /// pixels that are of no class.
    Mask { shape: [usize; 2], names: Vec<String>, ignore: Option<u8> },
    /// The token behind each token of the input, of the same vocabulary.
    NextToken,
    /// Several targets, one after the other in a row.
    Several { parts: Vec<NamedTarget> },
    /// The input itself, which an autoencoder gives back. No dataset has it as its target.
    Input,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedTarget {
    pub name: String,
    pub encoding: TargetEncoding,
}

/// One of a dataset's targets.
#[derive(Clone, Debug)]
pub struct TargetPart<'p> {
    /// None for the only one.
    pub name: Option<&'p str>,
    pub encoding: &'p TargetEncoding,
    pub kind: TargetKind,
    /// Of a sample's target, batched: none of its own for one class number.
    pub shape: Shape,
    /// Its numbers in the row of targets.
    pub range: std::ops::Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueColumn {
    pub name: String,
    pub offset: f64,
    pub scale: f64,
}

/// `(value - offset) / scale` in f64, then rounded once: the one way in which a number is encoded.
pub fn scaled(value: f64, offset: f64, scale: f64) -> f32 {
    ((value - offset) / scale) as f32
}

/// The columns of a box: shares of a picture's width and height, x to the right and y downwards.
pub const BOX: [&str; 4] = ["x_min", "y_min", "x_max", "y_max"];

impl TargetEncoding {
    /// What stands at pixels of a mask that do not count.
    pub fn ignored(&self) -> Option<u8> {
        match self {
            TargetEncoding::Mask { ignore, .. } => *ignore,
            _ => None,
        }
    }

    /// Whether it says where something is in a picture.
    pub fn is_box(&self) -> bool {
        matches!(self, TargetEncoding::Values { columns } if columns.iter().map(|c| c.name.as_str()).eq(BOX))
    }
}

impl ValueColumn {
    /// What the network says, in the target's units.
    pub fn decode(&self, value: f32) -> f64 {
        f64::from(value) * self.scale + self.offset
    }
}

impl InputEncoding {
    /// Numbers per sample.
    pub fn width(&self) -> usize {
        match self {
            InputEncoding::Pixels { shape, .. } | InputEncoding::Clips { shape, .. } => {
                shape.iter().product()
            }
            InputEncoding::Columns { columns, .. } => columns.iter().map(|c| c.encoding.width()).sum(),
            InputEncoding::Tokens { length, .. } => *length,
        }
    }

    /// What each number of a sample is called, and how it becomes what the user wrote.
    pub fn value_columns(&self) -> Vec<ValueColumn> {
        let number = |name: String, offset, scale| ValueColumn { name, offset, scale };
        match self {
            InputEncoding::Pixels { shape, divisor } | InputEncoding::Clips { shape, divisor, .. } => {
                pixel_names(shape).into_iter().map(|name| number(name, 0.0, f64::from(*divisor))).collect()
            }
            InputEncoding::Columns { columns, .. } => {
                let of = |column: &Column| match &column.encoding {
                    ColumnEncoding::Number { offset, scale, .. } => {
                        vec![number(column.name.clone(), *offset, *scale)]
                    }
                    ColumnEncoding::Category { categories, .. } => {
                        let words = categories.iter().map(String::as_str).chain(["(unseen)"]);
                        words.map(|word| number(format!("{}={word}", column.name), 0.0, 1.0)).collect()
                    }
                };
                columns.iter().flat_map(of).collect()
            }
            InputEncoding::Tokens { length, .. } => {
                (0..*length).map(|i| number(format!("token_{i}"), 0.0, 1.0)).collect()
            }
        }
    }

    pub fn delimiter(&self) -> char {
        match self {
            InputEncoding::Columns { delimiter, .. } => *delimiter,
            _ => ',',
        }
    }
}

/// `pixel_<row>_<column>`, and `_<channel>` where there is more than one; of clips the frame comes first.
pub fn pixel_names(shape: &[usize]) -> Vec<String> {
    // The only channel has no number.
    let axes = shape.strip_suffix(&[1]).unwrap_or(shape);
    let name = |mut number: usize| {
        let mut places: Vec<String> = vec![];
        for size in axes.iter().rev() {
            places.push(format!("_{}", number % size));
            number /= size;
        }
        places.push("pixel".into());
        places.iter().rev().map(String::as_str).collect()
    };
    (0..shape.iter().product()).map(name).collect()
}

impl ColumnEncoding {
    /// Numbers that the column gives to the network.
    pub fn width(&self) -> usize {
        match self {
            ColumnEncoding::Number { .. } => 1,
            ColumnEncoding::Category { categories, .. } => categories.len() + 1,
        }
    }
}

impl Preprocessing {
    /// Class names, where a sample's target is a class.
    pub fn classes(&self) -> Option<&[String]> {
        match &self.target {
            TargetEncoding::Classes { names, .. } => Some(names),
            TargetEncoding::Values { .. }
            | TargetEncoding::NextToken
            | TargetEncoding::Mask { .. }
            | TargetEncoding::Several { .. }
            | TargetEncoding::Input => None,
        }
    }

    /// How many different tokens the inputs are of, where they are tokens.
    pub fn vocabulary(&self) -> Option<usize> {
        match &self.input {
            InputEncoding::Tokens { vocabulary, .. } => Some(vocabulary.tokens.len()),
            _ => None,
        }
    }

    /// All targets, in their order in the row.
    pub fn parts(&self) -> Vec<TargetPart<'_>> {
        let encodings: Vec<(Option<&str>, &TargetEncoding)> = match &self.target {
            TargetEncoding::Several { parts } => {
                parts.iter().map(|part| (Some(part.name.as_str()), &part.encoding)).collect()
            }
            one => vec![(None, one)],
        };
        let mut end = 0;
        let part = |(name, encoding)| {
            let (kind, shape) = (self.kind_of(encoding), self.shape_of(encoding));
            let range = end..end + shape.size();
            end = range.end;
            TargetPart { name, encoding, kind, shape, range }
        };
        encodings.into_iter().map(part).collect()
    }

    /// What targets are for losses and metrics.
    fn kind_of(&self, target: &TargetEncoding) -> TargetKind {
        match (target, &self.input) {
            (TargetEncoding::Classes { names, one_hot: true, .. }, _) => {
                TargetKind::OneHot { classes: names.len() }
            }
            (TargetEncoding::Classes { names, .. } | TargetEncoding::Mask { names, .. }, _) => {
                TargetKind::ClassIndex { classes: names.len() }
            }
            (TargetEncoding::NextToken, InputEncoding::Tokens { vocabulary, .. }) => {
                TargetKind::ClassIndex { classes: vocabulary.tokens.len() }
            }
            _ => TargetKind::Values,
        }
    }

    fn shape_of(&self, target: &TargetEncoding) -> Shape {
        match target {
            TargetEncoding::Classes { names, one_hot: true, .. } => Shape::batch([names.len()]),
            TargetEncoding::Classes { .. } => Shape::batch([]),
            TargetEncoding::Mask { shape, .. } => Shape::batch(*shape),
            TargetEncoding::Values { columns } => Shape::batch([columns.len()]),
            TargetEncoding::NextToken | TargetEncoding::Input => Shape::batch([self.input.width()]),
            TargetEncoding::Several { .. } => Shape::batch([self.target_width()]),
        }
    }

    /// Shape of a sample's row of targets, batched.
    pub fn target_shape(&self) -> Shape {
        self.shape_of(&self.target)
    }

    /// What each number of a sample is called, and its units: of a series' window the columns of each point,
    /// `value_0`, `value_1`, ... from the oldest on.
    pub fn sample_columns(&self) -> Vec<ValueColumn> {
        let point = self.input.value_columns();
        let Some(window) = self.window else { return point };
        let at = |step: usize| {
            let name = move |c: &ValueColumn| format!("{}_{step}", c.name);
            point.iter().map(move |c| ValueColumn { name: name(c), ..c.clone() })
        };
        (0..window.points).flat_map(at).collect()
    }

    /// Numbers per sample in the target.
    pub fn target_width(&self) -> usize {
        self.parts().last().map_or(0, |part| part.range.end)
    }
}
