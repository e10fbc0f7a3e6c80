//! y = the entry of x at one place along an axis, which disappears. x `[N, ..., L, ...]`, y `[N, ..., ...]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Entry `index` along place `axis` of the dims.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    axis: usize,
    index: usize,
    /// Entries along the axis, and numbers of each.
    length: usize,
    inner: usize,
}

impl Take {
    pub fn new(x: &Shape, axis: usize, index: usize) -> Take {
        Take { axis, index, length: x.dims[axis], inner: x.dims[axis + 1..].iter().product() }
    }
}

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims.get(self.axis) != Some(&self.length) || self.index >= self.length {
            return Err(Mismatch::new(format!("entry {} of {} got {}", self.index, self.length, x[0])));
        }
        let mut dims = x[0].dims.clone();
        dims.remove(self.axis);
        Ok(Signature::new(Shape::batch(dims)).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, inner) = (io.x(0), self.inner);
        let rows = (CHUNK / inner).max(1);
        for_chunks(cx.pool, io.y(0), rows * inner, |c, y| {
            for (r, y) in y.chunks_exact_mut(inner).enumerate() {
                y.copy_from_slice(&x[((c * rows + r) * self.length + self.index) * inner..][..inner]);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, inner, row) = (&*io.dy0(), self.inner, self.length * self.inner);
        let rows = (CHUNK / row).max(1);
        for_chunks(cx.pool, dx.buf, rows * row, |c, dx| {
            dx.fill(0.0);
            for (dx, dy) in dx.chunks_exact_mut(row).zip(dy[c * rows * inner..].chunks_exact(inner)) {
                dx[self.index * inner..][..inner].copy_from_slice(dy);
            }
        });
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![x[0].index_axis(ndarray::Axis(self.axis + 1), self.index).as_standard_layout().into_owned()]
    }
}
