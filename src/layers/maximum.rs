//! Maximum: the largest of the inputs; of equal ones the first gets the gradient.
//! x, y `[N, ...]`, all of one shape. Keras: `layers.Maximum`.

use crate::layers::LayerEntry;
use crate::layers::merge::Merging;
use crate::ops::merge::Merge;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Maximum",
    aliases: &[],
    about: "the largest of the inputs",
    parse: |_| Box::new(Merging(Merge::Maximum)),
};

#[cfg(test)]
crate::battery! {
    "type = \"Maximum\"" on [7], [7];
    "type = \"Maximum\"" on [3, 5], [3, 5], [3, 5];
}
