//! Report on next tokens: how surprising each was, on average.

use serde_json::{Map, Value as Json, json};

use crate::metrics::mean::argmax;
use crate::metrics::ratio;

#[derive(Debug, Default)]
pub struct Tokens {
    count: u64,
    right: u64,
    /// Sum of the negative logarithms of the true tokens' probabilities.
    nats: f64,
}

impl Tokens {
    /// The token's number, and the probability of each.
    pub fn add(&mut self, y_true: &[f32], y_pred: &[f32]) {
        let token = y_true[0] as usize;
        self.count += 1;
        self.right += u64::from(argmax(y_pred) == token);
        self.nats -= libm::log(f64::from(y_pred[token]).max(f64::MIN_POSITIVE));
    }

    fn measures(&self) -> [f64; 3] {
        let nats = ratio(self.nats, self.count as f64);
        [nats, libm::exp(nats), ratio(self.right as f64, self.count as f64)]
    }

    pub fn text(&self) -> String {
        let [nats, perplexity, accuracy] = self.measures();
        let count = self.count;
        format!(
            "{nats:.4} nats per token, perplexity {perplexity:.3}, the likeliest token is right in {:.2} % of {count}\n",
            accuracy * 100.0
        )
    }

    pub fn json(&self) -> Map<String, Json> {
        let [nats, perplexity, accuracy] = self.measures();
        let object = [
            ("tokens", json!(self.count)),
            ("nats_per_token", json!(nats)),
            ("perplexity", json!(perplexity)),
            ("token_accuracy", json!(accuracy)),
        ];
        object.map(|(key, value)| (key.to_string(), value)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_probability_a_quarter_has_perplexity_four() {
        let mut tokens = Tokens::default();
        tokens.add(&[1.0], &[0.7, 0.25, 0.05]);
        tokens.add(&[1.0], &[0.5, 0.25, 0.25]);
        let [nats, perplexity, accuracy] = tokens.measures();
        assert!((nats - libm::log(4.0)).abs() < 1e-12 && (perplexity - 4.0).abs() < 1e-9 && accuracy == 0.0);
        assert_eq!(tokens.json()["tokens"], 2);
    }
}
