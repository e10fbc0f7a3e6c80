//! `text`: the next token at every place of a text, or the class of each text in a CSV.
//!
//! ```toml
//! [dataset]
//! type = "text"
//! train = "../data/shakespeare.txt"
//! sequence_length = 128
//! validation = 0.1
//! ```
//!
//! With `column` the file is a CSV and the target the class in column `target`. Inputs are token numbers
//! `[sequence_length]`, for an `Embedding`.

mod classify;
mod next;
pub mod tokenizer;

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::DatasetSpec;

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "text",
    aliases: &[],
    about: "The next character or word of a text file, or classes of the texts in a CSV's column",
    parse: read,
};

fn read(f: &mut Fields<'_>) -> Box<dyn DatasetSpec> {
    if f.has("column") { Box::new(classify::Texts::read(f)) } else { Box::new(next::NextToken::read(f)) }
}
