//! Typed reading of one table: each key is named once, with its type, range and default.
//!
//! ```text
//! let units = f.key("units").at_least(1).required();
//! let rate = f.key("rate").within(0.0, 1.0).or(0.5);
//! ```
//!
//! A mistake is noted and reading goes on, so that one run finds them all. Keys that nobody asked
//! for are unknown and reported by [`Fields::finish`]. What was read, defaults included, is kept in
//! order for the config that a run folder stores.

use crate::config::read::{Read, Wrong};
use crate::config::registry::Registry;
use crate::config::tree::{Data, Table, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag, suggest};

pub struct Fields<'a> {
    table: &'a Table,
    /// Where the table stands, for keys that are missing.
    at: At,
    /// The table's name in messages: "`Dense`", "`[training]`".
    owner: String,
    known: Vec<&'a str>,
    resolved: Vec<(String, Plain)>,
    diags: &'a mut Vec<Diag>,
}

impl<'a> Fields<'a> {
    pub fn new(table: &'a Table, at: &At, owner: impl Into<String>, diags: &'a mut Vec<Diag>) -> Fields<'a> {
        Fields { table, at: at.clone(), owner: owner.into(), known: vec![], resolved: vec![], diags }
    }

    /// Starts reading one key.
    pub fn key<'f>(&'f mut self, key: &'static str) -> Key<'f, 'a> {
        self.known.push(key);
        Key { fields: self, key, at_least: None, within: None, above: None }
    }

    /// A key that somebody else reads: known, and neither read nor written here.
    pub fn allow(&mut self, key: &'a str) {
        self.known.push(key);
    }

    /// The value as it stands, for keys with a grammar of their own. Write it back with [`Self::resolve`].
    pub fn raw(&mut self, key: &'a str) -> Option<&'a Value> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Notes the meaning of a key read with [`Self::raw`] for the stored config.
    pub fn resolve(&mut self, key: &str, value: Plain) {
        self.resolved.push((key.to_string(), value));
    }

    /// A word of a registry, as a string or as a table with `type`; `None` if the key is absent.
    pub fn variant<T: ?Sized>(&mut self, key: &'static str, registry: &Registry<T>) -> Option<Box<T>> {
        let value = self.raw(key)?;
        let (variant, plain) = registry.read(value, self.diags)?;
        self.resolve(key, plain);
        Some(variant)
    }

    /// As [`Self::variant`], with the word that stands for an absent key.
    pub fn variant_or<T: ?Sized>(
        &mut self,
        key: &'static str,
        registry: &Registry<T>,
        default: &str,
    ) -> Box<T> {
        if self.table.get(key).is_some() {
            let read = self.variant(key, registry);
            return read.unwrap_or_else(|| registry.make(default).0);
        }
        self.known.push(key);
        let (variant, plain) = registry.make(default);
        self.resolve(key, plain);
        variant
    }

    /// Reads an inner table with its own keys; `None` if the key is absent or no table.
    pub fn section<R>(&mut self, key: &'static str, read: impl FnOnce(&mut Fields<'_>) -> R) -> Option<R> {
        let entry = self.table.entry(key);
        self.known.push(key);
        let entry = entry?;
        let Data::Table(table) = &entry.value.data else {
            self.wrong(key, Wrong::expected("a table", &entry.value));
            return None;
        };
        let mut inner = Fields::new(table, &entry.key_at, format!("`{key}`"), self.diags);
        let result = read(&mut inner);
        let plain = inner.finish();
        self.resolve(key, Plain::Table(plain));
        Some(result)
    }

    /// Whether the key is written in the table.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where the key's value stands, or else the table.
    pub fn place(&self, key: &str) -> At {
        self.table.get(key).map_or_else(|| self.at.clone(), |v| v.at.clone())
    }

    /// A mistake that concerns one key.
    pub fn error(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let at = self.place(key);
        self.diags.push(
            Diag::new(format!("{} in {}: {}", tick(key), self.owner, message.into()))
                .at(&at)
                .maybe_hint(hint),
        );
    }

    pub fn push(&mut self, diag: Diag) {
        self.diags.push(diag);
    }

    /// Ends here, the other keys being somebody else's; returns what was read, in reading order.
    pub fn leave(self) -> Vec<(String, Plain)> {
        self.resolved
    }

    /// Reports unknown keys; returns what was read, in reading order.
    pub fn finish(self) -> Vec<(String, Plain)> {
        for entry in &self.table.entries {
            if !self.known.contains(&entry.key.as_str()) {
                self.diags.push(
                    Diag::new(format!("unknown key {} in {}", tick(&entry.key), self.owner))
                        .at(&entry.key_at)
                        .maybe_hint(suggest(&entry.key, &self.known)),
                );
            }
        }
        self.resolved
    }

    fn wrong(&mut self, key: &str, wrong: Wrong) {
        self.error(key, wrong.message, wrong.hint);
    }
}

