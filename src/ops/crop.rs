//! y = x without its borders. x `[N, planes, rows, columns, C]`, y with so many fewer of them; leading axes of
//! one place may be missing.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::frame::Frame;
use crate::ops::pad::like;
use crate::shape::Shape;

/// The inside of boxes of one size.
#[derive(Clone, Debug)]
pub struct Crop {
    frame: Frame,
}

impl Crop {
    /// Of boxes of these planes, rows and columns without so many before and after; `None` where nothing
    /// would be left.
    pub fn new(size: [usize; 3], channels: usize, sides: [[usize; 2]; 3]) -> Option<Crop> {
        let mut inner = size;
        for (inner, [before, after]) in inner.iter_mut().zip(sides) {
            *inner = inner.checked_sub(before + after).filter(|left| *left > 0)?;
        }
        Some(Crop { frame: Frame { inner, sides, channels } })
    }
}

impl Op for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let outer = self.frame.outer();
        let y = like(x[0], outer, self.frame.inner, self.frame.channels)
            .ok_or_else(|| Mismatch::new(format!("cropping of {outer:?} got {}", x[0])))?;
        Ok(Signature::new(y).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.frame.take(cx.pool, io.x(0), io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        if let Some(dx) = io.dx(0) {
            self.frame.surround(cx.pool, io.dy0(), dx.buf);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::ArrayD;
        let n = x[0].shape()[0];
        let missing = 5 - x[0].ndim();
        let full = |size: [usize; 3]| [&[n], &size[..], &[self.frame.channels]].concat();
        let source = x[0].clone().into_shape_with_order(full(self.frame.outer())).unwrap();
        let [d, h, w] = self.frame.sides.map(|side| side[0]);
        let y = ArrayD::from_shape_fn(full(self.frame.inner), |i| {
            source[[i[0], i[1] + d, i[2] + h, i[3] + w, i[4]]]
        });
        let short = [&[n], &y.shape()[1 + missing..]].concat();
        vec![y.into_shape_with_order(short).unwrap()]
    }
}
