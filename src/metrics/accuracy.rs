//! Share of right predictions, of the kind that fits the output, chosen as Keras does:
//! `binary_accuracy` for one unit, `sparse_categorical_accuracy` for class numbers, and
//! `categorical_accuracy` else (also for several labels per sample: name `binary_accuracy` there).
//!
//! Source: `keras.src.trainers.compile_utils.get_metric`.

use super::fit::Fit;
use super::list::column;
use super::mean::MeanMetric;
use super::{Accumulator, Metric, OutputKind, TargetKind};
use super::{binary_accuracy, categorical_accuracy, sparse_categorical_accuracy};
use crate::config::read::Wrong;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "accuracy",
    aliases: &["acc"],
    about: "share of right predictions: binary, categorical or sparse, as the output asks for",
    parse: |f| Box::new(Accuracy { name: column(f, "accuracy") }),
};

#[derive(Debug)]
struct Accuracy {
    name: String,
}

impl Metric for Accuracy {
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
        Some("{ type = \"binary_accuracy\", threshold = 0.0 }")
    }

    fn bind(&self, output: &OutputKind) -> Result<Box<dyn Accumulator>, Wrong> {
        let row: fn(&[f32], &[f32]) -> f64 = match output.targets {
            _ if output.units() == 1 => |t, p| binary_accuracy::share(t, p, 0.5),
            TargetKind::ClassIndex { .. } => sparse_categorical_accuracy::is_right,
            TargetKind::OneHot { .. } | TargetKind::Values => categorical_accuracy::is_right,
        };
        let fits = match output.targets {
            TargetKind::ClassIndex { .. } if output.units() > 1 => Fit::ClassIndex { one_hot: "accuracy" },
            _ => Fit::EachUnit,
        };
        MeanMetric::new(self.name.clone(), true, fits, row).bind(output)
    }
}
