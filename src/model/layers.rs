//! `[[layers]]` and `[blocks]`: the words of a network, read.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag};
use crate::layers::{Arity, Layer, LayerEntry, Reach};
use crate::model::blocks::{self, Block};
use crate::model::expand::{COMMON, Conditional, Opened, Root, Site, Word, expand};
use crate::model::scope::{Context, Feed, note};

/// The layers of a network in the order of computation.
#[derive(Debug, Default)]
pub struct Network {
    /// Names of its inputs.
    pub inputs: Vec<String>,
    pub layers: Vec<LayerNode>,
    /// Inner ones before those around them.
    pub conditionals: Vec<Conditional>,
}

impl Network {
    /// The losses that its layers add, in their order.
    pub fn terms(&self) -> Vec<Term> {
        let term = |node: &LayerNode| node.layer.term().map(|(name, weight)| Term { name, weight });
        self.layers.iter().filter_map(term).collect()
    }

    /// The first layer whose state goes on from sample to sample, if there is one.
    pub fn stateful(&self) -> Option<&LayerNode> {
        self.layers.iter().find(|node| node.layer.reach() == Reach::Walk)
    }
}

/// A loss that a layer adds.
#[derive(Clone, Debug)]
pub struct Term {
    pub name: &'static str,
    /// What it counts in the sum.
    pub weight: f64,
}

/// A layer with its place in the network.
#[derive(Debug)]
pub struct LayerNode {
    pub name: String,
    /// The layer whose weights it uses: itself, if it is not shared.
    pub owner: String,
    /// The class name: `Conv2D`.
    pub kind: &'static str,
    pub layer: Arc<dyn Layer>,
    /// Where its inputs come from.
    pub from: Vec<Feed>,
    pub trainable: bool,
    /// Where its `type` stands.
    pub at: At,
    /// The uses of blocks that led to it.
    pub context: Context,
}

/// What is read of the config for one network.
pub struct Source<'v> {
    /// Begins the names of its layers: `generator/`, or nothing.
    pub prefix: String,
    pub layers: &'v Value,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Layers whose output is read from outside.
    pub outputs: &'v [String],
}

