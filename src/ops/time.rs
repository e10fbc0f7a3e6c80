//! Sequences without arithmetic: the steps in reverse order, a row repeated, steps that do not count zeroed.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole samples.
const CHUNK: usize = 1 << 13;

/// `y[t] = x[T - 1 - t]`. x, y `[N, T, ...]`.
#[derive(Clone, Debug)]
pub struct Reverse {
    steps: usize,
}

impl Reverse {
    pub fn new(steps: usize) -> Reverse {
        Reverse { steps }
    }

    fn run(&self, cx: &Ctx<'_>, x: &[f32], y: &mut [f32]) {
        let sample = y.len() / cx.batch.max(1);
        let (row, chunk) = (sample / self.steps, (CHUNK / sample).max(1) * sample);
        for_chunks(cx.pool, y, chunk, |c, y| {
            for (x, y) in x[c * chunk..].chunks_exact(sample).zip(y.chunks_exact_mut(sample)) {
                for (x, y) in x.chunks_exact(row).rev().zip(y.chunks_exact_mut(row)) {
                    y.copy_from_slice(x);
                }
            }
        });
    }
}

impl Op for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims.first() != Some(&self.steps) {
            return Err(Mismatch::new(format!("reversing {} steps got {}", self.steps, x[0])));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.run(cx, io.x(0), io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        if let Some(dx) = io.dx(0) {
            self.run(cx, io.dy0(), dx.buf);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].clone();
        y.invert_axis(ndarray::Axis(1));
        vec![y.as_standard_layout().into_owned()]
    }
}

/// `y[t] = x` for every t. x `[N, D]`, y `[N, T, D]`.
#[derive(Clone, Debug)]
pub struct Repeat {
    steps: usize,
}

impl Repeat {
    pub fn new(steps: usize) -> Repeat {
        Repeat { steps }
    }
}

simd! {
    /// The sum of rows, in order.
    fn sum_rows(rows: &[f32], out: &mut [f32]) {
        let width = out.len();
        for (t, row) in rows.chunks_exact(width).enumerate() {
            for (out, v) in out.iter_mut().zip(row) {
                *out = if t == 0 { *v } else { *out + v };
            }
        }
    }
}

impl Op for Repeat {
    fn name(&self) -> &'static str {
        "repeat"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let [width] = *x[0].dims else {
            return Err(Mismatch::new(format!("repeats rows [N,C], got {}", x[0])));
        };
        Ok(Signature::new(Shape::batch([self.steps, width])).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, y) = (io.x(0), io.y(0));
        let width = x.len() / cx.batch.max(1);
        let samples = (CHUNK / (self.steps * width)).max(1);
        for_chunks(cx.pool, y, samples * self.steps * width, |c, y| {
            for (x, y) in
                x[c * samples * width..].chunks_exact(width).zip(y.chunks_exact_mut(self.steps * width))
            {
                y.chunks_exact_mut(width).for_each(|y| y.copy_from_slice(x));
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dx, dy) = (dx.buf, &*io.dy0());
        let width = dx.len() / cx.batch.max(1);
        let samples = (CHUNK / (self.steps * width)).max(1);
        for_chunks(cx.pool, dx, samples * width, |c, dx| {
            let dy = dy[c * samples * self.steps * width..].chunks_exact(self.steps * width);
            dx.chunks_exact_mut(width).zip(dy).for_each(|(dx, dy)| sum_rows(dy, dx));
        });
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let shape = [x[0].shape()[0], self.steps, x[0].shape()[1]];
        vec![ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&shape), |at| x[0][[at[0], at[2]]])]
    }
}

/// `y[t] = mask[t] == 0 ? 0 : x[t]`. x, y `[N, T, ...]`, mask `[N, T]`.
#[derive(Clone, Debug)]
pub struct ZeroMasked;

impl ZeroMasked {
    fn run(&self, cx: &Ctx<'_>, x: Option<&[f32]>, mask: &[f32], y: &mut [f32]) {
        let row = y.len() / mask.len().max(1);
        let rows = (CHUNK / row.max(1)).max(1);
        for_chunks(cx.pool, y, rows * row, |c, y| {
            for (r, y) in y.chunks_exact_mut(row).enumerate() {
                if mask[c * rows + r] == 0.0 {
                    y.fill(0.0);
                } else if let Some(x) = x {
                    y.copy_from_slice(&x[(c * rows + r) * row..][..row]);
                }
            }
        });
    }
}

impl Op for ZeroMasked {
    fn name(&self) -> &'static str {
        "zero_masked"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims.first() != x[1].dims.first() || x[1].dims.len() != 1 {
            return Err(Mismatch::new(format!("a mask {} does not fit {}", x[1], x[0])));
        }
        let mut signature = Signature::new(x[0].clone()).differentiable(&[0]).keep_x(&[1]);
        signature.left_in_dy = Bits::first(1);
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.run(cx, Some(io.x(0)), io.x(1), io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let dy = io.dy0();
        match io.dx(0) {
            Some(dx) => self.run(cx, Some(dy), io.x(1), dx.buf),
            None => self.run(cx, None, io.x(1), dy),
        }
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].clone();
        let mask = &x[1];
        y.indexed_iter_mut().for_each(|(at, y)| *y *= mask[[at[0], at[1]]]);
        vec![y]
    }
}
