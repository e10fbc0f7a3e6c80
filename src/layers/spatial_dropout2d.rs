//! SpatialDropout2D: dropout of whole channels: a channel of a sample is kept or set to 0 at all its places.
//! x, y `[N, H, W, C]`; in inference y = x. Keras: `layers.SpatialDropout2D`.

use crate::layers::LayerEntry;
use crate::layers::spatial_dropout::SpatialDropout;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "SpatialDropout2D",
    aliases: &[],
    about: "drops a random share of the channels in training",
    parse: |f| Box::new(SpatialDropout::<2>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"SpatialDropout2D\"\nrate = 0.5" on [3, 2, 7];
    "type = \"SpatialDropout2D\"\nrate = 0.25\nseed = 3" on [1, 5, 3];
}
