//! The next token at every place of a text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::read::FilePath;
use crate::data::common::Common;
use crate::data::places;
use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::source::{Fingerprint, open};
use crate::data::split::{Offers, Validation, in_time};
use crate::data::text::tokenizer::{Tokenizer, UNKNOWN, Vocabulary};
use crate::data::{Dataset, DatasetSpec, LoadContext, Part, Rows, Table};
use crate::diag::{At, Diag, Result};
use crate::shape::Shape;

/// A text file cut into windows; the target of each token is the one behind it.
#[derive(Debug)]
pub struct NextToken {
    train: (PathBuf, At),
    test: Option<(PathBuf, At)>,
    tokenizer: Tokenizer,
    max_tokens: Option<usize>,
    length: usize,
    /// From one training sample's start to the next. What is judged is taken without overlap: each token once.
    stride: usize,
    common: Common,
}

impl NextToken {
    pub fn read(f: &mut Fields<'_>) -> NextToken {
        let FilePath(train) = f.key("train").required();
        let train = (PathBuf::from(train), f.place("train"));
        let test: Option<FilePath> = f.key("test").optional();
        let test = test.map(|FilePath(path)| (PathBuf::from(path), f.place("test")));
        let tokenizer = f.key("tokenizer").or(Tokenizer::Character);
        let max_tokens = f.key("max_tokens").at_least(2).optional();
        let length = f.key("sequence_length").at_least(1).required();
        let mut common = Common::read(f, Offers { test: test.is_some(), columns: false });
        in_time(f, &mut common.validation, "a text");
        let stride = f.key("stride").at_least(1).or(length);
        NextToken { train, test, tokenizer, max_tokens, length, stride, common }
    }

    /// Windows over tokens, and their targets.
    fn table(&self, tokens: &[u32]) -> Arc<Table> {
        let numbers = || tokens.iter().map(|t| *t as f32).collect();
        let rows = |first| Rows::Windows { points: numbers(), width: 1, first, length: self.length };
        Arc::new(Table { inputs: rows(0), targets: rows(1), weights: None })
    }

    /// The windows within these tokens, `stride` apart.
    fn part(
        &self,
        table: &Arc<Table>,
        tokens: std::ops::Range<usize>,
        stride: usize,
        name: &str,
    ) -> Result<Part> {
        let end = tokens.end.saturating_sub(self.length);
        if end <= tokens.start {
            let message = format!(
                "the {name} part has {} tokens, too few for a sequence of {} and the one behind it",
                tokens.len(),
                self.length
            );
            let diag = Diag::new(message).at(&self.common.at);
            return Err(diag.hint("choose a smaller sequence_length, or another validation fraction").into());
        }
        let starts = (tokens.start as u32..end as u32).step_by(stride);
        Ok(Part { table: table.clone(), rows: starts.collect() })
    }

    fn encode(&self, vocabulary: &Vocabulary, text: &str, path: &Path) -> Result<Vec<u32>> {
        let encoded = vocabulary.lookup().encode(text);
        let (tokens, _) = encoded.map_err(|token| {
            let message = format!("`{}` has {token:?}, which is not in the vocabulary", path.display());
            Diag::new(message).hint("the vocabulary is that of the training file")
        })?;
        Ok(tokens)
    }
}

/// A file's text.
fn read(path: &Path, at: &At, fingerprint: &mut Fingerprint) -> Result<String> {
    let mut bytes = vec![];
    let file = open(path).map_err(|diag| diag.at(at))?;
    std::io::Read::read_to_end(&mut fingerprint.over(file), &mut bytes)
        .map_err(|e| Diag::new(format!("cannot read `{}`: {e}", path.display())).at(at))?;
    String::from_utf8(bytes).map_err(|e| {
        let place = e.utf8_error().valid_up_to();
        let message = format!("`{}` is not UTF-8 text: byte {place} is wrong", path.display());
        Diag::new(message).at(at).hint("save the file as UTF-8").into()
    })
}

