//! What `nntrain eval` says of an output besides its metrics.
//!
//! For classes: precision, recall, F1 and support of each, their averages, and the confusion
//! matrix, for masks also the intersection over union of each; for two classes also the four counts and the exact area under the ROC curve; for values:
//! errors in the target's own units. Every row counts once, whatever its sample's weight. What
//! would be divided by nothing is 0, as in Keras and scikit-learn.

use serde_json::{Map, Value as Json};

use super::OutputKind;
use crate::data::preprocessing::TargetEncoding;

mod binary;
mod classes;
mod table;
mod tokens;
mod values;

/// A report that grows batch by batch.
#[derive(Debug)]
pub struct Report {
    output: OutputKind,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Classes(classes::Classes),
    Values(values::Values),
    Tokens(tokens::Tokens),
}

impl Report {
    /// An empty report on an output with these targets.
    pub fn new(target: &TargetEncoding, output: &OutputKind) -> Report {
        let kind = match target {
            TargetEncoding::Classes { names, .. } => {
                Kind::Classes(classes::Classes::new(names, output.units()))
            }
            TargetEncoding::Mask { names, .. } => {
                Kind::Classes(classes::Classes::of_pixels(names, output.units()))
            }
            TargetEncoding::Values { columns } => Kind::Values(values::Values::new(columns)),
            TargetEncoding::NextToken => Kind::Tokens(tokens::Tokens::default()),
            TargetEncoding::Input | TargetEncoding::Several { .. } => {
                Kind::Values(values::Values::of_all("input"))
            }
        };
        Report { output: output.clone(), kind }
    }

    /// Takes in a batch. Classes are judged by the largest of their units, and a single unit by
    /// whether it is above 0.5: it must be a probability.
    pub fn update(&mut self, y_true: &[f32], y_pred: &[f32]) {
        let counts = self.output.row_counts();
        let true_rows = y_true.chunks_exact(self.output.row_target_width());
        let rows = true_rows.zip(y_pred.chunks_exact(self.output.units()));
        for (y_true, y_pred) in rows.filter(|(t, _)| counts(t)) {
            match &mut self.kind {
                Kind::Classes(classes) => classes.add(y_true, y_pred),
                Kind::Values(values) => values.add(y_true, y_pred),
                Kind::Tokens(tokens) => tokens.add(y_true, y_pred),
            }
        }
    }

    /// For reading in a terminal of 80 columns.
    pub fn text(&self) -> String {
        match &self.kind {
            Kind::Classes(classes) => classes.text(),
            Kind::Values(values) => values.text(),
            Kind::Tokens(tokens) => tokens.text(),
        }
    }

    /// The same as keys of the JSON object that `eval --json` prints. Classes: `classes`,
    /// `confusion_matrix` (a row for each true class), `per_class`, `macro_average`,
    /// `weighted_average`, and `binary` where there are two; values: `per_column`; next tokens: `perplexity`.
    pub fn json(&self) -> Map<String, Json> {
        match &self.kind {
            Kind::Classes(classes) => classes.json(),
            Kind::Values(values) => values.json(),
            Kind::Tokens(tokens) => tokens.json(),
        }
    }
}

#[cfg(test)]
mod tests;
