//! Minimum: the smallest of the inputs; of equal ones the first gets the gradient.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Minimum`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Minimum",
    aliases: &[],
    about: "the smallest of the inputs",
    parse: |_| Box::new(Merging(Merge::Minimum)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Minimum\"" on [7], [7];
    "type = \"Minimum\"" on [3, 5], [3, 5], [3, 5];
}
