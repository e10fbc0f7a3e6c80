//! Writing a config: the filled-in `config.toml` of a run folder.

use std::fmt::Write;

use crate::config::tree::{Data, Value};

/// A TOML value without a position.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Plain>),
    Table(Vec<(String, Plain)>),
    /// A file of the user's: relative to the config that named it, and written relative to the
    /// config that is written.
    Path(String),
}

/// A table as TOML has it: keys in order.
type Entries = [(String, Plain)];

impl From<&Value> for Plain {
    /// The value as it is written.
    fn from(value: &Value) -> Plain {
        match &value.data {
            Data::Str(s) => Plain::Str(s.clone()),
            Data::Int(i) => Plain::Int(*i),
            Data::Float(f) => Plain::Float(*f),
            Data::Bool(b) => Plain::Bool(*b),
            Data::Array(items) => Plain::Array(items.iter().map(Plain::from).collect()),
            Data::Table(table) => {
                Plain::Table(table.entries.iter().map(|e| (e.key.clone(), Plain::from(&e.value))).collect())
            }
        }
    }
}

/// A whole document: plain keys first, then a `[section]` for each table and a `[[section]]` for
/// each table of an array of tables. Below that, a table that holds an array of tables is a
/// section of its own; everything else is written inline.
/// `rebase` makes a path relative to the document's own folder.
pub fn document(entries: &Entries, rebase: &dyn Fn(&str) -> String) -> String {
    let entries = &entries.iter().map(|(k, v)| (k.clone(), rebased(v, rebase))).collect::<Vec<_>>();
    let mut out = String::new();
    lines(&mut out, entries, &is_section);
    for (key, value) in entries.iter().filter(|(_, v)| is_section(v)) {
        section(&mut out, &quoted_key(key), value);
    }
    out
}

/// A table under its header, or each table of an array under a header of its own.
fn section(out: &mut String, path: &str, value: &Plain) {
    match value {
        Plain::Table(inner) => {
            // A header with nothing but sections under it says nothing.
            if inner.is_empty() || !inner.iter().all(|(_, v)| is_inner_section(v)) {
                write!(out, "\n[{path}]\n").unwrap();
            }
            lines(out, inner, &is_inner_section);
            for (key, value) in inner.iter().filter(|(_, v)| is_inner_section(v)) {
                inner_section(out, &format!("{path}.{}", quoted_key(key)), value);
            }
        }
        Plain::Array(items) => {
            for item in items {
                let Plain::Table(inner) = item else { unreachable!("is_section saw tables only") };
                write!(out, "\n[[{path}]]\n").unwrap();
                lines(out, inner, &|_| false);
            }
        }
        _ => unreachable!("is_section saw a table or an array"),
    }
}

/// A table that holds arrays of tables: `[blocks.NAME]` with its `[[blocks.NAME.layers]]`.
fn inner_section(out: &mut String, path: &str, value: &Plain) {
    let Plain::Table(inner) = value else { unreachable!("is_inner_section saw a table") };
    write!(out, "\n[{path}]\n").unwrap();
    lines(out, inner, &is_array_of_tables);
    for (key, value) in inner.iter().filter(|(_, v)| is_array_of_tables(v)) {
        section(out, &format!("{path}.{}", quoted_key(key)), value);
    }
}

fn lines(out: &mut String, entries: &Entries, is_later: &dyn Fn(&Plain) -> bool) {
    for (key, value) in entries.iter().filter(|(_, v)| !is_later(v)) {
        writeln!(out, "{} = {}", quoted_key(key), inline(value)).unwrap();
    }
}

fn rebased(value: &Plain, rebase: &dyn Fn(&str) -> String) -> Plain {
    match value {
        Plain::Path(path) => Plain::Str(rebase(path)),
        Plain::Array(items) => Plain::Array(items.iter().map(|i| rebased(i, rebase)).collect()),
        Plain::Table(entries) => {
            Plain::Table(entries.iter().map(|(k, v)| (k.clone(), rebased(v, rebase))).collect())
        }
        other => other.clone(),
    }
}

fn is_section(value: &Plain) -> bool {
    matches!(value, Plain::Table(_)) || is_array_of_tables(value)
}

fn is_inner_section(value: &Plain) -> bool {
    matches!(value, Plain::Table(inner) if inner.iter().any(|(_, v)| is_array_of_tables(v)))
}

fn is_array_of_tables(value: &Plain) -> bool {
    matches!(value, Plain::Array(items) if !items.is_empty() && items.iter().all(|i| matches!(i, Plain::Table(_))))
}

/// A value on one line.
pub fn inline(value: &Plain) -> String {
    match value {
        Plain::Str(s) | Plain::Path(s) => quoted(s),
        Plain::Int(i) => i.to_string(),
        Plain::Float(f) => format!("{f:?}"),
        Plain::Bool(b) => b.to_string(),
        Plain::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Plain::Table(entries) if entries.is_empty() => "{}".to_string(),
        Plain::Table(entries) => {
            let inner: Vec<String> =
                entries.iter().map(|(k, v)| format!("{} = {}", quoted_key(k), inline(v))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
    }
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_string() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => write!(out, "\\u{:04X}", c as u32).unwrap(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;
    use crate::diag::Source;

    #[test]
    fn what_is_written_parses_back() {
        let layer = Plain::Table(vec![
            ("type".into(), Plain::Str("a\"\\\n\u{1}".into())),
            ("units".into(), Plain::Int(3)),
        ]);
        let entries = vec![
            ("layers".into(), Plain::Array(vec![layer.clone(), layer])),
            ("lr".into(), Plain::Float(1e-7)),
            ("training".into(), Plain::Table(vec![("a b".into(), Plain::Array(vec![Plain::Float(1.0)]))])),
        ];
        let text = document(&entries, &|p| p.to_string());
        let table = parse(&Source::new("x", text.clone())).unwrap_or_else(|e| panic!("{}\n{text}", e[0]));
        assert_eq!(table.get("layers").unwrap().as_array().unwrap().len(), 2);
        let layer = table.get("layers").unwrap().as_array().unwrap()[1].as_table().unwrap();
        assert_eq!(layer.get("type").unwrap().as_str(), Some("a\"\\\n\u{1}"));
        assert!(matches!(table.get("lr").unwrap().data, crate::config::tree::Data::Float(f) if f == 1e-7));
    }
}
