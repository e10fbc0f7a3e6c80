//! `nntrain generate`: a text gone on with, token by token.

use std::io::Write;
use std::path::Path;
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

/// Writes the prompt and what the model makes of it, as it comes. A stateful network is fed with one token
/// after the other, others with as many of the last ones as they were trained on.
///
/// Returns a note for the user if words of the prompt are unknown to the model.
///
/// # Errors
/// A model that does not give the next token at every place; a prompt with characters it does not know.
pub fn generate(
    mut loaded: Loaded,
    path: &Path,
    wish: &Wish,
    sink: &mut dyn Write,
) -> Result<Option<String>> {
    let preprocessing = loaded.meta.preprocessing.clone();
    let (InputEncoding::Tokens { vocabulary, .. }, TargetEncoding::NextToken) =
        (&preprocessing.input, &preprocessing.target)
    else {
        return Err(no_text(path, &preprocessing.input).into());
    };
    let prompt = Prompt::read(vocabulary, &wish.prompt)?;
    if loaded.experiment.task.reader().stateful().is_some() {
        loaded = loaded.step_by_step()?;
        (1..prompt.tokens.len()).for_each(|seen| run(&mut loaded, &prompt.tokens[..seen]));
    }
    let mut say = |text: &str| sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
    let heard = |e: std::io::Error| match e.kind() {
        // Whoever reads has seen enough: `| head`.
        std::io::ErrorKind::BrokenPipe => Ok(None),
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
        run(&mut loaded, &tokens);
        let (units, numbers) = (output.kind.units(), loaded.session.output(PREDICT, 0, 1));
        let last = tokens.len().min(numbers.len() / units) - 1;
        convert(&output, &numbers[last * units..][..units], &mut probabilities);
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
    say("\n").map_or_else(heard, |()| Ok(prompt.note))
}

/// Why a model does not go on with texts, and what it does instead.
fn no_text(path: &Path, input: &InputEncoding) -> Diag {
    let instead = match input {
        InputEncoding::Tokens { .. } => "it tells classes of texts",
        _ => "it was not trained on a text",
    };
    let diag = Diag::new(format!("the model in {} does not go on with a text: {instead}", path.display()));
    diag.hint("`nntrain predict` is for it; `generate` goes on where the dataset is `text`, without `column`")
}

/// Runs the network on the last of these tokens: as many as it takes, from the start of its window on.
fn run(loaded: &mut Loaded, tokens: &[u32]) {
    let input = loaded.session.input(PREDICT, 0, 1);
    let seen = &tokens[tokens.len().saturating_sub(input.len())..];
    input.fill(0.0);
    input.iter_mut().zip(seen).for_each(|(out, token)| *out = *token as f32);
    loaded.session.run(PREDICT, 1, 0);
}

struct Prompt {
    tokens: Vec<u32>,
    said: String,
    note: Option<String>,
}

/// Characters of a vocabulary that a message lists.
const LISTED: usize = 120;

impl Prompt {
    fn read(vocabulary: &Vocabulary, text: &str) -> Result<Prompt> {
        let encoded = vocabulary.lookup().encode(text);
        let (tokens, unknown) = encoded.map_err(|token| {
            let known =
                vocabulary.tokens.iter().take(LISTED).flat_map(|t| t.escape_debug().collect::<Vec<_>>());
            let known: String = known.collect();
            let more = vocabulary.tokens.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Diag::new(format!("the prompt has {token:?}, which the model has never seen"))
                .hint(format!("it knows {known}{more}"))
        })?;
        let note = (unknown > 0).then(|| {
            format!(
                "the model has never seen {unknown} of the prompt's {} words: it takes them for unknown ones",
                tokens.len()
            )
        });
        if !tokens.is_empty() {
            return Ok(Prompt { tokens, said: text.to_string(), note });
        }
        let first = vocabulary.tokens.iter().position(|t| t == "\n").unwrap_or(0);
        Ok(Prompt { tokens: vec![first as u32], said: String::new(), note })
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
