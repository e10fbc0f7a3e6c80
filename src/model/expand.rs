//! Opening blocks: the layers as they are written become one list, with names and edges.
//!
//! Each use of a block is replaced by the block's layers. A layer inside is named after the use and
//! itself, `residual_1/conv2d`; repetitions are numbered, `stage/1/conv2d`, `stage/2/conv2d`. Names in
//! a `from` are looked up where they are written: a block's layers see their own names and `$input`,
//! and a name given to a param means a layer beside the use.

use crate::config::fields::Fields;
use crate::config::names;
use crate::config::tree::{Data, Table, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag, nearest, suggest};
use crate::layers::{LAYERS, LayerEntry};
use crate::model::blocks::Block;
use crate::model::scope::{Arg, Context, Feed, Item, Scope, Scopes, Swap, note};
use crate::words;

/// More layers than any network has: repetitions of repetitions are stopped here.
const MOST_ITEMS: usize = 10_000;
/// Blocks inside blocks.
const MOST_DEPTH: usize = 100;

/// When a layer or a block stands in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Where it changes the shape of its input; elsewhere the input is passed on as it is.
    ShapeDiffers,
}
words!(When, ShapeDiffers = "shape_differs");

/// Layers that stand or not, as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditional {
    /// The layer, or the use of a block.
    pub name: String,
    /// Positions of the first layer, and behind the last one, whose output is the whole's.
    pub first: usize,
    pub end: usize,
    pub input: Feed,
}

/// What a layer is.
#[derive(Clone, Copy)]
pub enum Word {
    /// One of the table.
    Own(&'static LayerEntry),
    /// An earlier layer, by position, with its weights.
    Shared(usize),
}

/// The `type` of a use of an earlier layer or block with its weights.
pub const SHARED: &str = "Shared";

/// A network's list of layers.
pub struct Root<'v> {
    /// Begins the names of its layers: `generator/`, or nothing.
    pub prefix: String,
    pub items: &'v [Value],
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Layers whose output is read from outside, besides the last one.
    pub outputs: &'v [String],
}

/// Which item of which list: the networks' lists come first, then one for each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    pub list: usize,
    pub item: usize,
}

/// A layer of the opened list; the keys of its own are still to be read.
pub struct Opened {
    /// Its name in the whole network.
    pub name: String,
    pub word: Word,
    /// Where its `type` stands.
    pub at: At,
    /// Its keys, params substituted.
    pub table: Table,
    pub from: Vec<Feed>,
    pub trainable: bool,
    /// The common keys as they are stored.
    pub common: Vec<(String, Plain)>,
    pub site: Site,
    pub context: Context,
}

/// The keys of a layer that are read here.
pub const COMMON: [&str; 6] = ["type", "name", "from", "trainable", "when", "repeat"];

/// The opened lists.
#[derive(Default)]
pub struct Expansion {
    pub networks: Vec<Opening>,
    /// How each use of a block, or of a layer's weights, was read.
    pub uses: Vec<(Site, Plain)>,
}

/// An opened list.
#[derive(Default)]
pub struct Opening {
    pub layers: Vec<Opened>,
    /// Inner ones before those around them.
    pub conditionals: Vec<Conditional>,
}

/// Opens all blocks in networks' lists of layers; mistakes are noted.
pub fn expand(roots: &[Root<'_>], blocks: &[Block], diags: &mut Vec<Diag>) -> Expansion {
    let mut expansion = Expansion::default();
    let mut reached = vec![false; blocks.len()];
    let mut clear = true;
    for (number, root) in roots.iter().enumerate() {
        let mut expander = Expander {
            blocks,
            roots: roots.len(),
            scopes: Scopes::network(&root.prefix, &root.inputs),
            made: Opening::default(),
            uses: vec![],
            extents: vec![],
            reached: &mut reached,
            cycles: vec![],
            items_read: 0,
            diags: vec![],
        };
        expander.list(number, root.items);
        // With a layer or a `from` amiss, what seems unused may be meant by it.
        clear &= expander.diags.is_empty();
        if clear && !blocks.iter().any(|b| b.broken) {
            expander.report_unread(root);
        }
        diags.append(&mut expander.diags);
        expansion.uses.append(&mut expander.uses);
        expansion.networks.push(expander.made);
    }
    if clear && !blocks.iter().any(|b| b.broken) {
        report_unused(blocks, &reached, diags);
    }
    expansion
}

/// A block that stands nowhere is a silent mistake.
fn report_unused(blocks: &[Block], reached: &[bool], diags: &mut Vec<Diag>) {
    for (block, _) in blocks.iter().zip(reached).filter(|(_, reached)| !**reached) {
        let message = format!("the network does not use the block `{}`", block.name);
        let hint = format!("use it with type = \"{}\", or remove it", block.name);
        diags.push(Diag::new(message).at(&block.at).hint(hint));
    }
}

struct Expander<'a> {
    blocks: &'a [Block],
    /// How many lists stand before those of the blocks.
    roots: usize,
    scopes: Scopes<'a>,
    made: Opening,
    uses: Vec<(Site, Plain)>,
    /// What can be shared: each layer and each use of a block, by its full name.
    extents: Vec<Extent>,
    /// Blocks that some layer is of.
    reached: &'a mut [bool],
    /// Blocks that contain each other, told.
    cycles: Vec<Vec<&'a str>>,
    items_read: usize,
    diags: Vec<Diag>,
}

