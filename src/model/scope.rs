//! Names inside lists of layers: what a `from` means, and what a param stands for.

use crate::config::fields::Fields;
use crate::config::names::INPUT;
use crate::config::tree::{Data, Entry, Value};
use crate::diag::{At, Diag, suggest};
use crate::model::blocks::BLOCK_INPUT;

/// A source of numbers for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// An input of the network, by position.
    Input(usize),
    /// The output of an earlier layer, by position.
    Layer(usize),
}

/// What an item of a list gives.
#[derive(Clone, Debug)]
pub enum Output {
    One(Feed),
    /// Several, each with its name.
    Several(Vec<(String, Feed)>),
}

impl Output {
    /// The same, as other feeds.
    pub fn map(&self, feed: impl Fn(&Feed) -> Feed) -> Output {
        match self {
            Output::One(one) => Output::One(feed(one)),
            Output::Several(parts) => {
                Output::Several(parts.iter().map(|(n, f)| (n.clone(), feed(f))).collect())
            }
        }
    }
}

/// The open lists of layers: the network's, then one for each block that is open in the one before.
#[derive(Debug)]
pub struct Scopes<'a> {
    stack: Vec<Scope<'a>>,
    /// Names of the network's inputs.
    inputs: &'a [String],
}

/// Names and values that hold for one list of layers.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The block that is opened; none for the network itself.
    pub block: Option<&'a str>,
    /// What full names start with: `stage/2/`.
    pub prefix: String,
    pub inputs: Vec<Feed>,
    pub args: Vec<Arg<'a>>,
    pub items: Vec<Item>,
    /// The item that is being read.
    pub current: usize,
    pub trainable: bool,
    /// The uses of blocks that led here, outermost first.
    pub trail: Vec<(At, String)>,
}

/// An item of a list, known by its name.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub at: At,
    /// None before it is read, or if it cannot be.
    pub output: Option<Output>,
}

impl Item {
    /// Its only output. If it could not be read, which was told, something stands for it.
    fn only(&self) -> Result<Feed, Diag> {
        match &self.output {
            None => Ok(Feed::Input(0)),
            Some(Output::One(feed)) => Ok(*feed),
            Some(Output::Several(_)) => {
                let names = self.readable();
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                let message = format!("`{}` gives {} outputs: {}", self.name, names.len(), quoted.join(", "));
                let hint = format!("from = {}, or from = [{}] to merge them", quoted[0], quoted.join(", "));
                Err(Diag::new(message).also(&self.at, "it stands here").hint(hint))
            }
        }
    }

    /// The names by which a `from` reads it.
    fn readable(&self) -> Vec<String> {
        match &self.output {
            None => vec![],
            Some(Output::One(_)) => vec![self.name.clone()],
            Some(Output::Several(parts)) => {
                parts.iter().map(|(part, _)| format!("{}/{part}", self.name)).collect()
            }
        }
    }

    /// The output of this name, if it is one of several.
    fn part(&self, name: &str) -> Option<Feed> {
        let Some(Output::Several(parts)) = &self.output else { return None };
        let part = name.strip_prefix(&*self.name)?.strip_prefix('/')?;
        parts.iter().find(|(name, _)| name == part).map(|(_, feed)| *feed)
    }
}

/// A param's value, and the scope that the names in it belong to.
#[derive(Clone, Debug)]
pub struct Arg<'a> {
    pub param: &'a str,
    pub value: &'a Value,
    pub scope: usize,
}

/// A value that took a param's place.
#[derive(Clone, Debug)]
pub struct Swap {
    pub value: At,
    pub dollar: At,
    pub param: String,
}

/// How a layer came to be read: for messages.
#[derive(Clone, Debug)]
pub struct Context {
    /// The uses of blocks that led here, outermost first.
    trail: Vec<(At, String)>,
    /// Values that took a param's place.
    swaps: Vec<Swap>,
}

impl Context {
    /// The mistake with the places that led there.
    pub fn explain(&self, diag: Diag) -> Diag {
        let at = diag.at.clone();
        let swaps = self.swaps.iter().filter(|s| at.as_ref() == Some(&s.value));
        let diag = swaps.fold(diag, |diag, s| diag.also(&s.dollar, format!("`{}` stands here", s.param)));
        self.trail.iter().fold(diag, |diag, (at, label)| diag.also(at, label))
    }
}

/// Notes a mistake once: a block's own is found again at every use.
pub fn note(diags: &mut Vec<Diag>, diag: Diag) {
    if !diags.iter().any(|d| d.at == diag.at && d.message == diag.message) {
        diags.push(diag);
    }
}

