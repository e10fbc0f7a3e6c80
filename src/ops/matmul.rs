//! y = f(x w + b).
//!
//! x `[N, ..., K]` seen as rows of K, w `[K, M]`, b `[M]` (optional), y `[N, ..., M]`. A function
//! whose slope follows from its output is done in place while the rows are in cache.

use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::gemm::{Product, Start, as_is, transpose};
use crate::kernels::par::for_pieces;
use crate::kernels::sum;
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::shape::Shape;

/// The product, with the function that was fused into it.
#[derive(Clone, Debug)]
pub struct MatMul {
    /// Rows of the kernel.
    pub(super) k: usize,
    /// Columns of the kernel: units.
    pub(super) m: usize,
    pub(super) f: Option<Arc<dyn Function>>,
}

impl MatMul {
    /// For a kernel of shape `[k, m]`.
    pub fn new(k: usize, m: usize) -> MatMul {
        MatMul { k, m, f: None }
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let (input, kernel) = (x[0], x[1]);
        let &MatMul { k, m, .. } = self;
        if kernel.dims != [k, m] || input.dims.last() != Some(&k) {
            return Err(Mismatch::new(format!("cannot multiply {input} by a kernel of shape {kernel}")));
        }
        if let Some(bias) = x.get(2).filter(|b| b.dims != [m]) {
            return Err(Mismatch::new(format!("bias {bias} does not fit {m} units")));
        }
        let mut signature =
            Signature::new(input.with_last(m)).differentiable(&[0, 1, 2][..x.len()]).keep_x(&[0, 1]);
        if self.f.is_some() {
            signature = signature.keep_y(&[0]);
        }
        // The kernel transposed, for the input's gradient.
        signature.backward_scratch = Scratch { fixed: k * m, ..Scratch::default() };
        signature.adds = true;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, w, y) = (io.x(0), io.x(1), io.y(0));
        let start = if io.x.count() == 3 { Start::Bias(io.x(2)) } else { Start::Zero };
        let product = Product::dense(x.len() / self.k, self.m, self.k);
        match &self.f {
            Some(f) => product.run_on(cx.pool, x, w, y, start, &|piece| f.apply_in_place(piece)),
            None => product.run_on(cx.pool, x, w, y, start, &as_is),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (x, w, dy) = (io.x(0), io.x(1), io.dy0());
        if let Some(f) = &self.f {
            let y = io.y(0);
            for_pieces(cx.pool, dy, |range, dy| f.gradient_in_place(&y[range], dy));
        }
        let dy = &*dy;
        let &MatMul { k, m, .. } = self;
        let rows = dy.len() / m;
        let start = |add| if add { Start::Add } else { Start::Zero };
        if let Some(dw) = io.dx(1) {
            Product::transposed_a(k, m, rows).run_on(cx.pool, x, dy, dw.buf, start(dw.add), &as_is);
        }
        if io.dx.count() == 3
            && let Some(db) = io.dx(2)
        {
            sum::columns(cx.pool, dy, db.buf, db.add);
        }
        if let Some(dx) = io.dx(0) {
            let transposed = &mut io.scratch()[..k * m];
            transpose(cx.pool, w, k, m, transposed);
            Product::dense(rows, k, m).run_on(cx.pool, dy, transposed, dx.buf, start(dx.add), &as_is);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let f = to_fuse(next).filter(|_| self.f.is_none())?;
        Some(Box::new(MatMul { f: Some(f), ..*self }))
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        2.0 * y[0].size() as f64 * x[1].dims[0] as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        let (k, m) = (x[1].shape()[0], x[1].shape()[1]);
        let mut shape = x[0].shape().to_vec();
        *shape.last_mut().unwrap() = m;
        let (flat, w) = (x[0].as_standard_layout(), x[1].as_standard_layout());
        let (flat, w) = (flat.as_slice().unwrap(), w.as_slice().unwrap());
        let mut y = vec![];
        for row in flat.chunks(k) {
            for j in 0..m {
                let bias = x.get(2).map_or(0.0, |b| b[j]);
                let sum = bias + row.iter().enumerate().map(|(i, v)| v * w[i * m + j]).sum::<f64>();
                y.push(self.f.as_ref().map_or(sum, |f| f.twin(sum)));
            }
        }
        vec![ArrayD::from_shape_vec(IxDyn(&shape), y).unwrap()]
    }
}