/// A layer or a use of a block, params substituted.
struct Written<'v> {
    site: Site,
    table: &'v Table,
    /// Its `type`, and where that stands.
    kind: &'v str,
    at: &'v At,
    swaps: &'v [Swap],
}

/// The layers that an item stands for.
struct Extent {
    name: String,
    layers: std::ops::Range<usize>,
    conditionals: std::ops::Range<usize>,
    inputs: Vec<Feed>,
}

/// The keys that layers and uses of blocks share, read.
struct Common {
    from: Vec<Feed>,
    trainable: bool,
    when: Option<When>,
}

impl<'a> Expander<'a> {
    fn say(&mut self, diag: Diag, swaps: &[Swap]) {
        let context = self.scopes.innermost().context(swaps);
        note(&mut self.diags, context.explain(diag));
    }

    /// Reads a list into the innermost scope; gives the output of its last layer.
    fn list(&mut self, list: usize, raw: &'a [Value]) -> Option<Feed> {
        let mut swaps = vec![vec![]; raw.len()];
        let with_swaps = raw.iter().zip(&mut swaps);
        let values: Vec<Value> = with_swaps.map(|(v, s)| self.scopes.substitute(v, s)).collect();
        let item = |(name, value): (String, &Value)| {
            let place = |key: &str| Some(&value.as_table()?.get(key)?.at);
            let at = place("name").or(place("type")).unwrap_or(&value.at).clone();
            Item { name, at, output: None }
        };
        let items = names::of_layers(&values).into_iter().zip(&values).map(item).collect();
        self.scopes.innermost_mut().items = items;
        for (index, ((value, raw), swaps)) in values.iter().zip(raw).zip(&swaps).enumerate() {
            self.scopes.innermost_mut().current = index;
            let output = self.item(Site { list, item: index }, value, raw, swaps);
            self.scopes.innermost_mut().items[index].output = output;
        }
        self.scopes.innermost().items.last()?.output
    }

    /// Reads a layer or opens a block; gives its output.
    fn item(&mut self, site: Site, value: &Value, raw: &'a Value, swaps: &[Swap]) -> Option<Feed> {
        self.items_read += 1;
        if self.items_read > MOST_ITEMS {
            if self.items_read == MOST_ITEMS + 1 {
                let diag = Diag::new(format!("the network has more than {MOST_ITEMS} layers")).at(&value.at);
                self.say(diag, swaps);
            }
            return None;
        }
        let written = match Written::new(site, value, swaps) {
            Ok(written) => written,
            Err(diag) => {
                self.say(diag, swaps);
                return None;
            }
        };
        if let Some(entry) = LAYERS.find(written.kind) {
            return Some(self.layer(entry, &written));
        }
        if written.kind == SHARED {
            return self.shared(&written);
        }
        match self.blocks.iter().position(|b| b.name == written.kind) {
            Some(block) => self.open(block, &written, raw),
            None => {
                let diag = self.unknown(&written);
                self.say(diag, swaps);
                None
            }
        }
    }

    fn unknown(&self, written: &Written<'_>) -> Diag {
        let (kind, value) = (written.kind, written.table.get("type").expect("the type was read"));
        let blocks: Vec<&str> = self.blocks.iter().map(|b| b.name.as_str()).collect();
        let all = LAYERS.names().into_iter().chain(blocks.iter().copied());
        match nearest(kind, all).filter(|near| blocks.contains(near)) {
            Some(block) => {
                let hint = format!("did you mean the block `{block}`?");
                Diag::new(format!("unknown layer `{kind}`")).at(written.at).hint(hint)
            }
            None => LAYERS.unknown(value, kind),
        }
    }

