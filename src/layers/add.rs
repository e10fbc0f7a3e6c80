//! Add: the sum of the inputs.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Add`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Add",
    aliases: &[],
    about: "the sum of the inputs",
    parse: |_| Box::new(Merging(Merge::Add)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Add\"" on [7], [7];
    "type = \"Add\"" on [3, 5], [3, 5], [3, 5];
}
