//! `tokenizer`: how text becomes tokens, and tokens numbers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The key `tokenizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// Every character is a token.
    Character,
    /// Words between blanks, in lower case and without punctuation, as Keras's `TextVectorization`.
    Word,
}

crate::words!(Tokenizer, Character = "character", Word = "word");

/// What Keras's `TextVectorization` strips.
const PUNCTUATION: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'";

/// Stands for tokens that are not in the vocabulary.
pub const UNKNOWN: &str = "[UNK]";

impl Tokenizer {
    pub fn tokens(self, text: &str) -> Vec<String> {
        match self {
            Tokenizer::Character => text.chars().map(String::from).collect(),
            Tokenizer::Word => {
                let kept: String =
                    text.to_lowercase().chars().filter(|c| !PUNCTUATION.contains(*c)).collect();
                kept.split_whitespace().map(String::from).collect()
            }
        }
    }

    /// Tokens as text.
    pub fn join<'t>(self, tokens: impl Iterator<Item = &'t str>) -> String {
        let between = match self {
            Tokenizer::Character => "",
            Tokenizer::Word => " ",
        };
        tokens.collect::<Vec<_>>().join(between)
    }
}

/// Tokens by their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    pub tokenizer: Tokenizer,
    pub tokens: Vec<String>,
}

impl Vocabulary {
    /// `reserved`, then the most frequent tokens, at most `most` in all; equally frequent ones (and all
    /// characters) in the order of their text.
    pub fn fit<'t>(
        tokenizer: Tokenizer,
        reserved: &[&str],
        texts: impl Iterator<Item = &'t str>,
        most: Option<usize>,
    ) -> Vocabulary {
        let mut counts: HashMap<String, usize> = HashMap::new();
        texts.flat_map(|text| tokenizer.tokens(text)).for_each(|t| *counts.entry(t).or_default() += 1);
        let mut found: Vec<(String, usize)> = counts.into_iter().collect();
        found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.truncate(most.map_or(usize::MAX, |most| most.saturating_sub(reserved.len())));
        let mut found: Vec<String> = found.into_iter().map(|(token, _)| token).collect();
        if tokenizer == Tokenizer::Character {
            found.sort();
        }
        Vocabulary { tokenizer, tokens: reserved.iter().map(|t| t.to_string()).chain(found).collect() }
    }

    /// Looks tokens up.
    pub fn lookup(&self) -> Lookup<'_> {
        let numbers = self.tokens.iter().enumerate().map(|(i, t)| (t.as_str(), i as u32));
        let numbers: HashMap<&str, u32> = numbers.collect();
        let unknown = numbers.get(UNKNOWN).copied();
        Lookup { tokenizer: self.tokenizer, numbers, unknown }
    }
}

/// From text to token numbers.
#[derive(Debug)]
pub struct Lookup<'v> {
    tokenizer: Tokenizer,
    numbers: HashMap<&'v str, u32>,
    unknown: Option<u32>,
}

impl Lookup<'_> {
    /// The numbers of a text's tokens, and how many of them are unknown.
    ///
    /// # Errors
    /// A token that is not in a vocabulary which has no number for unknown ones.
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, usize), String> {
        let mut unknown = 0;
        let number = |token: String| match (self.numbers.get(token.as_str()), self.unknown) {
            (Some(number), _) => Ok(*number),
            (None, Some(number)) => {
                unknown += 1;
                Ok(number)
            }
            (None, None) => Err(token),
        };
        let numbers: Result<Vec<u32>, String> = self.tokenizer.tokens(text).into_iter().map(number).collect();
        numbers.map(|numbers| (numbers, unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_stripped_and_counted_as_keras_does() {
        let texts = ["The cat, the DOG!", "a cat's dog; the end"];
        let v = Vocabulary::fit(Tokenizer::Word, &["", UNKNOWN], texts.into_iter(), Some(5));
        assert_eq!(v.tokens, ["", "[UNK]", "the", "dog", "a"]);
        assert_eq!(v.lookup().encode("the Mouse, a dog").unwrap(), (vec![2, 1, 4, 3], 1));
        assert_eq!(Tokenizer::Word.join(["a", "dog"].into_iter()), "a dog");
    }

    #[test]
    fn characters_stand_in_the_order_of_their_codes() {
        let v = Vocabulary::fit(Tokenizer::Character, &[], ["hello\n"].into_iter(), None);
        assert_eq!(v.tokens, ["\n", "e", "h", "l", "o"]);
        assert_eq!(v.lookup().encode("hole").unwrap().0, [2, 4, 3, 1]);
        assert_eq!(v.lookup().encode("hay"), Err("a".to_string()));
    }
}
