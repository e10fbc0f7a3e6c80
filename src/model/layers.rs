//! `[[layers]]`: names to edges.

use crate::config::fields::Fields;
use crate::config::names;
use crate::config::read::OneOrMany;
use crate::config::tree::{Data, Table, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag, suggest};
use crate::layers::{Arity, LAYERS, Layer};

/// The name by which layers refer to the dataset's input.
pub const INPUT: &str = "input";

/// A layer with its place in the network.
#[derive(Debug)]
pub struct LayerNode {
    pub name: String,
    /// The class name: `Conv2D`.
    pub kind: &'static str,
    pub layer: Box<dyn Layer>,
    /// Where its inputs come from.
    pub from: Vec<Feed>,
    pub trainable: bool,
    /// Where its `type` stands.
    pub at: At,
}

/// A source of numbers for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The dataset's input.
    Input,
    /// The output of an earlier layer, by position.
    Layer(usize),
}

/// Reads the array of layers; mistakes are noted. Returns the layers and the array as it is stored.
pub fn read(value: &Value, diags: &mut Vec<Diag>) -> (Vec<LayerNode>, Plain) {
    let Some(items) = value.as_array() else {
        diags.push(
            Diag::new(format!("`layers` must be [[layers]] tables, found {}", value.kind())).at(&value.at),
        );
        return (vec![], Plain::Array(vec![]));
    };
    if items.is_empty() {
        diags.push(Diag::new("a network needs at least one layer").at(&value.at));
    }
    let given: Vec<&str> = items.iter().filter_map(|i| i.as_table()?.get("name")?.as_str()).collect();
    let (mut nodes, mut plains): (Vec<LayerNode>, Vec<Plain>) = (vec![], vec![]);
    let before = diags.len();
    for item in items {
        let Data::Table(table) = &item.data else {
            diags.push(Diag::new(format!("a layer is a table, found {}", item.kind())).at(&item.at));
            continue;
        };
        if let Some((node, plain)) = read_one(table, &item.at, &nodes, &given, items, diags) {
            nodes.push(node);
            plains.push(plain);
        }
    }
    // With a layer or a `from` amiss, what seems unused may be meant by it.
    if diags.len() == before {
        report_unused(&nodes, diags);
    }
    (nodes, Plain::Array(plains))
}

fn read_one(
    table: &Table,
    at: &At,
    earlier: &[LayerNode],
    given: &[&str],
    items: &[Value],
    diags: &mut Vec<Diag>,
) -> Option<(LayerNode, Plain)> {
    let Some(kind_value) = table.get("type") else {
        diags.push(Diag::new("this layer needs a `type`").at(at).hint("for example type = \"Dense\""));
        return None;
    };
    let Some(kind) = kind_value.as_str() else {
        diags.push(
            Diag::new(format!("`type` must be a string, found {}", kind_value.kind())).at(&kind_value.at),
        );
        return None;
    };
    let Some(entry) = LAYERS.find(kind) else {
        diags.push(LAYERS.unknown(kind_value, kind));
        return None;
    };
    let mut f = Fields::new(table, &kind_value.at, format!("`{kind}`"), diags);
    f.resolve("type", Plain::Str(entry.name.to_string()));
    f.allow("type");
    let name: Option<String> = f.key("name").optional();
    let written = name.is_some();
    let taken = |n: &str| n == INPUT || given.contains(&n) || earlier.iter().any(|e| e.name == n);
    let name = name.unwrap_or_else(|| names::unique(&names::snake_case(entry.name), taken));
    if !written {
        f.resolve("name", Plain::Str(name.clone()));
    }
    check_name(&mut f, &name, earlier);
    let from: Option<OneOrMany<String>> = f.key("from").optional();
    let trainable = f.key("trainable").or(true);
    let layer = (entry.parse)(&mut f);
    let feeds = match &from {
        None => vec![if earlier.is_empty() { Feed::Input } else { Feed::Layer(earlier.len() - 1) }],
        Some(from) => resolve_from(&mut f, &from.0, &name, earlier, items),
    };
    check_arity(&mut f, &*layer, feeds.len(), from.is_some());
    let plain = Plain::Table(f.finish());
    Some((
        LayerNode { name, kind: entry.name, layer, from: feeds, trainable, at: kind_value.at.clone() },
        plain,
    ))
}

fn check_name(f: &mut Fields<'_>, name: &str, earlier: &[LayerNode]) {
    if name.is_empty() || name.contains('/') {
        f.error(
            "name",
            format!("`{name}` cannot name a layer"),
            Some("a name is not empty and has no `/`".into()),
        );
    } else if name == INPUT {
        f.error("name", "`input` is the dataset's input", Some("choose another name".into()));
    } else if let Some(first) = earlier.iter().find(|e| e.name == name) {
        let at = f.place("name");
        f.push(Diag::new(format!("two layers are named `{name}`")).at(&at).also(&first.at, "the first"));
    }
}

fn resolve_from(
    f: &mut Fields<'_>,
    from: &[String],
    own: &str,
    earlier: &[LayerNode],
    items: &[Value],
) -> Vec<Feed> {
    if from.is_empty() {
        f.error("from", "names no layer", None);
    }
    let mut feeds = vec![];
    for name in from {
        let found = earlier.iter().position(|e| e.name == *name);
        if name == INPUT {
            feeds.push(Feed::Input);
        } else if let Some(index) = found {
            feeds.push(Feed::Layer(index));
        } else if name == own {
            f.error("from", format!("layer `{own}` cannot be its own input: that is a cycle"), None);
        } else if let Some(later) = later_named(items, name) {
            let at = f.place("from");
            f.push(
                Diag::new(format!("`{name}` comes later than the layer `{own}` that reads it"))
                    .at(&at)
                    .also(later, "it stands here")
                    .hint("a layer reads only layers above it; if each needs the other, that is a cycle"),
            );
        } else {
            let known: Vec<&str> = earlier.iter().map(|e| e.name.as_str()).chain([INPUT]).collect();
            f.error("from", format!("there is no layer `{name}`"), suggest(name, &known));
        }
    }
    feeds
}

fn later_named<'a>(items: &'a [Value], name: &str) -> Option<&'a At> {
    items.iter().find_map(|i| i.as_table()?.get("name").filter(|v| v.as_str() == Some(name)).map(|v| &v.at))
}

fn check_arity(f: &mut Fields<'_>, layer: &dyn Layer, inputs: usize, written: bool) {
    match layer.arity() {
        Arity::One if inputs > 1 => {
            f.error(
                "from",
                format!("takes one input, got {inputs}"),
                Some("merge them first, for example with `Add` or `Concatenate`".into()),
            );
        }
        Arity::Many if inputs < 2 => {
            let hint = "name what is merged: from = [\"a\", \"b\"]".to_string();
            let message = if written {
                format!("merges two inputs or more, got {inputs}")
            } else {
                "is needed: a merge has two inputs or more".to_string()
            };
            f.error("from", message, Some(hint));
        }
        _ => {}
    }
}

/// Every layer but the last must be read by another: a forgotten `from` is a silent mistake.
fn report_unused(nodes: &[LayerNode], diags: &mut Vec<Diag>) {
    for (index, node) in nodes.iter().enumerate().take(nodes.len().saturating_sub(1)) {
        let used = nodes.iter().any(|n| n.from.contains(&Feed::Layer(index)));
        if !used {
            diags.push(
                Diag::new(format!("no layer reads the output of `{}`", node.name))
                    .at(&node.at)
                    .hint("the last layer is the network's output; name this one in a `from`, or remove it"),
            );
        }
    }
}
