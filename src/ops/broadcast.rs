//! y = the same numbers for every sample: the first of those that a weight holds.
//! w `[...]` of at least as many numbers as y `[N, ...]` has for each sample; x `[N, ...]` only says how many
//! samples there are.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::kernels::sum;
use crate::shape::Shape;

/// Samples of this shape.
#[derive(Clone, Debug)]
pub struct Broadcast {
    pub sample: Shape,
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].batched || !x[1].batched || x[0].size() < self.sample.size() {
            return Err(Mismatch::new(format!("{} numbers cannot be taken of {}", self.sample.size(), x[0])));
        }
        Ok(Signature::new(self.sample.clone()).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let size = self.sample.size();
        let w = &io.x(0)[..size];
        for_chunks(cx.pool, io.y(0), size, |_, y| y.copy_from_slice(w));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        if let Some(dw) = io.dx(0) {
            let (used, unused) = dw.buf.split_at_mut(self.sample.size());
            sum::columns(cx.pool, io.dy0(), used, false);
            unused.fill(0.0);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let n = x[1].shape()[0];
        let sample: Vec<f64> = x[0].iter().take(self.sample.size()).copied().collect();
        vec![ndarray::ArrayD::from_shape_vec(self.sample.full(n), sample.repeat(n)).unwrap()]
    }
}
