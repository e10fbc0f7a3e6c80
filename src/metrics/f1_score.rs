//! Harmonic mean of precision and recall, per class and then averaged.
//!
//! ```text
//! P = tp / (tp + fp + e);  R = tp / (tp + fn + e);  F1 = 2 P R / (P + R + e);  e = 1e-7
//! ```
//! `average` is "macro" (the mean over the classes; Keras's default is a list, which no history
//! column can hold), "weighted" by the classes' true counts, or "micro" (all counts together).
//! Without `threshold` the largest unit of a row says yes. One unit alone would then always do so:
//! there the threshold is 0.5. Class numbers are taken as if they were one-hot.
//! Source: `keras.metrics.F1Score`.

use super::list::column;
use super::{Accumulator, Metric, OutputKind, restore_numbers};
use crate::config::read::Wrong;
use crate::config::registry::Entry;
use crate::words;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "f1_score",
    aliases: &["f1", "F1Score"],
    about: "harmonic mean of precision and recall, averaged over the classes",
    parse: |f| {
        let average = f.key("average").or(Average::Macro);
        let threshold: Option<f64> = f.key("threshold").above(0.0).optional();
        if let Some(threshold) = threshold.filter(|t| *t > 1.0) {
            f.error("threshold", format!("must be at most 1, got {threshold}"), None);
        }
        let threshold = threshold.map(|t| t as f32);
        Box::new(F1Score { name: column(f, "f1_score"), average, threshold })
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Average {
    Macro,
    Micro,
    Weighted,
}

words!(Average, Macro = "macro", Micro = "micro", Weighted = "weighted");

#[derive(Debug)]
struct F1Score {
    name: String,
    average: Average,
    threshold: Option<f32>,
}

impl Metric for F1Score {
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
        Some("precision and recall with thresholds = 0.0")
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        let alone = (output.units() == 1).then_some(0.5);
        Ok(Box::new(F1 {
            average: self.average,
            threshold: self.threshold.or(alone),
            output: output.clone(),
            counts: vec![0.0; 3 * output.units()],
        }))
    }
}

struct F1 {
    average: Average,
    threshold: Option<f32>,
    output: OutputKind,
    /// True positives, false positives and false negatives of each unit.
    counts: Vec<f64>,
}

/// Keras's guard against division by zero.
const EPSILON: f64 = 1e-7;

fn f1(counts: &[f64; 3]) -> f64 {
    let [true_positives, false_positives, false_negatives] = *counts;
    let precision = true_positives / (true_positives + false_positives + EPSILON);
    let recall = true_positives / (true_positives + false_negatives + EPSILON);
    2.0 * precision * recall / (precision + recall + EPSILON)
}

impl Accumulator for F1 {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        let (classes, _) = self.counts.as_chunks_mut::<3>();
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            let largest = y_pred.iter().fold(f32::NEG_INFINITY, |m, p| m.max(*p));
            for (unit, (counts, p)) in classes.iter_mut().zip(y_pred).enumerate() {
                let yes = match self.threshold {
                    Some(threshold) => *p > threshold,
                    // A row of zeros says nothing.
                    None => *p >= largest && p.abs() > 1e-9,
                };
                match (self.output.is_positive(y_true, unit), yes) {
                    (true, true) => counts[0] += weight,
                    (false, true) => counts[1] += weight,
                    (true, false) => counts[2] += weight,
                    (false, false) => {}
                }
            }
        }
    }

    fn value(&self) -> f64 {
        let (classes, _) = self.counts.as_chunks::<3>();
        match self.average {
            Average::Macro => classes.iter().map(f1).sum::<f64>() / classes.len() as f64,
            Average::Micro => {
                let sum = |which: usize| classes.iter().map(|counts| counts[which]).sum();
                f1(&[sum(0), sum(1), sum(2)])
            }
            Average::Weighted => {
                let positives = |counts: &[f64; 3]| counts[0] + counts[2];
                let all: f64 = classes.iter().map(positives).sum();
                classes.iter().map(|counts| f1(counts) * positives(counts) / (all + EPSILON)).sum()
            }
        }
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
