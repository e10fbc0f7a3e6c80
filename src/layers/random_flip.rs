//! RandomFlip: in training mirrors pictures, each way for half of the samples. x, y `[N, H, W, C]`.
//! `mode` is `"horizontal_and_vertical"`, `"horizontal"` or `"vertical"`. Keras: `layers.RandomFlip`.

use crate::layers::LayerEntry;
use crate::layers::augmentation::Moved;
use crate::ops::warp::{Fill, Interpolation, Motion};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomFlip",
    aliases: &[],
    about: "mirrors pictures at random in training",
    parse: |f| {
        let mode = f.key("mode").or(Mode::Both);
        let motion = Motion::Flip { horizontal: mode != Mode::Vertical, vertical: mode != Mode::Horizontal };
        let (fill, interpolation) = (Fill::Nearest, Interpolation::Nearest);
        Box::new(Moved { motion, fill, interpolation, fill_value: 0.0, seed: f.key("seed").optional() })
    },
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Both,
    Horizontal,
    Vertical,
}

crate::words!(Mode, Both = "horizontal_and_vertical", Horizontal = "horizontal", Vertical = "vertical");

#[cfg(test)]
crate::battery! {
    "type = \"RandomFlip\"" on [3, 5, 2];
    "type = \"RandomFlip\"\nmode = \"horizontal\"\nseed = 3" on [4, 4, 1];
    "type = \"RandomFlip\"\nmode = \"vertical\"" on [2, 3, 3];
}
