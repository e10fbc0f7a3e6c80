//! SpatialDropout1D: dropout of whole channels: a channel of a sample is kept or set to 0 at all its places.
//! x, y `[N, T, C]`; in inference y = x. Keras: `layers.SpatialDropout1D`.

use crate::layers::LayerEntry;
use crate::layers::spatial_dropout::SpatialDropout;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "SpatialDropout1D",
    aliases: &[],
    about: "drops a random share of the channels in training",
    parse: |f| Box::new(SpatialDropout::<1>::read(f)),
};

#[cfg(test)]
crate::battery! {
    "type = \"SpatialDropout1D\"\nrate = 0.5" on [3, 7];
    "type = \"SpatialDropout1D\"\nrate = 0.25\nseed = 3" on [5, 1];
}
