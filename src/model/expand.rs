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
use crate::diag::{At, Diag, nearest};
use crate::layers::{LAYERS, LayerEntry};
use crate::model::blocks::Block;
use crate::model::scope::{Context, Feed, Item, Output, Scopes, Swap, note};
use crate::model::share::Extent;
use crate::model::unread::report_unused;
use crate::words;

/// More layers than any network has: repetitions of repetitions are stopped here.
const MOST_ITEMS: usize = 10_000;

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
    /// Which of the word's outputs it makes, if that has several.
    pub part: Option<usize>,
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

/// Opens all blocks in networks' lists of layers; mistakes are noted. `whole`: these are all networks.
pub fn expand(roots: &[Root<'_>], whole: bool, blocks: &[Block], diags: &mut Vec<Diag>) -> Expansion {
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
    if whole && clear && !blocks.iter().any(|b| b.broken) {
        report_unused(blocks, &reached, diags);
    }
    expansion
}

pub(super) struct Expander<'a> {
    pub(super) blocks: &'a [Block],
    /// How many lists stand before those of the blocks.
    pub(super) roots: usize,
    pub(super) scopes: Scopes<'a>,
    pub(super) made: Opening,
    pub(super) uses: Vec<(Site, Plain)>,
    /// What can be shared: each layer and each use of a block, by its full name.
    pub(super) extents: Vec<Extent>,
    /// Blocks that some layer is of.
    pub(super) reached: &'a mut [bool],
    /// Blocks that contain each other, told.
    pub(super) cycles: Vec<Vec<&'a str>>,
    pub(super) items_read: usize,
    pub(super) diags: Vec<Diag>,
}

/// A layer or a use of a block, params substituted.
pub(super) struct Written<'v> {
    pub(super) site: Site,
    pub(super) table: &'v Table,
    /// Its `type`, and where that stands.
    pub(super) kind: &'v str,
    pub(super) at: &'v At,
    pub(super) swaps: &'v [Swap],
}

/// The keys that layers and uses of blocks share, read.
pub(super) struct Common {
    pub(super) from: Vec<Feed>,
    pub(super) trainable: bool,
    pub(super) when: Option<When>,
}

impl<'a> Expander<'a> {
    pub(super) fn say(&mut self, diag: Diag, swaps: &[Swap]) {
        let context = self.scopes.innermost().context(swaps);
        note(&mut self.diags, context.explain(diag));
    }

    /// Reads a list into the innermost scope; gives the output of its last layer.
    pub(super) fn list(&mut self, list: usize, raw: &'a [Value]) -> Option<Output> {
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
        self.scopes.innermost().items.last()?.output.clone()
    }

    /// Reads a layer or opens a block; gives its output.
    fn item(&mut self, site: Site, value: &Value, raw: &'a Value, swaps: &[Swap]) -> Option<Output> {
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
            Some(block) => self.open(block, &written, raw).map(Output::One),
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

    fn layer(&mut self, entry: &'static LayerEntry, written: &Written<'_>) -> Output {
        let mut found = vec![];
        let mut f = Fields::new(written.table, written.at, format!("`{}`", written.kind), &mut found);
        f.resolve("type", Plain::Str(entry.name.to_string()));
        let Common { from, trainable, when } = self.common(&mut f);
        if f.has("repeat") {
            let hint = "make a block of this layer: [blocks.NAME]".to_string();
            f.error("repeat", "only a block is repeated", Some(hint));
        }
        let parts = written.parts(entry);
        if when.is_some() && !parts.is_empty() {
            f.error("when", format!("needs one output to compare, not {}", parts.len()), None);
        }
        let common = f.leave();
        found.into_iter().for_each(|d| self.say(d, written.swaps));
        let name = self.scopes.innermost().full_name();
        let first = self.made.layers.len();
        let end = first + parts.len().max(1);
        let conditionals = self.made.conditionals.len();
        self.condition(when, &name, first..end, &from);
        let context = self.scopes.innermost().context(written.swaps);
        let opened = |part: Option<usize>| Opened {
            name: part.map_or(name.clone(), |part| format!("{name}/{}", parts[part])),
            word: Word::Own(entry),
            part,
            at: written.at.clone(),
            table: written.table.clone(),
            from: from.clone(),
            trainable,
            common: common.clone(),
            site: written.site,
            context: context.clone(),
        };
        let output = match parts.len() {
            0 => {
                self.made.layers.push(opened(None));
                Output::One(Feed::Layer(first))
            }
            several => {
                self.made.layers.extend((0..several).map(|part| opened(Some(part))));
                Output::Several(parts.iter().cloned().zip((first..end).map(Feed::Layer)).collect())
            }
        };
        let (layers, conditionals) = (first..end, conditionals..conditionals);
        self.extents.push(Extent { name, layers, conditionals, inputs: from, output: output.clone() });
        output
    }

    /// The keys that layers and uses of blocks share.
    pub(super) fn common(&self, f: &mut Fields<'_>) -> Common {
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
    pub(super) fn condition(
        &mut self,
        when: Option<When>,
        name: &str,
        layers: std::ops::Range<usize>,
        from: &[Feed],
    ) {
        if let (Some(When::ShapeDiffers), [input]) = (when, from) {
            let (name, input) = (name.to_string(), *input);
            self.made.conditionals.push(Conditional { name, first: layers.start, end: layers.end, input });
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

    /// Names of its outputs, if it has several: that depends on its own keys, whose mistakes are told when they
    /// are read to stay.
    fn parts(&self, entry: &LayerEntry) -> Vec<String> {
        let mut told_later = vec![];
        let mut f = Fields::new(self.table, self.at, format!("`{}`", self.kind), &mut told_later);
        (entry.parse)(&mut f).parts().into_iter().map(|part| part.name).collect()
    }
}
