//! What the pooling layers share: keys, shapes, and one dimension as an image of one row.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, Reach, axes, one};
use crate::ops::average_pool::AveragePool;
use crate::ops::masked_mean::MaskedMean;
use crate::ops::max_pool::MaxPool;
use crate::shape::{Padding, Shape, Window};

/// What is taken of each window.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Max,
    Average,
}

/// Pooling over `D` axes between batch and channels.
#[derive(Debug)]
pub struct Pooling<const D: usize> {
    kind: Kind,
    pool_size: [usize; D],
    strides: [usize; D],
    padding: Padding,
}

impl<const D: usize> Pooling<D> {
    /// Reads the keys; `pool_size` is required where it has no default.
    pub fn read(f: &mut Fields<'_>, kind: Kind, default: Option<[usize; D]>) -> Pooling<D> {
        let pool_size = f.key("pool_size").at_least(1);
        let pool_size = match default {
            Some(default) => pool_size.or(default),
            None => pool_size.required(),
        };
        let strides = f.key("strides").at_least(1).or(pool_size);
        let padding = f.key("padding").or(Padding::Valid);
        if padding == Padding::Causal {
            f.error("padding", "pooling knows \"valid\" and \"same\", not \"causal\"", None);
        }
        Pooling { kind, pool_size, strides, padding }
    }
}

impl<const D: usize> Layer for Pooling<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        let windows: [Window; D] = std::array::from_fn(|i| Window {
            kernel: self.pool_size[i],
            stride: self.strides[i],
            dilation: 1,
            padding: self.padding,
        });
        if (0..D).any(|i| windows[i].output(shape.dims[i]) == 0) {
            return Err(Mismatch::new(format!(
                "pool_size {:?} is larger than the input {shape}",
                self.pool_size
            ))
            .hint("use a smaller pool_size, or padding = \"same\""));
        }
        push(g, x, self.kind, windows)
    }
}

/// Pooling of each channel to one number.
#[derive(Debug)]
pub struct GlobalPooling<const D: usize> {
    kind: Kind,
    keepdims: bool,
}

impl<const D: usize> GlobalPooling<D> {
    pub fn read(f: &mut Fields<'_>, kind: Kind) -> GlobalPooling<D> {
        GlobalPooling { kind, keepdims: f.key("keepdims").or(false) }
    }
}

impl<const D: usize> Layer for GlobalPooling<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        let windows: [Window; D] = std::array::from_fn(|i| Window {
            kernel: shape.dims[i],
            stride: shape.dims[i],
            dilation: 1,
            padding: Padding::Valid,
        });
        if let (1, Kind::Average, Some(mask)) = (D, self.kind, g.mask(x)) {
            let y = g.push(MaskedMean, &[x, mask])?;
            return if self.keepdims { g.reshape(y, Shape::batch([1, shape.last()])) } else { Ok(y) };
        }
        let y = push(g, x, self.kind, windows)?;
        if self.keepdims { Ok(y) } else { g.reshape(y, Shape::batch([shape.last()])) }
    }

    fn reach(&self) -> Reach {
        Reach::Ahead
    }
}

/// Pushes ops on `x`, of rank `D + 2`; the result has the same rank. Windows over volumes are boxes, so
/// their maxima and means are taken along depth and rows first, then along columns: no copy, and the
/// first pass has whole rows as channels. (Of equal numbers in a window of a volume the first column's
/// first gets the gradient.)
fn push<const D: usize>(
    g: &mut Builder<'_>,
    x: Var,
    kind: Kind,
    windows: [Window; D],
) -> Result<Var, Mismatch> {
    let single = Window { kernel: 1, stride: 1, dilation: 1, padding: Padding::Valid };
    let dims = g.shape(x).dims.clone();
    let y = match (&windows[..], &dims[..]) {
        (&[columns], &[t, c]) => image(g, x, kind, [1, t, c], [single, columns])?,
        (&[rows, columns], &[h, w, c]) => image(g, x, kind, [h, w, c], [rows, columns])?,
        (&[depth, rows, columns], &[d, h, w, c]) => {
            let y = image(g, x, kind, [d, h, w * c], [depth, rows])?;
            let planes = g.shape(y).size() / (w * c);
            image(g, y, kind, [planes, w, c], [single, columns])?
        }
        _ => unreachable!("the caller checked the rank"),
    };
    let places = (0..D).map(|i| windows[i].output(dims[i]));
    let output: Vec<usize> = places.chain([dims[D]]).collect();
    g.reshape(y, Shape::batch(output))
}

/// Pooling of `x`, seen as images `[H, W, C]`.
fn image(
    g: &mut Builder<'_>,
    x: Var,
    kind: Kind,
    dims: [usize; 3],
    windows: [Window; 2],
) -> Result<Var, Mismatch> {
    let x = g.reshape(x, Shape::batch(dims))?;
    match kind {
        Kind::Max => g.push(MaxPool::new(dims, windows), &[x]),
        Kind::Average => g.push(AveragePool::new(dims, windows), &[x]),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::battery::LayerCase;

    #[test]
    fn of_equal_numbers_the_first_gets_the_gradient() {
        let gradient = |toml: &str, x: &[f64], dims: &[usize], dy: &[f64]| {
            LayerCase::new(toml, &[dims]).run(&[x], dy, 1).input_grads[0].clone()
        };
        let zeros = [0.0; 18];
        for channels in [1, 2] {
            let dims = [3, 3, channels];
            let x = &zeros[..9 * channels];
            let dy = [3.0, 5.0][..channels].to_vec();
            let mut expected = vec![0.0; 9 * channels];
            expected[..channels].copy_from_slice(&dy);
            assert_eq!(gradient("type = \"MaxPooling2D\"", x, &dims, &dy), expected);
            assert_eq!(gradient("type = \"MaxPooling2D\"\npool_size = 3", x, &dims, &dy), expected);
        }
        let overlapping = "type = \"MaxPooling1D\"\nstrides = 1";
        assert_eq!(
            gradient(overlapping, &[1.0, 2.0, 2.0, 2.0], &[4, 1], &[1.0, 3.0, 5.0]),
            [0.0, 4.0, 5.0, 0.0]
        );
    }

    #[test]
    fn a_maximum_does_not_hide_nan() {
        for place in 0..4 {
            let mut x = [1.0; 4];
            x[place] = f64::NAN;
            let run = LayerCase::new("type = \"MaxPooling2D\"", &[&[2, 2, 1]]).run(&[&x], &[1.0], 1);
            assert!(run.output[0].is_nan(), "NaN at {place} gave {}", run.output[0]);
        }
    }
}
