//! TOML values that know their position.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diag::{At, Diag, Source};

#[derive(Clone, Debug)]
pub struct Value {
    pub data: Data,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum Data {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Value>),
    Table(Table),
}

/// Entries in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_at: At,
    pub value: Value,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|e| &e.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.iter_mut().find(|e| e.key == key).map(|e| &mut e.value)
    }

    /// Sets a key, replacing the value it had.
    pub fn set(&mut self, key: &str, key_at: &At, value: Value) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.entries.push(Entry { key: key.to_string(), key_at: key_at.clone(), value }),
        }
    }

    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.remove(index))
    }
}

impl Value {
    /// What the value is, for messages: `a string`, `an integer`, ...
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Str(_) => "a string",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a float",
            Data::Bool(_) => "a boolean",
            Data::Array(_) => "an array",
            Data::Table(_) => "a table",
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(t) => Some(t),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match &self.data {
            Data::Array(a) => Some(a),
            _ => None,
        }
    }
}

/// Parses a whole TOML document; every syntax error found is reported.
pub fn parse(source: &Arc<Source>) -> Result<Table, Vec<Diag>> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let mut diags: Vec<Diag> = errors
        .iter()
        .map(|e| {
            let span = e.span().unwrap_or(0..0);
            Diag::new(format!("TOML syntax: {}", e.message().replace('\n', ", "))).at(&At::new(source, span))
        })
        .collect();
    let table = convert_table(document.get_ref(), source, &mut diags);
    if diags.is_empty() { Ok(table) } else { Err(diags) }
}

fn convert_table(table: &DeTable<'_>, source: &Arc<Source>, diags: &mut Vec<Diag>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .filter_map(|(key, value)| {
            let value = convert(value, source, diags)?;
            Some(Entry { key: key.get_ref().to_string(), key_at: At::new(source, key.span()), value })
        })
        .collect();
    entries.sort_by_key(|e| e.key_at.span.start);
    Table { entries }
}

fn convert(value: &Spanned<DeValue<'_>>, source: &Arc<Source>, diags: &mut Vec<Diag>) -> Option<Value> {
    let at = At::new(source, value.span());
    let data = match value.get_ref() {
        DeValue::String(s) => Data::Str(s.to_string()),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(i) => Data::Int(i),
            // What is not a number at all is a syntax error that was told already.
            Err(_) if i.as_str().is_empty() => return None,
            Err(_) => {
                diags.push(Diag::new(format!("integer `{i}` is out of range")).at(&at));
                return None;
            }
        },
        DeValue::Float(f) => match f.as_str().parse() {
            Ok(f) => Data::Float(f),
            Err(_) => {
                diags.push(Diag::new(format!("`{f}` is not a number")).at(&at));
                return None;
            }
        },
        DeValue::Boolean(b) => Data::Bool(*b),
        DeValue::Datetime(_) => {
            diags.push(Diag::new("a date is used where no key takes one").at(&at));
            return None;
        }
        DeValue::Array(a) => Data::Array(a.iter().filter_map(|v| convert(v, source, diags)).collect()),
        DeValue::Table(t) => Data::Table(convert_table(t, source, diags)),
    };
    Some(Value { data, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_place() {
        let source = Source::new("c.toml", "seed = 4\n[[layers]]\ntype = \"Dense\"\nunits = 10\n");
        let table = parse(&source).unwrap();
        let layer = table.get("layers").unwrap().as_array().unwrap()[0].as_table().unwrap();
        assert_eq!(layer.entry("units").unwrap().key_at.line_column(), (4, 1));
        assert_eq!(layer.get("units").unwrap().at.line_column(), (4, 9));
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let source = Source::new("c.toml", "a = \nb = 1\nc = [1,\n");
        assert!(parse(&source).unwrap_err().len() >= 2);
    }
}
