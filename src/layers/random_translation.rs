//! RandomTranslation: in training shifts pictures, by factors of their height (positive: down) and width
//! (positive: to the right). x, y `[N, H, W, C]`. Keras: `layers.RandomTranslation`.

use crate::layers::LayerEntry;
use crate::layers::augmentation::{Moved, within_one};
use crate::ops::warp::Motion;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomTranslation",
    aliases: &[],
    about: "shifts pictures at random in training",
    parse: |f| {
        let factor = f.key("height_factor").required();
        let height = within_one(f, "height_factor", factor);
        let factor = f.key("width_factor").required();
        let width = within_one(f, "width_factor", factor);
        Box::new(Moved::read(f, Motion::Translation { height, width }))
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"RandomTranslation\"\nheight_factor = 0.3\nwidth_factor = 0.2" on [4, 5, 2];
    "type = \"RandomTranslation\"\nheight_factor = [-0.5, 0.0]\nwidth_factor = 0\nfill_mode = \"constant\"" on [3, 4, 1];
    "type = \"RandomTranslation\"\nheight_factor = 1\nwidth_factor = 1\nfill_mode = \"wrap\"" on [3, 3, 1];
}
