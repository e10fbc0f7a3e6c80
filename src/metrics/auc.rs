//! Area under a curve that a moving threshold draws: ROC (recall over false positive rate) or PR
//! (precision over recall), from `num_thresholds` thresholds at even distances in [0, 1].
//!
//! `summation_method` says how the area between two thresholds is taken: "interpolation" (by
//! trapezoids for ROC; for PR by the true positives, Davis and Goadrich, ICML 2006), "minoring" or
//! "majoring" (rectangles of the lower or the higher value). All units are counted together; class
//! numbers are taken as if they were one-hot. Predictions outside [0, 1] count as 0 or 1: logits
//! need `from_logits = true`. Source: `keras.metrics.AUC`.

use super::list::column;
use super::{Accumulator, Metric, OutputKind, ratio, restore_numbers};
use crate::config::read::Wrong;
use crate::config::registry::Entry;
use crate::words;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "auc",
    aliases: &["AUC"],
    about: "area under the ROC curve, or the precision-recall curve",
    parse: |f| {
        let thresholds = f.key("num_thresholds").at_least(2).or(200usize);
        let curve = f.key("curve").or(Curve::Roc);
        let summation = f.key("summation_method").or(Summation::Interpolation);
        let from_logits = f.key("from_logits").or(false);
        Box::new(Auc { name: column(f, "auc"), thresholds, curve, summation, from_logits })
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    Roc,
    Pr,
}

words!(Curve, Roc = "ROC", Pr = "PR");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summation {
    Interpolation,
    Minoring,
    Majoring,
}

words!(Summation, Interpolation = "interpolation", Minoring = "minoring", Majoring = "majoring");

#[derive(Clone, Debug)]
struct Auc {
    name: String,
    thresholds: usize,
    curve: Curve,
    summation: Summation,
    from_logits: bool,
}

impl Metric for Auc {
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
        (!self.from_logits).then_some("the same with from_logits = true")
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        let sums = vec![0.0; 2 * self.thresholds];
        Ok(Box::new(Area { auc: self.clone(), output: output.clone(), sums }))
    }
}

struct Area {
    auc: Auc,
    output: OutputKind,
    /// For each interval between thresholds, the last being empty: the weight of the positives and
    /// of the negatives with a prediction in it.
    sums: Vec<f64>,
}

/// Weights above a threshold.
#[derive(Clone, Copy)]
struct Above {
    positives: f64,
    negatives: f64,
}

impl Area {
    /// The interval of a prediction: thresholds below it are 0 to this one. In `f32`, as Keras does
    /// it: in `f64` a prediction of 0.3 would lie above a threshold of 0.3.
    fn interval(&self, prediction: f32) -> usize {
        let p = if self.auc.from_logits { 1.0 / (1.0 + libm::expf(-prediction)) } else { prediction };
        let place = (p.clamp(0.0, 1.0) * (self.auc.thresholds - 1) as f32).ceil() - 1.0;
        place.max(0.0) as usize
    }

    /// Adds the area between neighbouring thresholds, from the highest down.
    fn sum(&self, totals: Above, part: impl Fn(Above, Above, Above) -> f64) -> f64 {
        let mut above = Above { positives: 0.0, negatives: 0.0 };
        let (intervals, _) = self.sums.as_chunks::<2>();
        let mut area = 0.0;
        for [positives, negatives] in intervals.iter().rev().skip(1) {
            let next =
                Above { positives: above.positives + positives, negatives: above.negatives + negatives };
            area += part(next, above, totals);
            above = next;
        }
        area
    }
}

/// The stretch between two thresholds of a curve y over x, by rectangles or a trapezoid.
fn stretch(summation: Summation, lower: (f64, f64), higher: (f64, f64)) -> f64 {
    let height = match summation {
        Summation::Interpolation => (lower.1 + higher.1) / 2.0,
        Summation::Minoring => lower.1.min(higher.1),
        Summation::Majoring => lower.1.max(higher.1),
    };
    (lower.0 - higher.0) * height
}

/// Area of precision over recall, the true positives being linear in all positive decisions.
fn interpolated_precision(lower: Above, higher: Above, totals: Above) -> f64 {
    let (all_lower, all_higher) = (lower.positives + lower.negatives, higher.positives + higher.negatives);
    let found = lower.positives - higher.positives;
    let slope = ratio(found, all_lower - all_higher);
    let intercept = higher.positives - slope * all_higher;
    let growth = if all_lower > 0.0 && all_higher > 0.0 { all_lower / all_higher } else { 1.0 };
    ratio(slope * (found + intercept * libm::log(growth)), totals.positives)
}

impl Accumulator for Area {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            for (unit, p) in y_pred.iter().enumerate() {
                let negative = usize::from(!self.output.is_positive(y_true, unit));
                let place = 2 * self.interval(*p) + negative;
                self.sums[place] += weight;
            }
        }
    }

    fn value(&self) -> f64 {
        let (intervals, _) = self.sums.as_chunks::<2>();
        let totals = Above {
            positives: intervals.iter().map(|i| i[0]).sum(),
            negatives: intervals.iter().map(|i| i[1]).sum(),
        };
        let recall = |above: Above| ratio(above.positives, totals.positives);
        let precision = |above: Above| ratio(above.positives, above.positives + above.negatives);
        let summation = self.auc.summation;
        match (self.auc.curve, summation) {
            (Curve::Roc, _) => {
                let point = |above: Above| (ratio(above.negatives, totals.negatives), recall(above));
                self.sum(totals, |lower, higher, _| stretch(summation, point(lower), point(higher)))
            }
            (Curve::Pr, Summation::Interpolation) => self.sum(totals, interpolated_precision),
            (Curve::Pr, _) => {
                let point = |above: Above| (recall(above), precision(above));
                self.sum(totals, |lower, higher, _| stretch(summation, point(lower), point(higher)))
            }
        }
    }

    fn reset(&mut self) {
        self.sums.fill(0.0);
    }

    fn state(&self) -> Vec<f64> {
        self.sums.clone()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        restore_numbers(&mut self.sums, state)
    }
}
