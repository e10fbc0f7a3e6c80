//! y_n = the sum over a sample of (exp(log_var) + mean^2 - 1 - log_var) / 2: how far a normal distribution is
//! from the standard one, in nats. mean, log_var `[N, ...]` of one shape, y `[N]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::math::{PLAIN, exp};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole samples.
const CHUNK: usize = 1 << 12;

#[derive(Clone, Copy, Debug)]
pub struct KlNormal;

impl Op for KlNormal {
    fn name(&self) -> &'static str {
        "kl_normal"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0] != x[1] {
            return Err(Mismatch::new(format!("mean {} and log variance {} differ in shape", x[0], x[1])));
        }
        Ok(Signature::new(Shape::batch([])).differentiable(&[0, 1]).keep_x(&[0, 1]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (mean, log_var, y) = (io.x(0), io.x(1), io.y(0));
        let size = mean.len() / y.len();
        let rows = (CHUNK / size).max(1);
        for_chunks(cx.pool, y, rows, |c, y| {
            for (i, y) in y.iter_mut().enumerate() {
                let at = (c * rows + i) * size..(c * rows + i + 1) * size;
                let pairs = mean[at.clone()].iter().zip(&log_var[at]);
                *y = 0.5 * pairs.map(|(m, v)| exp::<PLAIN>(*v) + m * m - 1.0 - v).sum::<f32>();
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (mean, log_var, dy) = (io.x(0), io.x(1), &*io.dy0());
        let size = mean.len() / dy.len();
        let rows = (CHUNK / size).max(1);
        let by = |x: &[f32], dx: &mut [f32], slope: fn(f32) -> f32| {
            for_chunks(cx.pool, dx, rows * size, |c, dx| {
                for (i, dx) in dx.chunks_exact_mut(size).enumerate() {
                    let sample = c * rows + i;
                    let x = &x[sample * size..(sample + 1) * size];
                    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = dy[sample] * slope(*x));
                }
            });
        };
        if let Some(dx) = io.dx(0) {
            by(mean, dx.buf, |m| m);
        }
        if let Some(dx) = io.dx(1) {
            by(log_var, dx.buf, |v| 0.5 * (exp::<PLAIN>(v) - 1.0));
        }
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        20.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let terms = x[1].mapv(|v| v.exp() - 1.0 - v) + x[0].mapv(|m| m * m);
        let n = x[0].shape()[0];
        let rows = terms.to_shape((n, terms.len() / n)).expect("whole samples").sum_axis(ndarray::Axis(1));
        vec![(0.5 * rows).into_dyn()]
    }
}
