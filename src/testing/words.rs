//! Layers as words: from the body of a table, and back.

use crate::config::tree;
use crate::diag::{Diag, Source};
use crate::layers::{LAYERS, Layer};

/// What a layer reads it writes back, and it refuses keys that it does not know.
pub fn check_words(toml: &str) {
    let source = Source::new("example", format!("v = {{ {} }}", toml.trim().replace('\n', ", ")));
    let table = tree::parse(&source).unwrap_or_else(|e| panic!("{toml}: {}", e[0]));
    let (layer, plain) = LAYERS.read(&table.entries[0].value, &mut vec![]).expect("an example is correct");
    let written = match plain {
        crate::config::write::Plain::Str(word) => format!("type = {word:?}"),
        crate::config::write::Plain::Table(entries) => {
            crate::config::write::document(&entries, &|path| path.to_string())
        }
        other => panic!("a layer is a word or a table, not {other:?}"),
    };
    let again = parse(&written).unwrap_or_else(|d| panic!("{written}\n{}", d[0]));
    assert_eq!(format!("{layer:?}"), format!("{again:?}"), "{toml} was written as {written}");
    let diags = parse(&format!("{toml}\nno_such_key = 1")).expect_err("an unknown key is refused");
    assert!(diags[0].message.contains("no_such_key"), "{}", diags[0]);
}

/// A layer from the body of its table.
pub fn parse(toml: &str) -> Result<Box<dyn Layer>, Vec<Diag>> {
    let source = Source::new("layer.toml", toml);
    let table = tree::parse(&source)?;
    let value = tree::Value { data: tree::Data::Table(table), at: crate::diag::At::new(&source, 0..0) };
    let mut diags = vec![];
    let layer = LAYERS.read(&value, &mut diags);
    if diags.is_empty() { Ok(layer.expect("no mistake was found").0) } else { Err(diags) }
}
