//! `[blocks.NAME]`: layers that are written once and used as a layer's `type`.
//!
//! ```text
//! [blocks.residual]
//! required = ["filters"]         # params that every use gives
//! params = { strides = 1 }       # params with a default
//! layers = [ { type = "Conv2D", filters = "$filters", ... }, ... ]
//! ```
//! What is wrong with a block wherever it is used is found here; [`super::expand`] opens the uses.

use crate::config::fields::Fields;
use crate::config::tree::{Data, Entry, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag, suggest};
use crate::layers::LAYERS;
use crate::model::expand::SHARED;

/// Keys of every use of a block, which no param can be named.
const COMMON: [&str; 6] = ["type", "name", "from", "repeat", "trainable", "when"];

/// Stands for the block's input in a `from`: `"$input"`.
pub const BLOCK_INPUT: &str = "$input";

#[derive(Debug)]
pub struct Block {
    pub name: String,
    /// Where its name stands.
    pub at: At,
    pub params: Vec<Param>,
    pub layers: Vec<Value>,
    /// Its layers cannot be read: what they say is unclear, and told.
    pub broken: bool,
}

#[derive(Debug)]
pub struct Param {
    pub name: String,
    pub at: At,
    /// Every use gives the value where there is none.
    pub default: Option<Value>,
}

impl Block {
    /// The block as it is stored, its layers given.
    pub fn stored(&self, layers: Plain) -> Plain {
        let required = self.params.iter().filter(|p| p.default.is_none());
        let required: Vec<Plain> = required.map(|p| Plain::Str(p.name.clone())).collect();
        let with_default =
            self.params.iter().filter_map(|p| Some((p.name.clone(), p.default.as_ref()?.into())));
        let params: Vec<(String, Plain)> = with_default.collect();
        let entries = [
            ("required", (!required.is_empty()).then_some(Plain::Array(required))),
            ("params", (!params.is_empty()).then_some(Plain::Table(params))),
            ("layers", Some(layers)),
        ];
        Plain::Table(entries.into_iter().filter_map(|(k, v)| Some((k.to_string(), v?))).collect())
    }
}

/// Reads `[blocks]`; mistakes are noted.
pub fn read(value: &Value, diags: &mut Vec<Diag>) -> Vec<Block> {
    let Data::Table(table) = &value.data else {
        let message = format!("`blocks` must hold [blocks.NAME] tables, found {}", value.kind());
        diags.push(Diag::new(message).at(&value.at).hint("[blocks.residual] is the block `residual`"));
        return vec![];
    };
    table.entries.iter().map(|entry| read_one(entry, diags)).collect()
}

fn read_one(entry: &Entry, diags: &mut Vec<Diag>) -> Block {
    let name = entry.key.clone();
    let before = diags.len();
    check_name(entry, diags);
    let mut block = Block { name, at: entry.key_at.clone(), params: vec![], layers: vec![], broken: false };
    let Data::Table(table) = &entry.value.data else {
        let message = format!("a block is a table, found {}", entry.value.kind());
        diags.push(Diag::new(message).at(&entry.value.at).hint(EXAMPLE));
        block.broken = true;
        return block;
    };
    let mut f = Fields::new(table, &entry.key_at, format!("[blocks.{}]", block.name), diags);
    read_required(&mut f, &mut block);
    read_params(&mut f, &mut block);
    read_layers(&mut f, &mut block);
    f.finish();
    if !block.broken {
        block.broken = check_dollars(&block, diags);
    }
    if diags.len() == before {
        report_unused(&block, diags);
    }
    block
}

const EXAMPLE: &str = "for example: layers = [{ type = \"Dense\", units = \"$units\" }]";

fn check_name(entry: &Entry, diags: &mut Vec<Diag>) {
    let name = &entry.key;
    if name.is_empty() || name.contains(['/', '$']) {
        let message = format!("`{name}` cannot name a block");
        diags
            .push(Diag::new(message).at(&entry.key_at).hint("a name is not empty and has no `/` and no `$`"));
    } else if LAYERS.find(name).is_some() || name == SHARED {
        let message = format!("a block cannot be named `{name}`: that is a layer type");
        diags.push(Diag::new(message).at(&entry.key_at).hint("choose another name"));
    }
}

fn read_required(f: &mut Fields<'_>, block: &mut Block) {
    let Some(value) = f.raw("required") else { return };
    let names = value.as_array().filter(|items| items.iter().all(|i| i.as_str().is_some()));
    let Some(names) = names else {
        let hint = Some("for example: required = [\"filters\"]".into());
        f.error("required", format!("expected an array of names, found {}", value.kind()), hint);
        block.broken = true;
        return;
    };
    for item in names {
        add_param(f, block, item.as_str().expect("all are strings"), &item.at, None);
    }
}

