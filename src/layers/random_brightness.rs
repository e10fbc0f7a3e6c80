//! RandomBrightness: in training y = x + d, d a `factor` (from -1 to 1) of the width of `value_range`, to
//! which y is cut. x, y `[N, H, W, C]`. Keras: `layers.RandomBrightness`.

use crate::layers::LayerEntry;
use crate::layers::augmentation::within_one;
use crate::layers::random_contrast::{Adjusted, read_value_range};
use crate::ops::adjust::Change;
use crate::ops::warp::Span;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomBrightness",
    aliases: &[],
    about: "makes pictures brighter or darker at random in training",
    parse: |f| {
        let factor = f.key("factor").required();
        let Span(lower, upper) = within_one(f, "factor", factor);
        let range = read_value_range(f);
        let width = range[1] - range[0];
        let change = Change::Brightness(Span(lower * width, upper * width));
        Box::new(Adjusted { change, range, seed: f.key("seed").optional() })
    },
};

#[cfg(test)]
crate::battery! {
    "type = \"RandomBrightness\"\nfactor = 0.2\nvalue_range = [-5, 5]" on [3, 4, 2];
    "type = \"RandomBrightness\"\nfactor = [0.1, 0.3]\nvalue_range = [-1, 1]\nseed = 2" on [4, 3, 3];
}
