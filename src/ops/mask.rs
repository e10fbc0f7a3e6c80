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

/// Which steps have a number other than `value`. x `[N, T, C]`, y `[N, T]`.
#[derive(Clone, Copy, Debug)]
pub struct Differs {
    pub value: f32,
}

impl Op for Differs {
    fn name(&self) -> &'static str {
        "differs"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        match x[0].dims[..] {
            [steps, _] => Ok(Signature::new(Shape::batch([steps]))),
            _ => Err(Mismatch::no_sequence("[N,T,C]", x[0])),
        }
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, y) = (io.x(0), io.y(0));
        let width = x.len() / y.len().max(1);
        for_pieces(cx.pool, y, |range, y| {
            let steps = x[range.start * width..].chunks_exact(width.max(1));
            for (y, step) in y.iter_mut().zip(steps) {
                *y = f32::from(u8::from(step.iter().any(|v| *v != self.value)));
            }
        });
    }

    fn backward(&self, _: &Backward<'_>, _: &Ctx<'_>) {}

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let differs = |step: ndarray::ArrayView1<'_, f64>| step.iter().any(|v| *v != f64::from(self.value));
        vec![x[0].map_axis(ndarray::Axis(2), |step| f64::from(u8::from(differs(step))))]
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