impl DatasetSpec for NextToken {
    fn has_validation(&self) -> bool {
        self.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut fingerprint = Fingerprint::default();
        let path = places::find(cx, "text", &self.train.0, &self.train.1)?;
        let text = read(&path, &self.train.1, &mut fingerprint)?;
        let reserved: &[&str] = match self.tokenizer {
            Tokenizer::Character => &[],
            Tokenizer::Word => &[UNKNOWN],
        };
        let vocabulary =
            Vocabulary::fit(self.tokenizer, reserved, std::iter::once(text.as_str()), self.max_tokens);
        let tokens = self.encode(&vocabulary, &text, &path)?;
        // Sequences, each with the token behind it.
        let limit = self.common.limit.map(|n| (n - 1).saturating_mul(self.stride) + self.length + 1);
        let count = limit.map_or(tokens.len(), |limit| limit.min(tokens.len()));
        let table = self.table(&tokens[..count]);
        let trained = match &self.common.validation {
            Validation::Split { fraction, .. } => (count as f64 * (1.0 - fraction)).floor() as usize,
            _ => count,
        };
        let train = self.part(&table, 0..trained, self.stride, "training")?;
        let split_off = match &self.common.validation {
            Validation::Split { .. } => Some(self.part(&table, trained..count, self.length, "validation")?),
            _ => None,
        };
        let mut test = None;
        if let Some((path, at)) = &self.test {
            let path = places::find(cx, "text", path, at)?;
            let tokens = self.encode(&vocabulary, &read(&path, at, &mut fingerprint)?, &path)?;
            test = Some(self.part(&self.table(&tokens), 0..tokens.len(), self.length, "test")?);
        }
        let (validation, test) = self.common.held_out(split_off, test);
        let notes = vec![format!(
            "{}: {} tokens, {} different ones; {} sequences of {} to train",
            path.display(),
            tokens.len(),
            vocabulary.tokens.len(),
            train.len(),
            self.length
        )];
        Ok(Dataset {
            input_shape: Shape::batch([self.length]),
            train,
            validation,
            test,
            preprocessing: Preprocessing {
                input: InputEncoding::Tokens { vocabulary, length: self.length, column: None },
                window: None,
                target: TargetEncoding::NextToken,
            },
            fingerprint: fingerprint.hex(),
            notes,
        })
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        let InputEncoding::Tokens { vocabulary, .. } = &fitted.input else { unreachable!("made by `load`") };
        let text = read(path, &self.common.at, &mut Fingerprint::default())?;
        let tokens = self.encode(vocabulary, &text, path)?;
        self.part(&self.table(&tokens), 0..tokens.len(), self.length, "given")
    }
}

#[cfg(test)]
mod tests {
    use crate::data::testing::{Folder, dataset};
    use crate::diag::{Failure, Result};

    fn load(text: &str, keys: &str) -> Result<crate::data::Dataset> {
        let folder = Folder::new();
        folder.write("text/t.txt", text);
        let spec = dataset(&format!("type = \"text\", train = \"t.txt\", {keys}")).map_err(Failure::Input)?;
        spec.load(&folder.context())
    }

    #[test]
    fn targets_are_the_tokens_behind_the_inputs() {
        let data = load("abcabcabca", "sequence_length = 3, validation = 0.4").unwrap();
        assert_eq!(
            (data.input_shape.dims.as_slice(), data.preprocessing.target_shape().dims.as_slice()),
            (&[3][..], &[3][..])
        );
        assert_eq!(data.train.rows, [0, 3].map(|i: u32| i)[..1]);
        let table = &data.train.table;
        let (mut x, mut y) = ([0.0; 3], [0.0; 3]);
        table.inputs.copy_row(1, &mut x);
        table.targets.copy_row(1, &mut y);
        assert_eq!((x, y), ([1.0, 2.0, 0.0], [2.0, 0.0, 1.0]));
        assert_eq!(data.validation.unwrap().rows, [6]);
        assert!(load("abcabcabca", "sequence_length = 3, stride = 1").unwrap().train.len() == 7);
    }

    #[test]
    fn a_limit_counts_sequences() {
        for (keys, starts) in [("", &[0u32, 3, 6][..]), (", stride = 2", &[0, 2, 4])] {
            let data = load(&"abc".repeat(10), &format!("sequence_length = 3, limit = 3{keys}")).unwrap();
            assert_eq!(data.train.rows, starts, "{keys}");
        }
        assert_eq!(load("abcabcabca", "sequence_length = 3, limit = 9").unwrap().train.len(), 3);
    }

    #[test]
    fn what_is_judged_does_not_overlap() {
        let data = load(&"abc".repeat(10), "sequence_length = 3, stride = 2, validation = 0.5").unwrap();
        assert_eq!(data.train.rows, [0, 2, 4, 6, 8, 10]);
        assert_eq!(data.validation.as_ref().unwrap().rows, [15, 18, 21, 24]);
        assert!(!data.train.is_walk() && data.validation.unwrap().is_walk());
    }

    #[test]
    fn what_is_too_short_is_said() {
        let failure = load("abc", "sequence_length = 3").unwrap_err();
        assert!(failure.diags()[0].message.contains("3 tokens, too few for a sequence of 3"));
        let failure = load("a", "sequence_length = 1, test = \"none.txt\"").unwrap_err();
        assert!(!failure.diags().is_empty());
    }
}
