//! What nothing reads: layers and blocks that stand for nothing.

use crate::diag::Diag;
use crate::model::blocks::Block;
use crate::model::expand::{Expander, Root};
use crate::model::scope::Feed;

impl Expander<'_> {
    /// Every layer but the outputs must be read by another: a forgotten `from` is a silent mistake.
    pub(super) fn report_unread(&mut self, root: &Root<'_>) {
        let layers = &self.made.layers;
        // An output that is no layer is told where it is written; what it was to be is then read by nothing.
        if root.outputs.iter().any(|output| !layers.iter().any(|layer| layer.name == *output)) {
            return;
        }
        let read = |feed: Feed| layers.iter().any(|l| l.from.contains(&feed));
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

/// A block that stands nowhere is a silent mistake.
pub(super) fn report_unused(blocks: &[Block], reached: &[bool], diags: &mut Vec<Diag>) {
    for (block, _) in blocks.iter().zip(reached).filter(|(_, reached)| !**reached) {
        let message = format!("the network does not use the block `{}`", block.name);
        let hint = format!("use it with type = \"{}\", or remove it", block.name);
        diags.push(Diag::new(message).at(&block.at).hint(hint));
    }
}