fn tick(key: &str) -> String {
    format!("`{key}`")
}

/// One key being read: constraints first, then `required`, `or` or `optional`.
pub struct Key<'f, 'a> {
    fields: &'f mut Fields<'a>,
    key: &'static str,
    at_least: Option<f64>,
    within: Option<(f64, f64)>,
    above: Option<f64>,
}

impl Key<'_, '_> {
    /// Every number in the value must be this or more.
    pub fn at_least(mut self, min: impl Into<f64>) -> Self {
        self.at_least = Some(min.into());
        self
    }

    /// Every number in the value must be more than this.
    pub fn above(mut self, bound: impl Into<f64>) -> Self {
        self.above = Some(bound.into());
        self
    }

    /// Every number in the value must be in [low, high).
    pub fn within(mut self, low: impl Into<f64>, high: impl Into<f64>) -> Self {
        self.within = Some((low.into(), high.into()));
        self
    }

    pub fn required<T: Read>(self) -> T {
        if self.fields.table.get(self.key).is_none() {
            let message = format!("{} needs {}", self.fields.owner, tick(self.key));
            let at = self.fields.at.clone();
            // A misspelt key is reported as unknown, with its suggestion; this names the missing one.
            self.fields.diags.push(Diag::new(message).at(&at));
            return T::blank();
        }
        self.optional().unwrap_or_else(T::blank)
    }

    pub fn or<T: Read>(self, default: T) -> T {
        if self.fields.table.get(self.key).is_none() {
            let plain = default.write();
            self.fields.resolve(self.key, plain);
            return default;
        }
        self.optional().unwrap_or(default)
    }

    pub fn optional<T: Read>(self) -> Option<T> {
        let value = self.fields.table.get(self.key)?;
        match T::read(value).and_then(|v| self.in_range(value).map(|()| v)) {
            Ok(read) => {
                self.fields.resolve(self.key, read.write());
                Some(read)
            }
            Err(wrong) => {
                self.fields.wrong(self.key, wrong);
                None
            }
        }
    }

    fn in_range(&self, value: &Value) -> Result<(), Wrong> {
        let number = match &value.data {
            Data::Int(i) => *i as f64,
            Data::Float(f) => *f,
            Data::Array(items) => return items.iter().try_for_each(|v| self.in_range(v)),
            _ => return Ok(()),
        };
        if let Some(min) = self.at_least.filter(|m| number < *m) {
            return Err(Wrong::new(format!("must be at least {min}, got {number}")));
        }
        if let Some(bound) = self.above.filter(|b| number <= *b) {
            return Err(Wrong::new(format!("must be more than {bound}, got {number}")));
        }
        if let Some((low, high)) = self.within.filter(|(l, h)| !(*l..*h).contains(&number)) {
            return Err(Wrong::new(format!("must be in [{low}, {high}), got {number}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;
    use crate::diag::Source;

    fn read<R>(text: &str, f: impl FnOnce(&mut Fields<'_>) -> R) -> (R, Vec<(String, Plain)>, Vec<String>) {
        let source = Source::new("t.toml", text);
        let table = parse(&source).unwrap();
        let mut diags = vec![];
        let mut fields = Fields::new(&table, &At::new(&source, 0..1), "`T`", &mut diags);
        let result = f(&mut fields);
        let resolved = fields.finish();
        (result, resolved, diags.iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn all_mistakes_at_once() {
        let (_, _, diags) = read("units = -1\nrate = 1.0\nacti = 3\nflag = \"x\"", |f| {
            let _: usize = f.key("units").at_least(1).required();
            let _: f64 = f.key("rate").within(0.0, 1.0).or(0.5);
            let _: bool = f.key("flag").or(true);
            let _: String = f.key("missing").required();
        });
        assert_eq!(diags.len(), 5, "{diags:?}");
    }

    #[test]
    fn defaults_are_written_too() {
        let (pair, resolved, diags) = read("size = [2, 3]", |f| {
            let _: usize = f.key("units").or(4);
            f.key("size").at_least(1).or([1usize; 2])
        });
        assert_eq!((pair, diags.len()), ([2, 3], 0));
        assert_eq!(resolved[0], ("units".to_string(), Plain::Int(4)));
    }
}