fn read_params(f: &mut Fields<'_>, block: &mut Block) {
    let Some(value) = f.raw("params") else { return };
    let Data::Table(table) = &value.data else {
        let hint = "params = { strides = 1 } with a default for each; those without are listed in `required`";
        f.error("params", format!("expected a table, found {}", value.kind()), Some(hint.into()));
        block.broken = true;
        return;
    };
    for entry in &table.entries {
        for_strings(&entry.value, &mut |text, at| {
            if text.contains('$') {
                let message = format!("the default of `{}` cannot name a param", entry.key);
                f.push(Diag::new(message).at(at).hint("`$` stands only in the block's `layers`"));
            }
        });
        add_param(f, block, &entry.key, &entry.key_at, Some(entry.value.clone()));
    }
}

fn add_param(f: &mut Fields<'_>, block: &mut Block, name: &str, at: &At, default: Option<Value>) {
    let reserved = COMMON.contains(&name) || name == &BLOCK_INPUT[1..] || name.is_empty();
    if reserved {
        let message = format!("`{name}` cannot name a param");
        let hint = match name {
            "" => "a name is not empty".to_string(),
            "input" => "`$input` is the block's input".to_string(),
            _ => format!("`{name}` is a key of every layer"),
        };
        f.push(Diag::new(message).at(at).hint(hint));
    } else if let Some(first) = block.params.iter().find(|p| p.name == name) {
        let diag = Diag::new(format!("the param `{name}` stands twice in the block `{}`", block.name));
        f.push(diag.at(at).also(&first.at, "the first").hint("with a default it stands in `params` alone"));
    } else {
        block.params.push(Param { name: name.to_string(), at: at.clone(), default });
    }
}

fn read_layers(f: &mut Fields<'_>, block: &mut Block) {
    match f.raw("layers").map(|v| &v.data) {
        Some(Data::Array(items)) if !items.is_empty() => block.layers = items.clone(),
        Some(Data::Array(_)) => f.error("layers", "a block needs at least one layer", None),
        Some(_) => f.error("layers", "expected an array of tables", Some(EXAMPLE.into())),
        None => {
            let diag = Diag::new(format!("the block `{}` needs `layers`", block.name));
            f.push(diag.at(&block.at).hint(EXAMPLE));
        }
    }
    block.broken |= block.layers.is_empty();
}

/// Looks at every `$` of the layers; whether one of them means nothing.
fn check_dollars(block: &Block, diags: &mut Vec<Diag>) -> bool {
    let before = diags.len();
    for layer in &block.layers {
        let Some(table) = layer.as_table() else { continue };
        // What is no layer may be a block, whose params may name layers.
        let kind = table.get("type").and_then(|t| t.as_str()).unwrap_or_default();
        let is_layer = LAYERS.find(kind).is_some() || kind == SHARED;
        for entry in &table.entries {
            let names_layers = entry.key == "from" || (!is_layer && !COMMON.contains(&entry.key.as_str()));
            for_strings(&entry.value, &mut |text, at| {
                diags.extend(wrong_dollar(block, text, names_layers).map(|d| d.at(at)));
            });
        }
    }
    diags.len() > before
}

fn wrong_dollar(block: &Block, text: &str, names_layers: bool) -> Option<Diag> {
    let Some(name) = text.strip_prefix('$') else {
        let message = format!("`{text}`: a param is a whole text, not a part of one");
        return text.contains('$').then(|| Diag::new(message).hint("for example name = \"$name\""));
    };
    if text == BLOCK_INPUT {
        let message = "`$input` is the block's input, not a value";
        return (!names_layers).then(|| Diag::new(message).hint("it stands in a `from`"));
    }
    let known: Vec<&str> = block.params.iter().map(|p| p.name.as_str()).collect();
    let message = format!("the block `{}` has no param `{name}`", block.name);
    let hint =
        suggest(name, &known).unwrap_or("name it in `params`, with a default, or in `required`".into());
    (!known.contains(&name)).then(|| Diag::new(message).hint(hint))
}

fn report_unused(block: &Block, diags: &mut Vec<Diag>) {
    let mut used: Vec<String> = vec![];
    block.layers.iter().for_each(|layer| for_strings(layer, &mut |text, _| used.push(text.to_string())));
    for param in block.params.iter().filter(|p| !used.contains(&format!("${}", p.name))) {
        let message = format!("no layer of the block `{}` uses its param `{}`", block.name, param.name);
        let hint = format!("write \"${}\" where its value belongs, or remove it", param.name);
        diags.push(Diag::new(message).at(&param.at).hint(hint));
    }
}

/// Every string inside a value, with its place.
fn for_strings(value: &Value, f: &mut dyn FnMut(&str, &At)) {
    match &value.data {
        Data::Str(text) => f(text, &value.at),
        Data::Array(items) => items.iter().for_each(|v| for_strings(v, f)),
        Data::Table(table) => table.entries.iter().for_each(|e| for_strings(&e.value, f)),
        _ => {}
    }
}
