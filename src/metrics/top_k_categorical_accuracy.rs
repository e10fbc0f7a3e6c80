//! Share of rows whose class is among the `k` largest predictions, targets being one-hot.
//!
//! A class is among them if fewer than `k` predictions are larger: ties count in its favour.
//! Source: `keras.metrics.TopKCategoricalAccuracy`.

use super::mean::{MeanMetric, argmax, indicator};
use super::output::Fit;
use super::{Accumulator, Metric, OutputKind};
use crate::config::fields::Fields;
use crate::config::read::Wrong;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "top_k_categorical_accuracy",
    aliases: &["TopKCategoricalAccuracy"],
    about: "share of classes among the k largest predictions, targets being one-hot",
    parse: |f| {
        let fit = Fit::OneHot { sparse: Some("sparse_top_k_categorical_accuracy") };
        TopK::read(f, "top_k_categorical_accuracy", fit, argmax)
    },
};

/// Either kind of top-k accuracy.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    mean: MeanMetric,
}

impl TopK {
    /// `class` finds the class in a row of targets.
    pub fn read(f: &mut Fields<'_>, name: &str, fit: Fit, class: fn(&[f32]) -> usize) -> Box<dyn Metric> {
        let k: usize = f.key("k").at_least(1).or(5);
        let row = move |y_true: &[f32], y_pred: &[f32]| indicator(is_among(class(y_true), y_pred, k));
        Box::new(TopK { k, mean: MeanMetric::score(f, name, fit, row) })
    }
}

fn is_among(class: usize, y_pred: &[f32], k: usize) -> bool {
    let Some(of_class) = y_pred.get(class).filter(|p| p.is_finite()) else { return false };
    y_pred.iter().filter(|p| *p > of_class).count() < k
}

impl Metric for TopK {
    fn name(&self) -> &str {
        self.mean.name()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        let accumulator = self.mean.bind(output)?;
        if self.k >= output.units() {
            return Err(Wrong {
                message: format!("is always 1 with k = {} of {} classes", self.k, output.units()),
                hint: Some(format!("set `k` to less than {}, or use `accuracy`", output.units())),
            });
        }
        Ok(accumulator)
    }
}
