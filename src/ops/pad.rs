//! y = x with zeros around it. x `[N, H, W, C]`, y `[N, top + H + bottom, left + W + right, C]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Zeros around the rows and columns of images of one size.
#[derive(Clone, Debug)]
pub struct Pad {
    /// H, W, C.
    dims: [usize; 3],
    /// Zeros before and after: rows, columns.
    zeros: [[usize; 2]; 2],
}

impl Pad {
    /// For images of these dimensions, with `[[top, bottom], [left, right]]` zeros.
    pub fn new(dims: [usize; 3], zeros: [[usize; 2]; 2]) -> Pad {
        Pad { dims, zeros }
    }

    /// Rows and columns of the padded image.
    fn padded(&self) -> [usize; 2] {
        std::array::from_fn(|i| self.dims[i] + self.zeros[i][0] + self.zeros[i][1])
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims != self.dims {
            return Err(Mismatch::new(format!("padding of {:?} got {}", self.dims, x[0])));
        }
        let [h, w] = self.padded();
        Ok(Signature::new(Shape::batch([h, w, self.dims[2]])).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let ([h, w, c], [padded_h, padded_w]) = (self.dims, self.padded());
        let [[top, _], [left, _]] = self.zeros;
        let (row, x) = (padded_w * c, io.x(0));
        let rows = (CHUNK / row).max(1);
        for_chunks(cx.pool, io.y(0), rows * row, |chunk, y| {
            for (r, y) in y.chunks_exact_mut(row).enumerate() {
                let (image, at) = ((chunk * rows + r) / padded_h, (chunk * rows + r) % padded_h);
                if at < top || at >= top + h {
                    y.fill(0.0);
                    continue;
                }
                let (before, rest) = y.split_at_mut(left * c);
                let (inside, after) = rest.split_at_mut(w * c);
                before.fill(0.0);
                inside.copy_from_slice(&x[(image * h + at - top) * w * c..][..w * c]);
                after.fill(0.0);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let ([h, w, c], [padded_h, padded_w]) = (self.dims, self.padded());
        let [[top, _], [left, _]] = self.zeros;
        let (row, dy) = (w * c, &*io.dy0());
        let rows = (CHUNK / row).max(1);
        for_chunks(cx.pool, dx.buf, rows * row, |chunk, dx| {
            for (r, dx) in dx.chunks_exact_mut(row).enumerate() {
                let (image, at) = ((chunk * rows + r) / h, (chunk * rows + r) % h);
                let from = ((image * padded_h + top + at) * padded_w + left) * c;
                dx.copy_from_slice(&dy[from..from + row]);
            }
        });
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let ([h, w, c], [padded_h, padded_w]) = (self.dims, self.padded());
        let [[top, _], [left, _]] = self.zeros;
        let n = x[0].shape()[0];
        let mut y = ndarray::ArrayD::zeros(vec![n, padded_h, padded_w, c]);
        for (i, v) in x[0].indexed_iter() {
            y[[i[0], i[1] + top, i[2] + left, i[3]]] = *v;
        }
        assert_eq!(x[0].shape(), [n, h, w, c]);
        vec![y]
    }
}
