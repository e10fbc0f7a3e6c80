//! RandomZoom: in training zooms pictures out (positive) or in (negative), around their middle, by factors
//! of their height and width; without `width_factor` both sides get the same. x, y `[N, H, W, C]`.
//! Keras: `layers.RandomZoom`.

use crate::layers::LayerEntry;
use crate::layers::augmentation::{Moved, within_one};
use crate::ops::warp::Motion;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomZoom",
    aliases: &[],
    about: "zooms pictures at random in training",
    parse: |f| {
        let factor = f.key("height_factor").required();
        let height = within_one(f, "height_factor", factor);
        let factor = f.key("width_factor").optional();
        let width = factor.map(|factor| within_one(f, "width_factor", factor));
        Box::new(Moved::read(f, Motion::Zoom { height, width }))
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"RandomZoom\"\nheight_factor = 0.4" on [4, 5, 2];
    "type = \"RandomZoom\"\nheight_factor = [0.1, 0.5]\nwidth_factor = [-0.3, -0.2]\nfill_mode = \"nearest\"" on [5, 3, 1];
}