/// Reads arrays of layers, with the table of blocks if there is one; mistakes are noted. `whole`: no network
/// is missing, which could use a block that the others do not. Returns the networks, and all as they are stored.
pub fn read(
    sources: &[Source<'_>],
    whole: bool,
    blocks: Option<&Value>,
    diags: &mut Vec<Diag>,
) -> (Vec<Network>, Stored) {
    let blocks = blocks.map_or(vec![], |value| blocks::read(value, diags));
    let mut roots = vec![];
    for source in sources {
        let Some(items) = source.layers.as_array() else {
            let message = format!("`layers` must be [[layers]] tables, found {}", source.layers.kind());
            diags.push(Diag::new(message).at(&source.layers.at));
            return (vec![], Stored::default());
        };
        if items.is_empty() {
            diags.push(Diag::new("a network needs at least one layer").at(&source.layers.at));
        }
        let (prefix, inputs) = (source.prefix.clone(), source.inputs.clone());
        roots.push(Root { prefix, items, inputs, outputs: source.outputs });
    }
    let expansion = expand(&roots, whole, &blocks, diags);
    let mut readings = expansion.uses;
    let mut networks = vec![];
    for (opening, source) in expansion.networks.into_iter().zip(sources) {
        let mut network =
            Network { inputs: source.inputs.clone(), layers: vec![], conditionals: opening.conditionals };
        for opened in opening.layers {
            let node = read_node(opened, &network.layers, &mut readings, diags);
            network.layers.push(node);
        }
        networks.push(network);
    }
    (networks, Stored::new(&roots, &blocks, &readings))
}

fn read_node(
    opened: Opened,
    before: &[LayerNode],
    readings: &mut Vec<(Site, Plain)>,
    diags: &mut Vec<Diag>,
) -> LayerNode {
    let (kind, layer, owner) = match opened.word {
        Word::Own(entry) => {
            let (layer, stored) = read_word(entry, &opened, diags);
            readings.push((opened.site, Plain::Table(stored)));
            let layer = match opened.part {
                Some(part) => layer.parts().swap_remove(part).layer.into(),
                None => layer,
            };
            (entry.name, layer, opened.name.clone())
        }
        Word::Shared(first) => {
            let first = &before[first];
            (first.kind, first.layer.clone(), first.name.clone())
        }
    };
    let Opened { name, at, from, trainable, context, .. } = opened;
    LayerNode { name, owner, kind, layer, from, trainable, at, context }
}

/// The keys of a layer's own. They are read even if its common keys are amiss: to find more.
fn read_word(
    entry: &LayerEntry,
    opened: &Opened,
    diags: &mut Vec<Diag>,
) -> (Arc<dyn Layer>, Vec<(String, Plain)>) {
    let written = opened.table.get("type").and_then(Value::as_str).expect("the type was read");
    let mut found = vec![];
    let mut f = Fields::new(&opened.table, &opened.at, format!("`{written}`"), &mut found);
    COMMON.iter().for_each(|key| f.allow(key));
    let layer: Arc<dyn Layer> = (entry.parse)(&mut f).into();
    check_arity(&mut f, &*layer, opened.from.len());
    let own = f.finish();
    found.into_iter().for_each(|diag| note(diags, opened.context.explain(diag)));
    (layer, [opened.common.clone(), own].concat())
}

fn check_arity(f: &mut Fields<'_>, layer: &dyn Layer, inputs: usize) {
    match layer.arity() {
        Arity::One if inputs > 1 => {
            let hint = "merge them first, for example with `Add` or `Concatenate`".to_string();
            f.error("from", format!("takes one input, got {inputs}"), Some(hint));
        }
        Arity::UpTo(most) if inputs > most => {
            f.error("from", format!("takes {most} inputs at most, got {inputs}"), None);
        }
        Arity::Many if inputs < 2 => {
            let hint = "name what is merged: from = [\"a\", \"b\"]".to_string();
            let message = match f.has("from") {
                true => format!("merges two inputs or more, got {inputs}"),
                false => "is needed: a merge has two inputs or more".to_string(),
            };
            f.error("from", message, Some(hint));
        }
        _ => {}
    }
}

/// `layers` and `blocks` for the config that a run stores: every default is filled in, and what a
/// param stands for stays a param.
#[derive(Debug, Default)]
pub struct Stored {
    /// One for each network.
    pub layers: Vec<Plain>,
    pub blocks: Option<Plain>,
}

impl Stored {
    fn new(roots: &[Root<'_>], blocks: &[Block], readings: &[(Site, Plain)]) -> Stored {
        let list = |list: usize, items: &[Value]| {
            let stored = items.iter().enumerate().map(|(item, written)| {
                let here = readings.iter().filter(|(site, _)| *site == Site { list, item });
                let read: Vec<&Plain> = here.map(|(_, plain)| plain).collect();
                merge(Some(written), &read).unwrap_or_else(|| written.into())
            });
            Plain::Array(stored.collect())
        };
        let block = |(index, block): (usize, &Block)| {
            (block.name.clone(), block.stored(list(roots.len() + index, &block.layers)))
        };
        let blocks: Vec<(String, Plain)> = blocks.iter().enumerate().map(block).collect();
        let layers = roots.iter().enumerate().map(|(number, root)| list(number, root.items)).collect();
        Stored { layers, blocks: (!blocks.is_empty()).then_some(Plain::Table(blocks)) }
    }
}

/// A value as it is written, completed by what its readings agree on; `None` for a default on which
/// they differ: it follows from params.
fn merge(written: Option<&Value>, read: &[&Plain]) -> Option<Plain> {
    let agreed = read.first().filter(|first| read.iter().all(|r| r == *first));
    match written.map(|value| &value.data) {
        Some(Data::Table(table)) if read.iter().all(|r| matches!(r, Plain::Table(_))) => {
            let tables: Vec<&[(String, Plain)]> = read.iter().filter_map(|r| entries(r)).collect();
            let keys = tables.first().copied().unwrap_or_default().iter().map(|(key, _)| key.as_str());
            let dropped = table.entries.iter().map(|e| e.key.as_str());
            let dropped: Vec<&str> = dropped.filter(|k| !keys.clone().any(|key| key == *k)).collect();
            let complete = |key: &str| {
                let found: Option<Vec<&Plain>> = tables.iter().map(|t| value_of(t, key)).collect();
                let value = merge(table.get(key), &found.unwrap_or_default())?;
                Some((key.to_string(), value))
            };
            Some(Plain::Table(keys.clone().chain(dropped).filter_map(complete).collect()))
        }
        Some(_) if written.is_some_and(has_param) => written.map(Plain::from),
        _ => agreed.map(|plain| (*plain).clone()).or(written.map(Plain::from)),
    }
}

fn entries(plain: &Plain) -> Option<&[(String, Plain)]> {
    match plain {
        Plain::Table(entries) => Some(entries),
        _ => None,
    }
}

fn value_of<'p>(entries: &'p [(String, Plain)], key: &str) -> Option<&'p Plain> {
    entries.iter().find(|(k, _)| k == key).map(|(_, value)| value)
}

fn has_param(value: &Value) -> bool {
    match &value.data {
        Data::Str(text) => text.starts_with('$'),
        Data::Array(items) => items.iter().any(has_param),
        Data::Table(table) => table.entries.iter().any(|e| has_param(&e.value)),
        _ => false,
    }
}
