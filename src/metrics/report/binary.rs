//! Exact area under the ROC curve of two classes: the chance that a positive scores higher than a
//! negative, equal scores counting half (Mann-Whitney).

use crate::metrics::ratio;

/// Scores of all samples: the area needs their order, which no fixed number of sums holds.
#[derive(Debug, Default)]
pub struct Binary {
    scores: Vec<(f64, bool)>,
}

impl Binary {
    /// `y_pred` is one unit, or two of which the second is for the positive class.
    pub fn add(&mut self, positive: bool, y_pred: &[f32]) {
        let score = match y_pred {
            [p] => f64::from(*p),
            // The difference orders softmax outputs and logits alike.
            _ => f64::from(y_pred[1]) - f64::from(y_pred[0]),
        };
        self.scores.push((score, positive));
    }

    /// 0 if one of the classes does not occur.
    pub fn auc(&self) -> f64 {
        let mut scores = self.scores.clone();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut below, mut positives, mut pairs) = (0.0, 0.0, 0.0);
        for equal in scores.chunk_by(|a, b| a.0 == b.0) {
            let here = equal.iter().filter(|(_, positive)| *positive).count() as f64;
            let negatives = equal.len() as f64 - here;
            pairs += here * (below + negatives / 2.0);
            below += negatives;
            positives += here;
        }
        ratio(pairs, positives * below)
    }
}
