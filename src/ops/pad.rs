//! y = x with zeros around it. x `[N, planes, rows, columns, C]`, y with so many more of them; leading axes
//! of one place may be missing.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::frame::Frame;
use crate::shape::Shape;

/// Zeros around boxes of one size.
#[derive(Clone, Debug)]
pub struct Pad {
    frame: Frame,
}

impl Pad {
    /// Around boxes of these planes, rows and columns, with so many zeros before and after them.
    pub fn new(size: [usize; 3], channels: usize, zeros: [[usize; 2]; 3]) -> Pad {
        Pad { frame: Frame { inner: size, sides: zeros, channels } }
    }
}

/// The dimensions that `x` has of a box, in another box.
pub(super) fn like(x: &Shape, from: [usize; 3], to: [usize; 3], channels: usize) -> Option<Shape> {
    let (from, to) = ([&from[..], &[channels]].concat(), [&to[..], &[channels]].concat());
    let missing = from.len().checked_sub(x.dims.len())?;
    let fits = x.dims == from[missing..] && from[..missing].iter().chain(&to[..missing]).all(|d| *d == 1);
    fits.then(|| Shape::batch(&to[missing..]))
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let Frame { inner, channels, .. } = self.frame;
        let y = like(x[0], inner, self.frame.outer(), channels)
            .ok_or_else(|| Mismatch::new(format!("padding of {inner:?} got {}", x[0])))?;
        Ok(Signature::new(y).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.frame.surround(cx.pool, io.x(0), io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        if let Some(dx) = io.dx(0) {
            self.frame.take(cx.pool, io.dy0(), dx.buf);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let n = x[0].shape()[0];
        let missing = 5 - x[0].ndim();
        let full = |size: [usize; 3]| [&[n], &size[..], &[self.frame.channels]].concat();
        let source = x[0].clone().into_shape_with_order(full(self.frame.inner)).unwrap();
        let mut y = ndarray::ArrayD::zeros(full(self.frame.outer()));
        let [d, h, w] = self.frame.sides.map(|side| side[0]);
        for (i, v) in source.indexed_iter() {
            y[[i[0], i[1] + d, i[2] + h, i[3] + w, i[4]]] = *v;
        }
        let short = [&[n], &y.shape()[1 + missing..]].concat();
        vec![y.into_shape_with_order(short).unwrap()]
    }
}