impl Scope<'_> {
    /// The item that is being read.
    pub fn own(&self) -> &Item {
        &self.items[self.current]
    }

    /// The name of the item that is being read, in the whole network.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.prefix, self.own().name)
    }

    pub fn context(&self, swaps: &[Swap]) -> Context {
        Context { trail: self.trail.clone(), swaps: swaps.to_vec() }
    }

    /// Complains of a name that the item that is being read cannot have.
    fn check_name(&self, f: &mut Fields<'_>, inputs: &[String]) {
        let name = &self.own().name;
        if name.is_empty() || name.contains('/') {
            let hint = "a name is not empty and has no `/`".to_string();
            f.error("name", format!("`{name}` cannot name a layer"), Some(hint));
        } else if name == INPUT || self.block.is_none() && inputs.contains(name) {
            f.error("name", format!("`{name}` is an input"), Some("choose another name".into()));
        } else if let Some(first) = self.items[..self.current].iter().find(|i| i.name == *name) {
            let diag = Diag::new(format!("two layers are named `{name}`")).at(&f.place("name"));
            f.push(diag.also(&first.at, "the first"));
        }
    }
}

impl<'a> Scopes<'a> {
    /// A network's scope alone. `prefix` begins the names of its layers.
    pub fn network(prefix: &str, inputs: &'a [String]) -> Scopes<'a> {
        let network = Scope {
            block: None,
            prefix: prefix.to_string(),
            inputs: (0..inputs.len()).map(Feed::Input).collect(),
            args: vec![],
            items: vec![],
            current: 0,
            trainable: true,
            trail: vec![],
        };
        Scopes { stack: vec![network], inputs }
    }

    /// Complains of a name that the item that is being read cannot have.
    pub fn check_name(&self, f: &mut Fields<'_>) {
        self.innermost().check_name(f, self.inputs);
    }

    pub fn push(&mut self, scope: Scope<'a>) {
        self.stack.push(scope);
    }

    pub fn pop(&mut self) {
        self.stack.pop();
    }

    /// How many blocks are open.
    pub fn depth(&self) -> usize {
        self.stack.len() - 1
    }

    pub fn innermost(&self) -> &Scope<'a> {
        self.stack.last().expect("the network's scope is never closed")
    }

