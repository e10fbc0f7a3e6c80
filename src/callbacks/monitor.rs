//! What a callback looks at, and which way is better.

use crate::callbacks::Scene;
use crate::config::fields::Fields;
use crate::diag::suggest;

/// A column of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    pub name: String,
    pub higher_is_better: bool,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Auto,
    Min,
    Max,
}

crate::words!(Mode, Auto = "auto", Min = "min", Max = "max");

impl Monitor {
    /// Reads `monitor` and `mode`; the column must exist.
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> Monitor {
        let name: String = f.key("monitor").or("val_loss".to_string());
        let mode = f.key("mode").or(Mode::Auto);
        let column = scene.columns.iter().find(|(column, _)| *column == name);
        if column.is_none() {
            let known: Vec<&str> = scene.columns.iter().map(|c| c.0.as_str()).collect();
            let hint = match name.strip_prefix("val_") {
                Some(own) if known.contains(&own) => {
                    Some("there is no validation part: give the dataset a `validation`, or monitor the training value".into())
                }
                _ => suggest(&name, &known),
            };
            let message = if f.has("monitor") {
                format!("`{name}` is not measured")
            } else {
                format!("`{name}`, the default, is not measured")
            };
            f.error("monitor", message, hint);
        }
        let higher_is_better = match mode {
            Mode::Auto => column.is_some_and(|c| c.1),
            Mode::Min => false,
            Mode::Max => true,
        };
        Monitor { name, higher_is_better }
    }

    /// Worse than everything.
    pub fn worst(&self) -> f64 {
        if self.higher_is_better { f64::NEG_INFINITY } else { f64::INFINITY }
    }

    /// Whether `value` is better than `than` by more than `min_delta`; never so for NaN.
    pub fn improves(&self, value: f64, than: f64, min_delta: f64) -> bool {
        if self.higher_is_better { value - min_delta > than } else { value + min_delta < than }
    }
}
