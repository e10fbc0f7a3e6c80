//! ELU: x where x > 0, else `alpha (e^x - 1)`; x, y of any shape. Keras: `layers.ELU`.

use crate::layers::LayerEntry;
use crate::layers::activation::Activation;
use crate::ops::function::Elu;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ELU",
    aliases: &[],
    about: "x, or alpha (e^x - 1) below 0",
    parse: |f| {
        let alpha = f.key("alpha").at_least(0).or(1.0) as f32;
        Box::new(Activation { function: Box::new(Elu { alpha }) })
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"ELU\"" on [7];
    "type = \"ELU\"\nalpha = 0.3" on [3, 5];
}
