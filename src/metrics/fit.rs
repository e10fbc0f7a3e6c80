//! Which outputs a metric takes.

use crate::config::read::Wrong;
use crate::target::{OutputKind, TargetKind};

/// What a metric compares.
#[derive(Clone, Copy, Debug)]
pub enum Fit {
    /// A target number for each unit.
    EachUnit,
    /// The four sides of a box: `x_min, y_min, x_max, y_max`.
    Box,
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
            Fit::Box if class_numbers => wrong(
                "needs boxes as x_min, y_min, x_max, y_max, but the targets are class numbers".into(),
                None,
            ),
            Fit::Box if units != 4 => wrong(
                format!("needs four numbers, x_min, y_min, x_max and y_max, but the output is {shape}"),
                None,
            ),
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
