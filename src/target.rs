//! What losses and metrics must know of the output that they judge.

use crate::shape::Shape;

/// One output of the network and its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputKind {
    /// Of the predictions, batched: `[N, units]`, `[N, steps, units]`, ...
    pub shape: Shape,
    pub targets: TargetKind,
    /// The number of a class whose rows do not count, though it is one of the classes.
    pub ignore: Option<u8>,
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

    /// Whether a row counts, by its target: not one of a mask's pixels that are of no class, whose numbers lie
    /// behind those of the classes, or are of the class to ignore.
    pub fn row_counts(&self) -> impl Fn(&[f32]) -> bool + use<> {
        let classes = match self.targets {
            TargetKind::ClassIndex { classes } => Some(classes.max(self.units()).max(2) as f32),
            TargetKind::OneHot { .. } | TargetKind::Values => None,
        };
        let ignore = self.ignore.map(f32::from);
        move |row| classes.is_none_or(|classes| row[0] < classes && Some(row[0]) != ignore)
    }

    /// Rows of targets and predictions that count, with the weight of the sample that they are of.
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
        let counts = self.row_counts();
        let weighted = pairs.enumerate().map(move |(row, (t, p))| (t, p, f64::from(weights[row / rows])));
        weighted.filter(move |(t, _, _)| counts(t))
    }
}

/// How an output becomes what people ask for: the probability of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// It is that already, or a value.
    AsTheyAre,
    /// Logits of independent yes-or-no questions.
    Sigmoid,
    /// Logits of classes that exclude each other.
    Softmax,
    /// A signed distance from the border between two classes, 1 at the margin: `(m + 1) / 2` cut to
    /// [0, 1] keeps the border at 1/2; it is a score, not a calibrated probability.
    Margin,
}
