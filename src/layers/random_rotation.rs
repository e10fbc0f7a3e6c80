//! RandomRotation: in training turns pictures around their middle, by `factor` of whole turns (positive:
//! counter-clockwise). x, y `[N, H, W, C]`. Keras: `layers.RandomRotation`.

use crate::layers::LayerEntry;
use crate::layers::augmentation::{Factor, Moved};
use crate::ops::warp::Motion;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomRotation",
    aliases: &[],
    about: "turns pictures at random in training",
    parse: |f| {
        let Factor(turns) = f.key("factor").required();
        Box::new(Moved::read(f, Motion::Rotation(turns)))
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"RandomRotation\"\nfactor = 0.1" on [4, 5, 2];
    "type = \"RandomRotation\"\nfactor = [0.2, 0.4]\nfill_mode = \"constant\"\nfill_value = 0.5" on [5, 3, 1];
    "type = \"RandomRotation\"\nfactor = 0.5\nfill_mode = \"wrap\"\ninterpolation = \"nearest\"" on [4, 4, 3];
}
