//! The ops before and behind a layer in its tests: inputs that get gradients, and a loss of any output.

use ndarray::ArrayD;

use crate::graph::twin::TwinCtx;
use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::shape::Shape;

/// Turns a parameter into a batched value, so that a layer's inputs get gradients too.
#[derive(Debug)]
pub struct Lift {
    pub batch: usize,
}

impl Op for Lift {
    fn name(&self) -> &'static str {
        "lift"
    }
    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        assert_eq!(x[0].dims[0], self.batch);
        Ok(Signature::new(Shape::batch(&x[0].dims[1..])).differentiable(&[0]))
    }
    fn forward(&self, io: &Forward<'_>, _: &Ctx<'_>) {
        let y = io.y(0);
        y.copy_from_slice(&io.x(0)[..y.len()]);
    }
    fn backward(&self, io: &Backward<'_>, _: &Ctx<'_>) {
        let dy = io.dy0();
        let dx = io.dx(0).unwrap().buf;
        dx.fill(0.0);
        dx[..dy.len()].copy_from_slice(dy);
    }
    fn twin(&self, x: &[ArrayD<f64>], _: &TwinCtx) -> Vec<ArrayD<f64>> {
        vec![x[0].clone()]
    }
}

/// loss_n = sum over the sample of y * cotangent: makes any layer's output a loss.
#[derive(Debug)]
pub struct Dot {
    pub size: usize,
}

impl Op for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }
    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        assert_eq!((x[0].size(), x[1].size()), (self.size, self.size));
        Ok(Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[1]))
    }
    fn forward(&self, io: &Forward<'_>, _: &Ctx<'_>) {
        let rows = io.x(0).chunks(self.size).zip(io.x(1).chunks(self.size));
        for (loss, (y, c)) in io.y(0).iter_mut().zip(rows) {
            *loss = y.iter().zip(c).map(|(y, c)| y * c).sum();
        }
    }
    fn backward(&self, io: &Backward<'_>, _: &Ctx<'_>) {
        let (dloss, c) = (io.dy0(), io.x(1));
        for ((dx, c), d) in io.dx(0).unwrap().buf.chunks_mut(self.size).zip(c.chunks(self.size)).zip(dloss) {
            dx.iter_mut().zip(c).for_each(|(dx, c)| *dx = *d * c);
        }
    }
    fn twin(&self, x: &[ArrayD<f64>], _: &TwinCtx) -> Vec<ArrayD<f64>> {
        let n = x[0].shape()[0];
        let product = (&x[0] * &x[1]).into_shape_with_order((n, self.size)).unwrap();
        vec![product.sum_axis(ndarray::Axis(1)).into_dyn()]
    }
}