    pub fn innermost_mut(&mut self) -> &mut Scope<'a> {
        self.stack.last_mut().expect("the network's scope is never closed")
    }

    /// The blocks that are open, outermost first.
    pub fn blocks(&self) -> Vec<&'a str> {
        self.stack.iter().filter_map(|s| s.block).collect()
    }

    /// An item of the innermost list, with the values of params in place of their names, which are
    /// noted. A layer's `from` stays: it is looked up.
    pub fn substitute(&self, item: &Value, swaps: &mut Vec<Swap>) -> Value {
        let mut item = item.clone();
        match &mut item.data {
            Data::Table(table) => {
                for Entry { value, .. } in table.entries.iter_mut().filter(|e| e.key != "from") {
                    *value = self.substituted(value, self.depth(), swaps);
                }
                item
            }
            _ => self.substituted(&item, self.depth(), swaps),
        }
    }

    fn substituted(&self, value: &Value, scope: usize, swaps: &mut Vec<Swap>) -> Value {
        let mut data = value.data.clone();
        match &mut data {
            Data::Str(text) => {
                if let Some(arg) = self.arg(text, scope) {
                    let found = self.substituted(arg.value, arg.scope, swaps);
                    let (dollar, param) = (value.at.clone(), text.clone());
                    swaps.push(Swap { value: found.at.clone(), dollar, param });
                    return found;
                }
            }
            Data::Array(items) => items.iter_mut().for_each(|v| *v = self.substituted(v, scope, swaps)),
            Data::Table(table) => {
                table.entries.iter_mut().for_each(|e| e.value = self.substituted(&e.value, scope, swaps));
            }
            _ => {}
        }
        Value { data, at: value.at.clone() }
    }

    fn arg(&self, text: &str, scope: usize) -> Option<&Arg<'a>> {
        let name = text.strip_prefix('$')?;
        self.stack[scope].args.iter().find(|a| a.param == name)
    }

    /// Reads `from`. A name that is wrong is told and stands for something, so that reading goes on.
    pub fn read_from(&self, f: &mut Fields<'_>) -> Vec<Feed> {
        let scope = self.innermost();
        let Some(value) = f.raw("from") else {
            return match scope.current.checked_sub(1) {
                None => scope.inputs.clone(),
                Some(before) => {
                    let only = scope.items[before].only();
                    vec![only.unwrap_or_else(|diag| {
                        f.push(diag.at(&f.place("type")));
                        Feed::Input(0)
                    })]
                }
            };
        };
        f.resolve("from", value.into());
        if value.as_array().is_some_and(<[Value]>::is_empty) {
            f.error("from", "names no layer", None);
        }
        let (found, wrong) = self.look_up(value, self.depth());
        wrong.into_iter().for_each(|diag| f.push(diag));
        found
    }

    /// What the names in a value stand for, and what is wrong with them.
    fn look_up(&self, value: &Value, scope: usize) -> (Vec<Feed>, Vec<Diag>) {
        match &value.data {
            Data::Array(items) => {
                let (feeds, wrong): (Vec<_>, Vec<_>) =
                    items.iter().map(|item| self.look_up(item, scope)).unzip();
                (feeds.concat(), wrong.concat())
            }
            Data::Str(name) if name == BLOCK_INPUT && scope > 0 => (self.stack[scope].inputs.clone(), vec![]),
            Data::Str(name) if scope == 0 && self.inputs.contains(name) => {
                let position = self.inputs.iter().position(|i| i == name).expect("just found");
                (vec![Feed::Input(position)], vec![])
            }
            Data::Str(name) => match self.arg(name, scope) {
                Some(arg) => {
                    let (feeds, wrong) = self.look_up(arg.value, arg.scope);
                    let here = |diag: Diag| diag.also(&value.at, format!("`{name}` stands here"));
                    (feeds, wrong.into_iter().map(here).collect())
                }
                None => match self.named(name, scope) {
                    Ok(feed) => (vec![feed], vec![]),
                    Err(diag) => (vec![Feed::Input(0)], vec![diag.at(&value.at)]),
                },
            },
            _ => {
                let diag = Diag::new(format!("`from` names layers, found {}", value.kind())).at(&value.at);
                (vec![Feed::Input(0)], vec![diag.hint("from = \"a\" or from = [\"a\", \"b\"]")])
            }
        }
    }

    /// The output of an earlier layer of a scope.
    fn named(&self, name: &str, scope: usize) -> Result<Feed, Diag> {
        let Scope { block, items, current, .. } = &self.stack[scope];
        let (earlier, later) = items.split_at(*current);
        if let Some(item) = earlier.iter().find(|i| i.name == name) {
            return item.only();
        }
        if let Some(feed) = earlier.iter().find_map(|item| item.part(name)) {
            return Ok(feed);
        }
        let own = &later[0].name;
        if name == own {
            let message = format!("the layer `{own}` cannot be its own input: that is a cycle");
            return Err(Diag::new(message));
        }
        if let Some(item) = later.iter().find(|i| i.name == name) {
            let message = format!("`{name}` comes later than the layer `{own}` that reads it");
            return Err(Diag::new(message)
                .also(&item.at, "it stands here")
                .hint("a layer reads only layers above it; if each needs the other, that is a cycle"));
        }
        let readable: Vec<String> = earlier.iter().flat_map(Item::readable).collect();
        let readable = readable.iter().map(String::as_str);
        let inside = name.split_once('/').and_then(|(outer, _)| earlier.iter().find(|i| i.name == outer));
        let (place, hint) = match block {
            None => {
                let inputs = self.inputs.iter().map(String::as_str);
                (String::new(), suggest(name, &readable.chain(inputs).collect::<Vec<_>>()))
            }
            Some(_) if self.inputs.iter().any(|i| i == name) => {
                ("in a block".into(), Some("the block's input is `$input`".into()))
            }
            Some(block) => {
                let outside = self.stack[..scope].iter().any(|s| s.items.iter().any(|i| i.name == name));
                let seen = "a block sees its own layers and `$input`; a param can name one beside the use";
                let near = || suggest(name, &readable.chain([BLOCK_INPUT]).collect::<Vec<_>>());
                let hint = if outside { Some(seen.to_string()) } else { near() };
                (format!("in the block `{block}`"), hint)
            }
        };
        let of_outer = |item: &Item| match &item.output {
            Some(Output::Several(_)) => {
                format!("`{}` gives `{}`", item.name, item.readable().join("` and `"))
            }
            _ => format!("of a block only the output is seen: `{}`", item.name),
        };
        let message = format!("there is no layer `{name}` {place}");
        Err(Diag::new(message.trim_end()).maybe_hint(hint).maybe_hint(inside.map(of_outer)))
    }
}
