//! [`MatMul`] with its operands rounded to bfloat16 and its sums in f32: all three products. Shapes,
//! bias and function are those of `MatMul`; weights stay f32, and are rounded in each step.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::bf16::as_pairs;
use crate::kernels::bf16::dense::{self, Destination, Matrix};
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::par::for_pieces;
use crate::kernels::sum;
use crate::ops::matmul::MatMul;
use crate::shape::Shape;

/// A dense layer's product in bfloat16.
#[derive(Clone, Debug)]
pub struct MatMulBf16 {
    product: MatMul,
}

impl MatMulBf16 {
    pub fn new(product: MatMul) -> MatMulBf16 {
        MatMulBf16 { product }
    }
}

/// Working space for a product whose rows, or whose sums, grow with the batch: `scratch` says how much
/// it takes for so many samples.
fn by_sample(scratch: impl Fn(usize) -> usize) -> Scratch {
    // Pairs of samples are half as many as samples, rounded up once.
    let per_sample = (scratch(3) - scratch(1)).div_ceil(2);
    Scratch { per_sample, fixed: scratch(1), per_thread: 0 }
}

impl Op for MatMulBf16 {
    fn name(&self) -> &'static str {
        "matmul_bf16"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = self.product.infer(x)?;
        let MatMul { k, m, .. } = self.product;
        let rows = x[0].size() / k;
        signature.forward_scratch = by_sample(|n| dense::scratch(n * rows, m, k));
        // One product after the other.
        let kernel = by_sample(|n| dense::scratch(k, m, n * rows));
        let input = by_sample(|n| dense::scratch(n * rows, k, m));
        signature.backward_scratch = Scratch {
            per_sample: kernel.per_sample.max(input.per_sample),
            fixed: kernel.fixed.max(input.fixed),
            per_thread: 0,
        };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let MatMul { k, m, f } = &self.product;
        let start = if io.x.count() == 3 { Start::Bias(io.x(2)) } else { Start::Zero };
        let finish = |piece: &mut [f32]| match f {
            Some(f) => f.apply_in_place(piece),
            None => as_is(piece),
        };
        let (x, w) = (Matrix { x: io.x(0), columns: *k }, Matrix { x: io.x(1), columns: *m });
        let into = Destination { c: io.y(0), start, finish: &finish };
        dense::product(cx.pool, x, w, into, as_pairs(io.scratch()));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let MatMul { k, m, f } = &self.product;
        let (dy, scratch) = (io.dy0(), as_pairs(io.scratch()));
        if let Some(f) = f {
            let y = io.y(0);
            for_pieces(cx.pool, dy, |range, dy| f.gradient_in_place(&y[range], dy));
        }
        let start = |add| if add { Start::Add } else { Start::Zero };
        let (x, dy) = (Matrix { x: io.x(0), columns: *k }, Matrix { x: dy, columns: *m });
        if let Some(dw) = io.dx(1) {
            let into = Destination { c: dw.buf, start: start(dw.add), finish: &as_is };
            dense::product_transposed_a(cx.pool, x, dy, into, scratch);
        }
        if io.dx.count() == 3
            && let Some(db) = io.dx(2)
        {
            sum::columns(cx.pool, dy.x, db.buf, db.add);
        }
        if let Some(dx) = io.dx(0) {
            let into = Destination { c: dx.buf, start: start(dx.add), finish: &as_is };
            let w = Matrix { x: io.x(1), columns: *m };
            dense::product_transposed_b(cx.pool, dy, w, into, scratch);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let product = self.product.absorb(next)?;
        let product = (product as Box<dyn std::any::Any>).downcast::<MatMul>().ok()?;
        Some(Box::new(MatMulBf16 { product: *product }))
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        self.product.flops(x, y)
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        self.product.twin(x, cx)
    }
}
