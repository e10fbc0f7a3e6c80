//! Counts of right and wrong yes-or-no decisions: what precision and recall are made of.
//!
//! A unit says yes where its prediction is above the threshold (and, with `top_k`, among the
//! largest `top_k` of its row, the first of equals). With `class_id` only that unit counts;
//! without it all units of all classes are counted together (micro average), as in Keras. Class
//! numbers are taken as if they were one-hot.
//! Source: `keras.metrics.Precision`, `keras.metrics.Recall`.

use super::list::column;
use super::{Accumulator, Metric, OutputKind, restore_numbers};
use crate::config::fields::Fields;
use crate::config::read::Wrong;

/// Weighted counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub true_positives: f64,
    pub false_positives: f64,
    pub false_negatives: f64,
}

/// Precision or recall: `result` makes it of the counts.
#[derive(Clone, Debug)]
pub struct ThresholdMetric {
    name: String,
    threshold: f32,
    top_k: Option<usize>,
    class_id: Option<usize>,
    result: fn(Counts) -> f64,
}

impl ThresholdMetric {
    pub fn read(f: &mut Fields<'_>, name: &str, result: fn(Counts) -> f64) -> Box<dyn Metric> {
        let top_k = f.key("top_k").at_least(1).optional();
        let key = f.key("thresholds").at_least(0.0);
        let threshold: f64 = match top_k {
            // The largest are taken whatever they are, unless a threshold is asked for too.
            Some(_) => key.optional().unwrap_or(f64::NEG_INFINITY),
            None => key.or(0.5),
        };
        if threshold > 1.0 {
            f.error("thresholds", format!("must be at most 1, got {threshold}"), None);
        }
        let class_id = f.key("class_id").optional();
        let threshold = threshold as f32;
        Box::new(ThresholdMetric { name: column(f, name), threshold, top_k, class_id, result })
    }
}

impl Metric for ThresholdMetric {
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
        (self.threshold == 0.5).then_some("the same with thresholds = 0.0")
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        let units = output.units();
        if let Some(class) = self.class_id.filter(|class| *class >= units) {
            return Err(Wrong {
                message: format!("has class_id = {class}, but the output has {units} units"),
                hint: Some(match units {
                    1 => "one unit has no classes to choose from: leave `class_id` out".into(),
                    _ => format!("classes are counted from 0 to {}", units - 1),
                }),
            });
        }
        if let Some(k) = self.top_k.filter(|k| *k >= units) {
            let message = format!("has top_k = {k}, but the output has {units} units: all would say yes");
            return Err(Wrong::new(message));
        }
        Ok(Box::new(ThresholdCounts {
            metric: self.clone(),
            output: output.clone(),
            order: (0..units).collect(),
            says_yes: vec![false; units],
            counts: Counts::default(),
        }))
    }
}

struct ThresholdCounts {
    metric: ThresholdMetric,
    output: OutputKind,
    /// Units by falling prediction; scratch space for `top_k`.
    order: Vec<usize>,
    says_yes: Vec<bool>,
    counts: Counts,
}

impl ThresholdCounts {
    fn decide(&mut self, y_pred: &[f32]) {
        for (yes, p) in self.says_yes.iter_mut().zip(y_pred) {
            *yes = *p > self.metric.threshold;
        }
        if let Some(k) = self.metric.top_k {
            self.order.sort_unstable_by(|a, b| y_pred[*b].total_cmp(&y_pred[*a]).then(a.cmp(b)));
            self.order[k..].iter().for_each(|unit| self.says_yes[*unit] = false);
        }
    }
}

impl Accumulator for ThresholdCounts {
    fn update(&mut self, y_true: &[f32], y_pred: &[f32], weights: &[f32]) {
        let units = match self.metric.class_id {
            Some(class) => class..class + 1,
            None => 0..self.output.units(),
        };
        for (y_true, y_pred, weight) in self.output.row_pairs(y_true, y_pred, weights) {
            self.decide(y_pred);
            for unit in units.clone() {
                match (self.output.is_positive(y_true, unit), self.says_yes[unit]) {
                    (true, true) => self.counts.true_positives += weight,
                    (false, true) => self.counts.false_positives += weight,
                    (true, false) => self.counts.false_negatives += weight,
                    (false, false) => {}
                }
            }
        }
    }

    fn value(&self) -> f64 {
        (self.metric.result)(self.counts)
    }

    fn reset(&mut self) {
        self.counts = Counts::default();
    }

    fn state(&self) -> Vec<f64> {
        let Counts { true_positives, false_positives, false_negatives } = self.counts;
        vec![true_positives, false_positives, false_negatives]
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        let mut numbers = [0.0; 3];
        restore_numbers(&mut numbers, state)?;
        let [true_positives, false_positives, false_negatives] = numbers;
        self.counts = Counts { true_positives, false_positives, false_negatives };
        Ok(())
    }
}
