//! LeakyReLU: x where x >= 0, else `negative_slope * x`; x, y of any shape. The layer's slope is
//! 0.3 by default, that of the activation `leaky_relu` 0.2: both are Keras's. Keras: `layers.LeakyReLU`.

use crate::layers::LayerEntry;
use crate::layers::activation::Activation;
use crate::ops::function::LeakyRelu;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "LeakyReLU",
    aliases: &[],
    about: "x, or negative_slope x below 0",
    parse: |f| {
        let negative_slope = f.key("negative_slope").at_least(0).or(0.3) as f32;
        Box::new(Activation { function: Box::new(LeakyRelu { negative_slope }) })
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"LeakyReLU\"" on [7];
    "type = \"LeakyReLU\"\nnegative_slope = 0.05" on [3, 5];
}
