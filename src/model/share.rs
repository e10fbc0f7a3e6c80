//! `type = "Shared"`: an earlier layer, or all layers of an earlier use of a block, once more with their
//! weights.

use std::ops::Range;

use crate::config::fields::Fields;
use crate::config::tree::Table;
use crate::config::write::Plain;
use crate::diag::suggest;
use crate::model::expand::{Conditional, Expander, Opened, SHARED, Word, Written};
use crate::model::scope::{Feed, Output};

/// The layers that an item stands for.
pub(super) struct Extent {
    pub(super) name: String,
    pub(super) layers: Range<usize>,
    pub(super) conditionals: Range<usize>,
    pub(super) inputs: Vec<Feed>,
    pub(super) output: Output,
}

impl Expander<'_> {
    /// Applies an earlier layer, or all layers of an earlier use of a block, with their weights; gives
    /// the output.
    pub(super) fn shared(&mut self, written: &Written<'_>) -> Option<Output> {
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

    /// Copies the layers of an item, with other inputs; its output.
    fn repeat_layers(&mut self, extent: usize, name: &str, from: &[Feed], written: &Written<'_>) -> Output {
        let Extent { name: of, layers, conditionals, inputs, output } = &self.extents[extent];
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
                part: None,
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
        let output = output.map(moved);
        let first = self.made.conditionals.len();
        self.made.layers.extend(copies);
        self.made.conditionals.extend(conditions);
        self.extents.push(Extent {
            name: name.to_string(),
            layers: layers.start + shift..layers.end + shift,
            conditionals: first..self.made.conditionals.len(),
            inputs: from.to_vec(),
            output: output.clone(),
        });
        output
    }
}
