//! Masks of sequences: y = 1 where a step counts, else 0.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_pieces;
use crate::shape::Shape;

/// Which numbers are not 0: those of a padded sequence that count. All shapes.
#[derive(Clone, Copy, Debug)]
pub struct NotZero;

impl Op for NotZero {
    fn name(&self) -> &'static str {
        "not_zero"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(x[0].clone()))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        for_pieces(cx.pool, io.y(0), |range, y| {
            for (y, x) in y.iter_mut().zip(&x[range]) {
                *y = f32::from(u8::from(*x != 0.0));
            }
        });
    }

    fn backward(&self, _: &Backward<'_>, _: &Ctx<'_>) {}

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![x[0].mapv(|v| f64::from(u8::from(v != 0.0)))]
    }
}

/// y `[N, steps]` of 1: all steps count. x only says how many samples there are.
#[derive(Clone, Copy, Debug)]
pub struct AllOnes {
    pub steps: usize,
}

impl Op for AllOnes {
    fn name(&self) -> &'static str {
        "all_ones"
    }

    fn infer(&self, _: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(Shape::batch([self.steps])))
    }

    fn forward(&self, io: &Forward<'_>, _: &Ctx<'_>) {
        io.y(0).fill(1.0);
    }

    fn backward(&self, _: &Backward<'_>, _: &Ctx<'_>) {}

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![ndarray::ArrayD::ones(vec![x[0].shape()[0], self.steps])]
    }
}
