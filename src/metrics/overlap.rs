//! Metrics of how well areas of classes overlap, from counts over the whole epoch: `mean_iou` and `dice`.
//!
//! Of each class: the rows that are both of it and taken for it, that are of it, that are taken for it. A row
//! is taken for its largest unit; a single unit says yes above 0.5. Rows of `ignore_class`, or of a class
//! that is none of the output's, do not count. The mean goes over the classes that occur.

use super::list::column;
use super::mean::argmax;
use super::{Accumulator, Metric, OutputKind, TargetKind, ratio, restore_numbers};
use crate::config::fields::Fields;
use crate::config::read::Wrong;

/// A class's score from its three counts.
type Score = fn(both: f64, truth: f64, predicted: f64) -> f64;

#[derive(Clone, Debug)]
pub struct Overlap {
    name: String,
    ignore_class: Option<i64>,
    score: Score,
}

impl Overlap {
    pub fn read(f: &mut Fields<'_>, name: &str, score: Score) -> Box<dyn Metric> {
        let ignore_class = f.key("ignore_class").optional();
        Box::new(Overlap { name: column(f, name), ignore_class, score })
    }
}

impl Metric for Overlap {
    fn name(&self) -> &str {
        &self.name
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn judges_labels(&self) -> bool {
        true
    }

    fn instead_for_logits(&self) -> Option<&'static str> {
        Some("`activation = \"sigmoid\"` in the last layer, and no `from_logits`")
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        if output.targets == TargetKind::Values && output.units() > 1 {
            let shape = &output.shape;
            return Err(Wrong {
                message: format!(
                    "needs classes that exclude each other, but the targets of {shape} are values"
                ),
                hint: None,
            });
        }
        let classes = output.units().max(2);
        let (metric, output) = (self.clone(), output.clone());
        Ok(Box::new(Counts { metric, output, classes, counts: vec![0.0; 3 * classes] }))
    }
}

struct Counts {
    metric: Overlap,
    output: OutputKind,
    classes: usize,
    /// For each class: both, truth, predicted.
    counts: Vec<f64>,
}

impl Accumulator for Counts {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            let truth = if let [class] = y_true { *class as i64 } else { argmax(y_true) as i64 };
            if self.metric.ignore_class == Some(truth) || !(0..self.classes as i64).contains(&truth) {
                continue;
            }
            let predicted = if let [p] = y_pred { usize::from(*p > 0.5) } else { argmax(y_pred) };
            let truth = truth as usize;
            if truth == predicted {
                self.counts[3 * truth] += weight;
            }
            self.counts[3 * truth + 1] += weight;
            self.counts[3 * predicted + 2] += weight;
        }
    }

    fn value(&self) -> f64 {
        let occur = self.counts.chunks_exact(3).filter(|c| c[1] + c[2] > 0.0);
        let (sum, count) = occur
            .fold((0.0, 0.0), |(sum, count), c| (sum + (self.metric.score)(c[0], c[1], c[2]), count + 1.0));
        ratio(sum, count)
    }

    fn reset(&mut self) {
        self.counts.fill(0.0);
    }

    fn state(&self) -> Vec<f64> {
        self.counts.clone()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        restore_numbers(&mut self.counts, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;
    use crate::shape::Shape;

    fn value(word: &str, output: &OutputKind, y_true: &[f32], y_pred: &[f32]) -> f64 {
        let mut bound = METRICS.make(word).0.bind(output).unwrap();
        let samples = y_true.len() / output.target_width();
        bound.update(y_true, y_pred, &vec![1.0; samples]);
        let mut other = METRICS.make(word).0.bind(output).unwrap();
        other.restore(&bound.state()).unwrap();
        assert_eq!(other.value(), bound.value());
        bound.value()
    }

    #[test]
    fn overlaps_of_three_classes_on_four_pixels() {
        let targets = TargetKind::ClassIndex { classes: 4 };
        let output = OutputKind { shape: Shape::batch([2, 2, 4]), targets, ignore: None };
        // True 0 0 1 and one pixel that does not count; taken for 0 1 1; class 2 and 3 do not occur.
        let y_true = [0.0, 0.0, 1.0, 255.0];
        let hot = |class: usize| (0..4).map(move |c| if c == class { 0.9 } else { 0.0 });
        let y_pred: Vec<f32> = [0, 1, 1, 3].into_iter().flat_map(hot).collect();
        assert_eq!(value("mean_iou", &output, &y_true, &y_pred), (0.5 + 0.5) / 2.0);
        assert_eq!(value("dice", &output, &y_true, &y_pred), (2.0 / 3.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(value("accuracy", &output, &y_true, &y_pred), 2.0 / 3.0);
    }

    #[test]
    fn a_class_of_the_output_that_does_not_count() {
        let targets = TargetKind::ClassIndex { classes: 2 };
        let output = OutputKind { shape: Shape::batch([3, 2]), targets, ignore: Some(1) };
        let (y_true, y_pred) = ([0.0, 1.0, 0.0], [0.9, 0.1, 0.9, 0.1, 0.2, 0.8]);
        for word in ["accuracy", "sparse_categorical_accuracy"] {
            assert_eq!(value(word, &output, &y_true, &y_pred), 0.5, "{word}");
        }
        assert_eq!(value("mean_iou", &output, &y_true, &y_pred), 0.25);
    }

    /// The example of `keras.metrics.MeanIoU`.
    #[test]
    fn keras_s_mean_iou() {
        let targets = TargetKind::ClassIndex { classes: 2 };
        let output = OutputKind { shape: Shape::batch([2]), targets, ignore: None };
        let (y_true, y_pred) = ([0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        for (weights, expected) in [([1.0; 4], 1.0 / 3.0), ([0.3, 0.3, 0.3, 0.1], 0.238_095_25)] {
            let mut bound = METRICS.make("mean_iou").0.bind(&output).unwrap();
            bound.update(&y_true, &y_pred, &weights);
            assert!((bound.value() - expected).abs() < 1e-7, "{}", bound.value());
        }
    }

    #[test]
    fn one_unit_is_two_classes() {
        let targets = TargetKind::ClassIndex { classes: 2 };
        let output = OutputKind { shape: Shape::batch([4, 1]), targets, ignore: None };
        let found = value("mean_iou", &output, &[0.0, 1.0, 1.0, 0.0], &[0.1, 0.9, 0.2, 0.3]);
        assert!((found - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12, "{found}");
    }
}
