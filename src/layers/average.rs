//! Average: the mean of the inputs.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Average`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Average",
    aliases: &[],
    about: "the mean of the inputs",
    parse: |_| Box::new(Merging(Merge::Average)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Average\"" on [7], [7];
    "type = \"Average\"" on [3, 5], [3, 5], [3, 5];
}
