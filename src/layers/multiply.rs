//! Multiply: the product of the inputs.
//! x, y `[N, ...]`, all of one shape; or two, one of them `[N, C]` or `[N, 1, ..., 1, C]`: a factor for each
//! channel of the other, `[N, ..., C]`. Keras: `layers.Multiply`.

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
    "type = \"Multiply\"" on [3, 4, 5], [5];
    "type = \"Multiply\"" on [1, 1, 18], [5, 15, 18];
    "type = \"Multiply\"" on [6, 2], [1, 2];
}