    fn layer(&mut self, entry: &'static LayerEntry, written: &Written<'_>) -> Feed {
        let mut found = vec![];
        let mut f = Fields::new(written.table, written.at, format!("`{}`", written.kind), &mut found);
        f.resolve("type", Plain::Str(entry.name.to_string()));
        let Common { from, trainable, when } = self.common(&mut f);
        if f.has("repeat") {
            let hint = "make a block of this layer: [blocks.NAME]".to_string();
            f.error("repeat", "only a block is repeated", Some(hint));
        }
        let common = f.leave();
        found.into_iter().for_each(|d| self.say(d, written.swaps));
        let name = self.scopes.innermost().full_name();
        let position = self.made.layers.len();
        let conditionals = self.made.conditionals.len();
        self.condition(when, &name, position..position + 1, &from);
        self.extents.push(Extent {
            name: name.clone(),
            layers: position..position + 1,
            conditionals: conditionals..conditionals,
            inputs: from.clone(),
        });
        self.made.layers.push(Opened {
            name,
            word: Word::Own(entry),
            at: written.at.clone(),
            table: written.table.clone(),
            from,
            trainable,
            common,
            site: written.site,
            context: self.scopes.innermost().context(written.swaps),
        });
        Feed::Layer(position)
    }

    /// The keys that layers and uses of blocks share.
    fn common(&self, f: &mut Fields<'_>) -> Common {
        let scope = self.scopes.innermost();
        let name = &scope.own().name;
        f.allow("type");
        if f.key("name").optional::<String>().is_none() {
            f.resolve("name", Plain::Str(name.clone()));
        }
        self.scopes.check_name(f);
        let from = self.scopes.read_from(f);
        let trainable = f.key("trainable").or(true) && scope.trainable;
        let when = f.key("when").optional();
        if when.is_some() && from.len() != 1 {
            f.error("when", format!("needs one input to compare with, got {}", from.len()), None);
        }
        Common { from, trainable, when }
    }

    /// Notes which layers are to stand only on a condition.
    fn condition(&mut self, when: Option<When>, name: &str, layers: std::ops::Range<usize>, from: &[Feed]) {
        if let (Some(When::ShapeDiffers), [input]) = (when, from) {
            let (name, input) = (name.to_string(), *input);
            self.made.conditionals.push(Conditional { name, first: layers.start, end: layers.end, input });
        }
    }

    /// Puts a block's layers in the place of its use, as often as it says; gives its output.
    fn open(&mut self, index: usize, written: &Written<'_>, raw: &'a Value) -> Option<Feed> {
        let block = &self.blocks[index];
        self.reached[index] = true;
        let mut found = vec![];
        let mut f = Fields::new(written.table, written.at, format!("`{}`", block.name), &mut found);
        f.resolve("type", Plain::Str(block.name.clone()));
        let Common { mut from, trainable, when } = self.common(&mut f);
        let repeat: usize = f.key("repeat").at_least(1).or(1);
        let args = self.bind(block, &mut f, raw);
        self.uses.push((written.site, Plain::Table(f.finish())));
        found.into_iter().for_each(|d| self.say(d, written.swaps));
        if self.contains_itself(block, written) || block.broken {
            return None;
        }
        let args = args?;
        let base = self.scopes.innermost().full_name();
        let inputs = from.clone();
        let (layers, conditionals) = (self.made.layers.len(), self.made.conditionals.len());
        for number in 1..=repeat {
            let first = self.made.layers.len();
            let (name, label) = match repeat {
                1 => (base.clone(), format!("`{}` is used here", block.name)),
                _ => (format!("{base}/{number}"), format!("`{}` {number} of {repeat}", block.name)),
            };
            let outer = self.scopes.innermost().trail.clone();
            self.scopes.push(Scope {
                block: Some(&block.name),
                prefix: format!("{name}/"),
                inputs: from.clone(),
                args: args.clone(),
                items: vec![],
                current: 0,
                trainable,
                trail: [outer, vec![(written.at.clone(), label)]].concat(),
            });
            let output = self.list(self.roots + index, &block.layers);
            self.scopes.pop();
            self.condition(when, &name, first..self.made.layers.len(), &from);
            from = vec![output?];
        }
        self.extents.push(Extent {
            name: base,
            layers: layers..self.made.layers.len(),
            conditionals: conditionals..self.made.conditionals.len(),
            inputs,
        });
        from.pop()
    }

