//! Classes of the texts in a CSV's column.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::read::FilePath;
use crate::data::common::{Common, LabelMode, class_counts};
use crate::data::labelled;
use crate::data::mistakes::Mistakes;
use crate::data::places;
use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::records::Records;
use crate::data::source::{Fingerprint, open};
use crate::data::split::{Labels, Offers, divide};
use crate::data::table::classes;
use crate::data::text::tokenizer::{Tokenizer, UNKNOWN, Vocabulary};
use crate::data::{Dataset, DatasetSpec, LoadContext, Part, Rows, Table};
use crate::diag::{At, Diag, Result, suggest};
use crate::shape::Shape;

/// Texts with their classes; number 0 fills short ones up, 1 stands for unknown tokens.
#[derive(Debug)]
pub struct Texts {
    train: (PathBuf, At),
    test: Option<(PathBuf, At)>,
    column: (String, At),
    target: (String, At),
    tokenizer: Tokenizer,
    max_tokens: Option<usize>,
    length: usize,
    label_mode: LabelMode,
    common: Common,
}

/// A file's texts and the names of their classes.
struct Read {
    /// Where the classes' column stands in the header.
    target_at: At,
    texts: Vec<String>,
    classes: Vec<String>,
}

impl Texts {
    pub fn read(f: &mut Fields<'_>) -> Texts {
        let FilePath(train) = f.key("train").required();
        let train = (PathBuf::from(train), f.place("train"));
        let test: Option<FilePath> = f.key("test").optional();
        let test = test.map(|FilePath(path)| (PathBuf::from(path), f.place("test")));
        Texts {
            column: (f.key("column").required(), f.place("column")),
            target: (f.key("target").required(), f.place("target")),
            tokenizer: f.key("tokenizer").or(Tokenizer::Word),
            max_tokens: f.key("max_tokens").at_least(3).optional(),
            length: f.key("sequence_length").at_least(1).required(),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, Offers { test: test.is_some(), columns: false }),
            train,
            test,
        }
    }

    fn read_file(&self, path: &Path, at: &At, fingerprint: &mut Fingerprint) -> Result<Read> {
        let file = open(path).map_err(|diag| diag.at(at))?;
        let mut records = Records::new(fingerprint.over(file), path, b',');
        let Some(first) = records.next()? else {
            return Err(Diag::new(format!("`{}` is empty", path.display())).at(at).into());
        };
        let header = first.header(true);
        let find = |(name, at): &(String, At)| {
            let names: Vec<&str> = header.names.iter().map(String::as_str).collect();
            let missing = || Diag::new(format!("there is no column `{name}`")).at(at);
            header.find(name).ok_or_else(|| missing().maybe_hint(suggest(name, &names)))
        };
        let (column, target) = (find(&self.column)?, find(&self.target)?);
        let mut read = Read { target_at: header.at(target), texts: vec![], classes: vec![] };
        let mut mistakes = Mistakes::default();
        while let Some(row) = records.next()? {
            if row.len() != header.names.len() {
                let message =
                    format!("this row has {} cells, the header has {}", row.len(), header.names.len());
                mistakes.push(Diag::new(message).at(&row.at_line()));
            } else if row.cell(target).is_empty() {
                mistakes.push(Diag::new("the class is missing").at(&row.at(target)));
            } else {
                read.texts.push(row.cell(column).to_string());
                read.classes.push(row.cell(target).to_string());
            }
        }
        mistakes.finish()?;
        if read.texts.is_empty() {
            return Err(Diag::new(format!("`{}` has no rows", path.display())).at(at).into());
        }
        Ok(read)
    }

    /// Token numbers and targets of all texts.
    fn table(&self, read: &Read, vocabulary: &Vocabulary, classes: &[u32], count: usize) -> Table {
        let lookup = vocabulary.lookup();
        let mut data = vec![0.0; read.texts.len() * self.length];
        for (text, row) in read.texts.iter().zip(data.chunks_exact_mut(self.length)) {
            let (tokens, _) = lookup.encode(text).expect("unknown tokens have a number");
            row.iter_mut().zip(tokens).for_each(|(out, token)| *out = token as f32);
        }
        let targets = self.label_mode.targets(classes.iter().copied(), count);
        Table { inputs: Rows::F32 { data, width: self.length }, targets, weights: None }
    }
}

