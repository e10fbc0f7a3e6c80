//! ReLU: x cut off at `max_value`; below `threshold` `negative_slope * (x - threshold)`.
//! x, y of any shape. Keras: `layers.ReLU`.

use crate::activations::read_relu;
use crate::layers::LayerEntry;
use crate::layers::activation::Activation;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ReLU",
    aliases: &[],
    about: "max(x, 0), with a largest value, a threshold and a slope below it",
    parse: |f| Box::new(Activation { function: read_relu(f) }),
};

#[cfg(test)]
crate::battery! {
    "type = \"ReLU\"" on [7];
    "type = \"ReLU\"\nmax_value = 0.5\nnegative_slope = 0.25\nthreshold = 0.125" on [3, 5];
}