    /// Applies an earlier layer, or all layers of an earlier use of a block, with their weights; gives
    /// the output.
    fn shared(&mut self, written: &Written<'_>) -> Option<Feed> {
        let mut found = vec![];
        let mut f = Fields::new(written.table, written.at, format!("`{SHARED}`"), &mut found);
        f.resolve("type", Plain::Str(SHARED.to_string()));
        f.allow("type");
        let scope = self.scopes.innermost();
        let (own, prefix) = (scope.own().name.clone(), scope.prefix.clone());
        if f.key("name").optional::<String>().is_none() {
            f.resolve("name", Plain::Str(own));
        }
        self.scopes.check_name(&mut f);
        let from = self.scopes.read_from(&mut f);
        let layer: String = f.key("layer").required();
        let extent = self.extents.iter().position(|e| e.name == format!("{prefix}{layer}"));
        if extent.is_none() && f.has("layer") {
            let known = self.extents.iter().filter_map(|e| e.name.strip_prefix(&prefix));
            let hint = suggest(&layer, &known.filter(|name| !name.contains('/')).collect::<Vec<_>>());
            f.error("layer", format!("there is no layer or block `{layer}` before this"), hint);
        }
        if let Some(inputs) = extent.map(|e| self.extents[e].inputs.len()).filter(|n| *n != from.len()) {
            f.error("from", format!("`{layer}` takes {inputs} inputs, got {}", from.len()), None);
        }
        let name = self.scopes.innermost().full_name();
        self.uses.push((written.site, Plain::Table(f.finish())));
        let complete = found.is_empty();
        found.into_iter().for_each(|d| self.say(d, written.swaps));
        let extent = extent.filter(|_| complete)?;
        Some(self.repeat_layers(extent, &name, &from, written))
    }

    /// Copies the layers of an item, with other inputs; the last one's output.
    fn repeat_layers(&mut self, extent: usize, name: &str, from: &[Feed], written: &Written<'_>) -> Feed {
        let Extent { name: of, layers, conditionals, inputs } = &self.extents[extent];
        let (layers, conditionals) = (layers.clone(), conditionals.clone());
        let shift = self.made.layers.len() - layers.start;
        let moved = |feed: &Feed| match feed {
            Feed::Layer(i) if layers.contains(i) => Feed::Layer(i + shift),
            other => inputs.iter().position(|input| input == other).map_or(*other, |i| from[i]),
        };
        let renamed = |full: &str| format!("{name}{}", full.strip_prefix(of.as_str()).unwrap_or_default());
        let context = self.scopes.innermost().context(written.swaps);
        let copy = |position: usize| {
            let original = &self.made.layers[position];
            Opened {
                name: renamed(&original.name),
                word: Word::Shared(match original.word {
                    Word::Shared(first) => first,
                    Word::Own(_) => position,
                }),
                at: written.at.clone(),
                table: Table::default(),
                from: original.from.iter().map(moved).collect(),
                trainable: original.trainable,
                common: vec![],
                site: written.site,
                context: context.clone(),
            }
        };
        let copies: Vec<Opened> = layers.clone().map(copy).collect();
        let conditional = |c: &Conditional| Conditional {
            name: renamed(&c.name),
            first: c.first + shift,
            end: c.end + shift,
            input: moved(&c.input),
        };
        let conditions: Vec<Conditional> =
            self.made.conditionals[conditionals].iter().map(conditional).collect();
        let first = self.made.conditionals.len();
        self.made.layers.extend(copies);
        self.made.conditionals.extend(conditions);
        self.extents.push(Extent {
            name: name.to_string(),
            layers: layers.start + shift..layers.end + shift,
            conditionals: first..self.made.conditionals.len(),
            inputs: from.to_vec(),
        });
        Feed::Layer(self.made.layers.len() - 1)
    }

