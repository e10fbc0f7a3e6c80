//! `nntrain generate`: a text gone on with, token by token.

use std::io::Write;
use std::sync::atomic::Ordering;

use crate::data::preprocessing::{InputEncoding, TargetEncoding};
use crate::data::text::tokenizer::{Tokenizer, UNKNOWN, Vocabulary};
use crate::diag::{Diag, Failure, Result};
use crate::model::lower::PREDICT;
use crate::rng::Stream;
use crate::train::fit::INTERRUPTED;
use crate::train::setup::{Loaded, convert};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What to go on with; empty: a new line, or the first token of the vocabulary.
    pub prompt: String,
    pub tokens: usize,
    /// Probabilities to the power of `1 / temperature`, divided by their sum; 0: the likeliest token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are drawn from.
    pub top_k: Option<usize>,
    pub seed: u64,
}

/// Writes the prompt and what the model makes of it, as it comes.
///
/// # Errors
/// A model that does not give the next token at every place; a prompt with tokens it does not know.
pub fn generate(mut loaded: Loaded, wish: &Wish, sink: &mut dyn Write) -> Result<()> {
    let preprocessing = loaded.meta.preprocessing.clone();
    let (InputEncoding::Tokens { vocabulary, length, .. }, TargetEncoding::NextToken) =
        (&preprocessing.input, &preprocessing.target)
    else {
        let diag = Diag::new("this model does not go on with a text");
        return Err(diag.hint("its dataset is `text`, without `column`").into());
    };
    let prompt = Prompt::read(vocabulary, &wish.prompt)?;
    let mut say = |text: &str| sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
    let heard = |e: std::io::Error| match e.kind() {
        // Whoever reads has seen enough: `| head`.
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::run(format!("cannot write to standard output: {e}"))),
    };
    if let Err(e) = say(&prompt.said) {
        return heard(e);
    }
    let stream = Stream::new(wish.seed, "generate");
    let (mut tokens, mut probabilities) = (prompt.tokens, vec![]);
    let output = loaded.outputs[0].clone();
    let between = vocabulary.tokenizer == Tokenizer::Word;
    for step in 0..wish.tokens {
        if INTERRUPTED.load(Ordering::SeqCst) {
            break;
        }
        let seen = &tokens[tokens.len().saturating_sub(*length)..];
        let input = loaded.session.input(PREDICT, 0, 1);
        input.fill(0.0);
        input.iter_mut().zip(seen).for_each(|(out, token)| *out = *token as f32);
        let last = seen.len() - 1;
        loaded.session.run(PREDICT, 1, 0);
        let units = output.kind.units();
        let row = &loaded.session.output(PREDICT, 0, 1)[last * units..(last + 1) * units];
        convert(&output, row, &mut probabilities);
        // A word that nobody knows cannot be said.
        if let Some(unknown) = vocabulary.tokens.iter().position(|t| t == UNKNOWN) {
            probabilities[unknown] = 0.0;
        }
        let token = draw(&probabilities, wish, stream.uniform(step as u32, 0));
        tokens.push(token as u32);
        let word = &vocabulary.tokens[token];
        if let Err(e) = if between { say(&format!(" {word}")) } else { say(word) } {
            return heard(e);
        }
    }
    say("\n").or_else(heard)
}

struct Prompt {
    tokens: Vec<u32>,
    said: String,
}

impl Prompt {
    fn read(vocabulary: &Vocabulary, text: &str) -> Result<Prompt> {
        let encoded = vocabulary.lookup().encode(text);
        let (tokens, _) = encoded.map_err(|token| {
            Diag::new(format!("the prompt has {token:?}, which the model has never seen"))
                .hint(format!("it knows {}", vocabulary.tokens.concat().escape_debug()))
        })?;
        if !tokens.is_empty() {
            return Ok(Prompt { tokens, said: text.to_string() });
        }
        let first = vocabulary.tokens.iter().position(|t| t == "\n").unwrap_or(0);
        Ok(Prompt { tokens: vec![first as u32], said: String::new() })
    }
}

/// The token at `place` (0 to 1) of the sharpened or flattened probabilities.
fn draw(probabilities: &[f32], wish: &Wish, place: f32) -> usize {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
    if wish.temperature == 0.0 {
        return order[0];
    }
    order.truncate(wish.top_k.unwrap_or(usize::MAX).max(1));
    // Relative to the likeliest: no power of it runs out of range.
    let most = f64::from(probabilities[order[0]]).max(f64::MIN_POSITIVE);
    let weight = |token: &usize| libm::pow(f64::from(probabilities[*token]) / most, 1.0 / wish.temperature);
    let weights: Vec<f64> = order.iter().map(weight).collect();
    let mut left = f64::from(place) * weights.iter().sum::<f64>();
    for (token, weight) in order.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return *token;
        }
    }
    order[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(temperature: f64, top_k: Option<usize>) -> Wish {
        Wish { prompt: String::new(), tokens: 1, temperature, top_k, seed: 0 }
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        let p = [0.1, 0.6, 0.3];
        let drawn = |wish: &Wish, expected: [i32; 3]| {
            let mut counts = [0; 3];
            (0..1000).for_each(|i| counts[draw(&p, wish, (i as f32 + 0.5) / 1000.0)] += 1);
            let near = counts.iter().zip(expected).all(|(n, e)| i32::abs(n - e) <= 1);
            assert!(near, "{wish:?}: {counts:?}");
        };
        drawn(&wish(1.0, None), [100, 600, 300]);
        drawn(&wish(1.0, Some(2)), [0, 667, 333]);
        drawn(&wish(0.0, None), [0, 1000, 0]);
        // Squares: 0.01, 0.36, 0.09 of 0.46.
        drawn(&wish(0.5, None), [22, 782, 196]);
        drawn(&wish(1e-3, None), [0, 1000, 0]);
    }
}
