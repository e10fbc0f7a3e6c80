//! Opening the use of a block: its params bound, its layers put in its place.

use crate::config::fields::Fields;
use crate::config::tree::Value;
use crate::config::write::Plain;
use crate::diag::Diag;
use crate::model::blocks::Block;
use crate::model::expand::{Common, Expander, Written};
use crate::model::scope::{Arg, Feed, Output, Scope};
use crate::model::share::Extent;

/// Blocks inside blocks.
const MOST_DEPTH: usize = 100;

impl<'a> Expander<'a> {
    /// Puts a block's layers in the place of its use, as often as it says; gives its output.
    pub(super) fn open(&mut self, index: usize, written: &Written<'_>, raw: &'a Value) -> Option<Feed> {
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
            from = vec![self.only(output?, written)?];
        }
        self.extents.push(Extent {
            name: base,
            layers: layers..self.made.layers.len(),
            conditionals: conditionals..self.made.conditionals.len(),
            inputs,
            output: Output::One(from[0]),
        });
        from.pop()
    }

    /// A block's only output.
    fn only(&mut self, output: Output, written: &Written<'_>) -> Option<Feed> {
        match output {
            Output::One(feed) => Some(feed),
            Output::Several(parts) => {
                let message = format!("the last layer of `{}` gives {} outputs", written.kind, parts.len());
                let diag = Diag::new(message).at(written.at);
                self.say(
                    diag.hint("a block gives one: merge them in it, for example with `Concatenate`"),
                    written.swaps,
                );
                None
            }
        }
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
}
