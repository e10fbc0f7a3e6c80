//! What a metric must know of the output that it judges.

use crate::config::read::Wrong;
use crate::shape::Shape;

/// One output of the network and its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputKind {
    /// Of the predictions, batched: `[N, units]`, `[N, steps, units]`, ...
    pub shape: Shape,
    pub targets: TargetKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// One class number for each row of units.
    ClassIndex { classes: usize },
    /// A number per unit, 1 at the class.
    OneHot { classes: usize },
    /// A number per unit: values, or several labels of 0 and 1.
    Values,
}

impl OutputKind {
    /// Rows of units in a sample: 1, or the steps of a sequence, or the pixels of a mask.
    pub fn rows(&self) -> usize {
        self.shape.size() / self.units()
    }

    /// Numbers in a row of the predictions.
    pub fn units(&self) -> usize {
        self.shape.last()
    }

    /// Numbers in a row of the targets.
    pub fn row_target_width(&self) -> usize {
        match self.targets {
            TargetKind::ClassIndex { .. } => 1,
            TargetKind::OneHot { .. } | TargetKind::Values => self.units(),
        }
    }

    /// Target numbers per sample.
    pub fn target_width(&self) -> usize {
        self.rows() * self.row_target_width()
    }

    /// Whether the target at `unit` of a row is positive: the sample is of that class, or bears
    /// that label. Class numbers are taken as if they were one-hot.
    #[inline]
    pub fn is_positive(&self, row: &[f32], unit: usize) -> bool {
        match self.targets {
            TargetKind::ClassIndex { .. } if self.units() > 1 => row[0] == unit as f32,
            TargetKind::ClassIndex { .. } => row[0] != 0.0,
            TargetKind::OneHot { .. } | TargetKind::Values => row[unit] != 0.0,
        }
    }

    /// Rows of targets and predictions, with the weight of the sample that they are of.
    pub fn row_pairs<'a>(
        &self,
        y_true: &'a [f32],
        y_pred: &'a [f32],
        weights: &'a [f32],
    ) -> impl Iterator<Item = (&'a [f32], &'a [f32], f64)> + use<'a> {
        let (rows, true_width, units) = (self.rows(), self.row_target_width(), self.units());
        assert_eq!(y_true.len(), weights.len() * rows * true_width, "targets of the batch");
        assert_eq!(y_pred.len(), weights.len() * rows * units, "predictions of the batch");
        let pairs = y_true.chunks_exact(true_width).zip(y_pred.chunks_exact(units));
        pairs.enumerate().map(move |(row, (t, p))| (t, p, f64::from(weights[row / rows])))
    }
}

/// Which outputs a metric takes.
#[derive(Clone, Copy, Debug)]
pub enum Fit {
    /// A target number for each unit.
    EachUnit,
    /// One unit per class, and one-hot targets; the name of the metric for class numbers.
    OneHot { sparse: Option<&'static str> },
    /// One unit per class, and class numbers; the name of the metric for one-hot targets.
    ClassIndex { one_hot: &'static str },
}

impl Fit {
    pub fn check(self, output: &OutputKind) -> Result<(), Wrong> {
        let (units, shape) = (output.units(), &output.shape);
        let class_numbers = matches!(output.targets, TargetKind::ClassIndex { .. });
        let wrong = |message: String, hint: Option<String>| Err(Wrong { message, hint });
        match self {
            Fit::EachUnit if class_numbers && units > 1 => wrong(
                format!(
                    "compares number by number, but the targets are class numbers and the output is {shape}"
                ),
                Some("`accuracy` and `sparse_categorical_crossentropy` take class numbers".into()),
            ),
            Fit::OneHot { .. } | Fit::ClassIndex { .. } if units == 1 => wrong(
                format!("needs one unit per class, but the output is {shape}"),
                Some(
                    "one unit is judged by `accuracy`, `binary_crossentropy`, `precision`, `recall`, `auc`"
                        .into(),
                ),
            ),
            Fit::OneHot { sparse } if class_numbers => wrong(
                "needs one-hot targets, but the targets are class numbers".into(),
                sparse.map(|name| format!("use `{name}`")),
            ),
            Fit::ClassIndex { one_hot } if !class_numbers => wrong(
                format!("needs class numbers, but the targets have {units} columns"),
                Some(format!("use `{one_hot}`")),
            ),
            _ => Ok(()),
        }
    }
}
