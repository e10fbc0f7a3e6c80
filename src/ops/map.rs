//! y = f(x), element by element; all shapes.

use std::any::Any;
use std::sync::Arc;

use crate::graph::{Backward, Bits, Ctx, Forward, Grad, Mismatch, Op, Signature};
use crate::kernels::par::for_pieces;
use crate::ops::function::Function;
use crate::shape::Shape;

/// An element-wise function as an op.
#[derive(Clone, Debug)]
pub struct Map {
    pub f: Arc<dyn Function>,
}

impl Map {
    pub fn new(f: impl Function + 'static) -> Map {
        Map { f: Arc::new(f) }
    }
}

/// The function of an op that may be done in place at the end of the one before it: element-wise,
/// with a slope that follows from its output.
pub fn to_fuse(next: &dyn Op) -> Option<Arc<dyn Function>> {
    let map = (next as &dyn Any).downcast_ref::<Map>()?;
    map.f.slope_from_output().then(|| map.f.clone())
}

impl Op for Map {
    fn name(&self) -> &'static str {
        self.f.name()
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0]);
        signature.adds = true;
        signature.left_in_dy = Bits::first(1);
        Ok(if self.f.slope_from_output() { signature.keep_y(&[0]) } else { signature.keep_x(&[0]) })
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        for_pieces(cx.pool, io.y(0), |range, y| self.f.apply(&x[range], y));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (f, dy) = (&self.f, io.dy0());
        let v = if f.slope_from_output() { io.y(0) } else { io.x(0) };
        match io.dx(0) {
            Some(Grad { buf, add }) => {
                let dy = &*dy;
                for_pieces(cx.pool, buf, |range, dx| f.gradient(&v[range.clone()], &dy[range], dx, add));
            }
            None => for_pieces(cx.pool, dy, |range, dy| f.gradient_in_place(&v[range], dy)),
        }
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![x[0].mapv(|v| self.f.twin(v))]
    }
}
