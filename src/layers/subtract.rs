//! Subtract: the first of two inputs less the second.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Subtract`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Subtract",
    aliases: &[],
    about: "the first of two inputs less the second",
    parse: |_| Box::new(Merging(Merge::Subtract)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Subtract\"" on [7], [7];
    "type = \"Subtract\"" on [3, 5], [3, 5];
}
