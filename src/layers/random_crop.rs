//! RandomCrop: in training a window of `height` x `width` pixels anywhere in the picture; in inference, and
//! where the picture is smaller, the largest window in the middle with that aspect ratio, resized to the
//! size. x `[N, H, W, C]`, y `[N, height, width, C]`. Keras: `layers.RandomCrop`.

use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::augmentation::Moved;
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::warp::{Fill, Interpolation, Motion};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "RandomCrop",
    aliases: &[],
    about: "cuts a window out of pictures, anywhere in training and in the middle else",
    parse: |f| {
        let to = [f.key("height").at_least(1).required(), f.key("width").at_least(1).required()];
        let (fill, interpolation) = (Fill::Nearest, Interpolation::Bilinear);
        let seed = f.key("seed").optional();
        Box::new(RandomCrop {
            to,
            moved: Moved { motion: Motion::Crop, fill, interpolation, fill_value: 0.0, seed },
        })
    },
};

#[derive(Debug)]
struct RandomCrop {
    to: [usize; 2],
    moved: Moved,
}

impl Layer for RandomCrop {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<2>(g.shape(x))?;
        let dims = &g.shape(x).dims;
        let fits = self.to[0] <= dims[0] && self.to[1] <= dims[1];
        let motion = if g.mode() == Mode::Train && fits { Motion::Crop } else { Motion::Centre };
        self.moved.push(g, x, self.to, motion)
    }

    fn moves_pixels(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"RandomCrop\"\nheight = 2\nwidth = 3" on [4, 5, 2];
    "type = \"RandomCrop\"\nheight = 3\nwidth = 3\nseed = 1" on [3, 3, 1];
    "type = \"RandomCrop\"\nheight = 4\nwidth = 3" on [3, 5, 2];
}