    /// The values of a block's params for one use; `None` if one is missing, which is told.
    fn bind<'f>(&self, block: &'a Block, f: &mut Fields<'f>, raw: &'a Value) -> Option<Vec<Arg<'a>>>
    where
        'a: 'f,
    {
        let given = raw.as_table().expect("an item with a type is a table");
        let inner = self.scopes.depth() + 1;
        let mut args = vec![];
        for param in &block.params {
            if let Some(value) = f.raw(&param.name) {
                f.resolve(&param.name, value.into());
            }
            let (value, scope) = match (given.get(&param.name), &param.default) {
                (Some(value), _) => (value, inner - 1),
                (None, Some(default)) => (default, inner),
                (None, None) => {
                    let diag = Diag::new(format!("`{}` needs `{}`", block.name, param.name));
                    let at = f.place("type");
                    f.push(diag.at(&at).also(&param.at, "a param without a default"));
                    continue;
                }
            };
            args.push(Arg { param: &param.name, value, scope });
        }
        (args.len() == block.params.len()).then_some(args)
    }

    /// Whether a block that is to be opened is open already, or lies too deep; that is told.
    fn contains_itself(&mut self, block: &'a Block, written: &Written<'_>) -> bool {
        let open = self.scopes.blocks();
        let Some(first) = open.iter().position(|name| *name == block.name) else {
            let too_deep = open.len() >= MOST_DEPTH;
            if too_deep {
                let message = format!("blocks stand inside each other more than {MOST_DEPTH} deep");
                self.say(Diag::new(message).at(written.at), written.swaps);
            }
            return too_deep;
        };
        let mut members = open[first..].to_vec();
        members.sort_unstable();
        // A cycle is found again from each of its blocks.
        if !self.cycles.contains(&members) {
            self.cycles.push(members);
            let path = open[first..].iter().copied().chain([block.name.as_str()]);
            let path: Vec<String> = path.map(|name| format!("`{name}`")).collect();
            let message = format!("a block cannot contain itself: {}", path.join(" uses "));
            self.say(Diag::new(message).at(written.at), written.swaps);
        }
        true
    }

    /// Every input, and every layer but the outputs, must be read by another: a forgotten `from` is a
    /// silent mistake.
    fn report_unread(&mut self, root: &Root<'_>) {
        let layers = &self.made.layers;
        let read = |feed: Feed| layers.iter().any(|l| l.from.contains(&feed));
        for (index, name) in root.inputs.iter().enumerate().filter(|(i, _)| !read(Feed::Input(*i))) {
            let message = format!("no layer reads the input `{name}`");
            let diag = Diag::new(message).hint(format!(
                "name it in a `from` (input {} of {})",
                index + 1,
                root.inputs.len()
            ));
            self.diags.push(match layers.first() {
                Some(first) => diag.at(&first.at),
                None => diag,
            });
        }
        // Without losses of their own the last layer is the output; with them it is one if they say so.
        let last = layers.len().saturating_sub(1);
        let is_output = |index: usize, name: &String| match root.outputs {
            [] => index == last,
            outputs => outputs.contains(name),
        };
        for (index, layer) in layers.iter().enumerate() {
            if is_output(index, &layer.name) || read(Feed::Layer(index)) {
                continue;
            }
            let whole = if layer.site.list < self.roots { "network" } else { "block" };
            let message = format!("no layer reads the output of `{}`", layer.name);
            let hint = match root.outputs {
                [] => {
                    format!("the last layer is the {whole}'s output; name this one in a `from`, or remove it")
                }
                _ => {
                    "name it in a `from` or in the `output` of a [[training.loss]], or remove it".to_string()
                }
            };
            // Once for all uses of a block.
            if !self.diags.iter().any(|d| d.at.as_ref() == Some(&layer.at)) {
                self.diags.push(layer.context.explain(Diag::new(message).at(&layer.at).hint(hint)));
            }
        }
    }
}

impl<'v> Written<'v> {
    fn new(site: Site, value: &'v Value, swaps: &'v [Swap]) -> Result<Written<'v>, Diag> {
        let Data::Table(table) = &value.data else {
            return Err(Diag::new(format!("a layer is a table, found {}", value.kind())).at(&value.at));
        };
        let Some(kind) = table.get("type") else {
            let diag = Diag::new("this layer needs a `type`").at(&value.at);
            return Err(diag.hint("for example type = \"Dense\""));
        };
        match kind.as_str() {
            Some(word) => Ok(Written { site, table, kind: word, at: &kind.at, swaps }),
            None => Err(Diag::new(format!("`type` must be a string, found {}", kind.kind())).at(&kind.at)),
        }
    }
}