impl DatasetSpec for Texts {
    fn has_validation(&self) -> bool {
        self.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut fingerprint = Fingerprint::default();
        let path = places::find(cx, "text", &self.train.0, &self.train.1)?;
        let mut read = self.read_file(&path, &self.train.1, &mut fingerprint)?;
        let mut names = read.classes.clone();
        names.sort();
        names.dedup();
        let names = classes::in_order_checked(names, &self.target.0, &read.target_at)?;
        let count = self.common.limited(read.texts.len());
        read.texts.truncate(count);
        read.classes.truncate(count);
        let number = |name: &String| names.iter().position(|n| n == name).map(|i| i as u32);
        let numbers: Vec<u32> = read.classes.iter().filter_map(number).collect();
        let labels = Labels { classes: Some(&numbers), groups: None };
        let (rows, held_out) = divide(&self.common.validation, count, labels, cx.seed)?;
        let seen = rows.iter().map(|row| read.texts[*row as usize].as_str());
        let vocabulary = Vocabulary::fit(self.tokenizer, &["", UNKNOWN], seen, self.max_tokens);
        let table = Arc::new(self.table(&read, &vocabulary, &numbers, names.len()));
        let counts = |name: &str, rows: &[u32]| {
            class_counts(name, rows.iter().map(|row| numbers[*row as usize]), &names)
        };
        let mut notes = vec![
            format!("{}: {} different tokens are kept", path.display(), vocabulary.tokens.len()),
            counts("training", &rows),
        ];
        notes.extend(held_out.as_ref().map(|rows| counts("validation", rows)));
        let preprocessing = Preprocessing {
            input: InputEncoding::Tokens {
                vocabulary,
                length: self.length,
                column: Some(self.column.0.clone()),
            },
            window: None,
            target: TargetEncoding::Classes {
                column: self.target.0.clone(),
                names,
                one_hot: self.label_mode == LabelMode::Categorical,
            },
        };
        let mut test = None;
        if let Some((path, at)) = &self.test {
            let path = places::find(cx, "text", path, at)?;
            let file = fingerprint.over(open(&path).map_err(|diag| diag.at(at))?);
            test = Some(labelled::read(file, &path, &preprocessing, None)?);
        }
        let part = |rows| Part { table: table.clone(), rows };
        let (train, split_off) = (part(rows), held_out.map(part));
        let (validation, test) = self.common.held_out(split_off, test);
        Ok(Dataset {
            input_shape: Shape::batch([self.length]),
            train,
            validation,
            test,
            preprocessing,
            fingerprint: fingerprint.hex(),
            notes,
        })
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        labelled::load(path, fitted, None)
    }
}

#[cfg(test)]
mod tests {
    use crate::data::source::Fingerprint;
    use crate::data::testing::{Folder, dataset};

    const REVIEWS: &str = "text,label\n\"Good, good film!\",yes\nbad film,no\ngood,yes\nawful,no\n";

    #[test]
    fn texts_become_token_numbers_and_labels_classes() {
        let folder = Folder::new();
        folder.write("r.csv", REVIEWS);
        let other = folder.write("s.csv", "label,text\nno,Unheard of BAD\n");
        let keys =
            "type = \"text\", train = \"r.csv\", column = \"text\", target = \"label\", sequence_length = 3";
        let spec = dataset(keys).unwrap();
        let data = spec.load(&folder.context()).unwrap();
        let table = &data.train.table;
        let row = |i: usize| {
            let (mut x, mut y) = ([9.0; 3], [9.0]);
            table.inputs.copy_row(i, &mut x);
            table.targets.copy_row(i, &mut y);
            (x, y)
        };
        // good 3 times, film twice, then by text: awful, bad.
        assert_eq!(row(0), ([2.0, 2.0, 3.0], [1.0]));
        assert_eq!(row(3), ([4.0, 0.0, 0.0], [0.0]));
        assert_eq!(data.preprocessing.classes().unwrap(), ["no", "yes"]);
        let part = spec.load_other(&other, &data.preprocessing).unwrap();
        let mut x = [9.0; 3];
        part.table.inputs.copy_row(0, &mut x);
        assert_eq!(x, [1.0, 1.0, 5.0]);
    }

    #[test]
    fn each_file_counts_once_in_the_fingerprint() {
        let folder = Folder::new();
        folder.write("r.csv", REVIEWS);
        folder.write("s.csv", "text,label\nbad,no\n");
        let keys = "type = \"text\", train = \"r.csv\", test = \"s.csv\", column = \"text\", target = \"label\", \
                    sequence_length = 3";
        let data = dataset(keys).unwrap().load(&folder.context()).unwrap();
        let mut both = Fingerprint::default();
        both.update(REVIEWS.as_bytes());
        both.update(b"text,label\nbad,no\n");
        assert_eq!(data.fingerprint, both.hex());
        assert_eq!(data.test.unwrap().len(), 1);
    }

    #[test]
    fn mistakes_in_the_classes_are_told_at_the_header() {
        let refused = |rows: &str| {
            let folder = Folder::new();
            folder.write("r.csv", format!("text,label\n{rows}"));
            let keys = "type = \"text\", train = \"r.csv\", column = \"text\", target = \"label\", sequence_length = 3";
            let diag = dataset(keys).unwrap().load(&folder.context()).unwrap_err().diags()[0].clone();
            assert!(diag.at.as_ref().unwrap().to_string().ends_with("r.csv:1:6"), "{diag}");
            diag.message
        };
        let message = refused("good,1\nbad,2\nfine,1.0\n");
        assert_eq!(message, "classes `1` and `1.0` of `label` are the same number written in two ways");
        assert_eq!(refused("good,a\nbad,a\n"), "the target `label` has only one class: `a`");
    }

    #[test]
    fn columns_that_are_not_there_are_told() {
        let folder = Folder::new();
        folder.write("r.csv", REVIEWS);
        let keys =
            "type = \"text\", train = \"r.csv\", column = \"texts\", target = \"label\", sequence_length = 3";
        let failure = dataset(keys).unwrap().load(&folder.context()).unwrap_err();
        assert!(failure.diags()[0].message.contains("`texts`"), "{}", failure.diags()[0]);
        assert!(failure.diags()[0].hint.as_ref().unwrap().contains("text"));
    }
}
