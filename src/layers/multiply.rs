//! Multiply: the product of the inputs.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Multiply`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Multiply",
    aliases: &[],
    about: "the product of the inputs",
    parse: |_| Box::new(Merging(Merge::Multiply)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Multiply\"" on [7], [7];
    "type = \"Multiply\"" on [3, 5], [3, 5], [3, 5];
}
