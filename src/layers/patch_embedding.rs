//! PatchEmbedding: cuts images in patches and makes a vector of each: a convolution whose strides are its
//! kernel's size, and its places in a row.
//!
//! x `[N, H, W, C]`, kernel `[PH, PW, C, embed_dim]`, bias `[embed_dim]`, y `[N, H / PH * W / PW, embed_dim]`,
//! patches row by row. Dosovitskiy et al.: An Image is Worth 16x16 Words, 2021. In Keras `Conv2D` and `Reshape`.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::{Builder, Init, Mismatch, Penalty, Var};
use crate::layers::dense::product;
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::transpose::Transpose;
use crate::shape::Shape;
use crate::{initializers, regularizers};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "PatchEmbedding",
    aliases: &[],
    about: "a vector for each patch of an image, as a sequence",
    parse: |f| Box::new(PatchEmbedding::read(f)),
};

#[derive(Debug)]
struct PatchEmbedding {
    patch_size: [usize; 2],
    embed_dim: usize,
    use_bias: bool,
    kernel_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    kernel_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
}

impl PatchEmbedding {
    fn read(f: &mut Fields<'_>) -> PatchEmbedding {
        PatchEmbedding {
            patch_size: f.key("patch_size").at_least(1).required(),
            embed_dim: f.key("embed_dim").at_least(1).required(),
            use_bias: f.key("use_bias").or(true),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            kernel_regularizer: regularizers::read(f, "kernel_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        }
    }
}

impl Layer for PatchEmbedding {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let (x, [high, wide], units) = (one(x), self.patch_size, self.embed_dim);
        let shape = g.shape(x).clone();
        axes::check_places::<2>(&shape)?;
        let &[h, w, channels] = &shape.dims[..] else { unreachable!("the rank was checked") };
        if !h.is_multiple_of(high) || !w.is_multiple_of(wide) {
            let message = format!("patches of {high}x{wide} do not cut an image of {h}x{w} evenly");
            let hint = "`patch_size` must divide the image's; ZeroPadding2D makes it larger";
            return Err(Mismatch::new(message).hint(hint));
        }
        let (rows, columns, size) = (h / high, w / wide, high * wide * channels);
        let cut = [rows, high, columns, wide * channels];
        let x = g.reshape(x, Shape::batch(cut))?;
        let x = g.push(Transpose::new(&cut, &[0, 2, 1, 3]), &[x])?;
        let x = g.reshape(x, Shape::batch([rows * columns, size]))?;
        let shape = [high, wide, channels, units];
        let kernel = g.weight("kernel", shape, &self.kernel_initializer, self.kernel_regularizer)?;
        let mut inputs = vec![x, g.reshape(kernel, Shape::fixed([size, units]))?];
        if self.use_bias {
            inputs.push(g.weight("bias", [units], &self.bias_initializer, self.bias_regularizer)?);
        }
        product(g, &inputs)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"PatchEmbedding\"\npatch_size = 2\nembed_dim = 3" on [4, 6, 2];
    "type = \"PatchEmbedding\"\npatch_size = [3, 1]\nembed_dim = 2\nuse_bias = false" on [3, 4, 1];
}
