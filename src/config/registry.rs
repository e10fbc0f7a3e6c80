//! Tables of words: the only registry of layers, losses, optimizers, ...
//!
//! Parser, error messages, docs and tests go through these tables; adding a word is its file and
//! one line in its folder's table.

use crate::config::fields::Fields;
use crate::config::tree::{self, Data, Table, Value};
use crate::config::write::Plain;
use crate::diag::{Diag, Source, suggest};

/// One word and how to read its keys.
pub struct Entry<T: ?Sized> {
    /// The Keras name, as it is written back.
    pub name: &'static str,
    /// Further names that mean the same.
    pub aliases: &'static [&'static str],
    /// One line for lists and docs.
    pub about: &'static str,
    pub parse: fn(&mut Fields<'_>) -> Box<T>,
}

/// All words of a kind.
pub struct Registry<T: ?Sized + 'static> {
    /// "layer", "optimizer", ...
    pub kind: &'static str,
    pub entries: &'static [Entry<T>],
}

impl<T: ?Sized> Registry<T> {
    pub fn find(&self, name: &str) -> Option<&'static Entry<T>> {
        self.entries.iter().find(|e| e.name == name || e.aliases.contains(&name))
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.entries.iter().map(|e| e.name).collect()
    }

    /// What to say of a word that is not in the table.
    pub fn unknown(&self, value: &Value, name: &str) -> Diag {
        let mut known = self.names();
        if nearest_is_an_alias(name, self.entries) {
            known = self.entries.iter().flat_map(|e| e.aliases.iter().copied()).collect();
        }
        Diag::new(format!("unknown {} `{name}`", self.kind)).at(&value.at).maybe_hint(suggest(name, &known))
    }

    /// Reads `"adam"` or `{ type = "Adam", ... }`; mistakes are noted and give `None`.
    pub fn read(&self, value: &Value, diags: &mut Vec<Diag>) -> Option<(Box<T>, Plain)> {
        self.read_with(value, diags, |_| ()).map(|(variant, (), plain)| (variant, plain))
    }

    /// As [`Self::read`], for a table that has keys besides the word's own: `others` reads them.
    pub fn read_with<R>(
        &self,
        value: &Value,
        diags: &mut Vec<Diag>,
        others: impl FnOnce(&mut Fields<'_>) -> R,
    ) -> Option<(Box<T>, R, Plain)> {
        let empty = Table::default();
        let (name_value, table) = match &value.data {
            Data::Str(_) => (value, &empty),
            Data::Table(table) => match table.get("type") {
                Some(name) => (name, table),
                None => {
                    diags.push(Diag::new(format!("this {} needs a `type`", self.kind)).at(&value.at));
                    return None;
                }
            },
            _ => {
                let message = format!(
                    "expected the name of {}, or a table with `type`, found {}",
                    article(self.kind),
                    value.kind()
                );
                diags.push(Diag::new(message).at(&value.at));
                return None;
            }
        };
        let Some(name) = name_value.as_str() else {
            diags.push(
                Diag::new(format!("`type` must be a string, found {}", name_value.kind())).at(&name_value.at),
            );
            return None;
        };
        let Some(entry) = self.find(name) else {
            diags.push(self.unknown(name_value, name));
            return None;
        };
        let before = diags.len();
        let mut fields = Fields::new(table, &name_value.at, format!("`{name}`"), diags);
        fields.allow("type");
        let variant = (entry.parse)(&mut fields);
        let read = others(&mut fields);
        let resolved = fields.finish();
        let plain = with_type(entry.name, resolved);
        (diags.len() == before).then_some((variant, read, plain))
    }

    /// A word with all its defaults.
    ///
    /// # Panics
    /// If the word is not in the table or needs keys: only for words that the program itself names.
    pub fn make(&self, name: &str) -> (Box<T>, Plain) {
        let source = Source::new("default", format!("v = {name:?}"));
        let table = tree::parse(&source).expect("a quoted word is TOML");
        let mut diags = vec![];
        let made = self.read(&table.entries[0].value, &mut diags);
        made.unwrap_or_else(|| panic!("{} `{name}` has no complete defaults", self.kind))
    }
}

/// `an optimizer`, `a layer`.
fn article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}

fn with_type(name: &str, mut resolved: Vec<(String, Plain)>) -> Plain {
    if resolved.is_empty() {
        return Plain::Str(name.to_string());
    }
    resolved.insert(0, ("type".to_string(), Plain::Str(name.to_string())));
    Plain::Table(resolved)
}

fn nearest_is_an_alias<T: ?Sized>(name: &str, entries: &[Entry<T>]) -> bool {
    let all = entries.iter().flat_map(|e| std::iter::once(e.name).chain(e.aliases.iter().copied()));
    let names: Vec<&str> = entries.iter().map(|e| e.name).collect();
    crate::diag::nearest(name, all).is_some_and(|near| !names.contains(&near))
}
