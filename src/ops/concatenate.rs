//! y = inputs one after the other along an axis. x `[N, ..., Di, ...]`, y `[N, ..., sum of Di, ...]`.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::ops::merge::MOST_INPUTS;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Concatenation along one axis of the samples.
#[derive(Clone, Debug)]
pub struct Concatenate {
    axis: usize,
    /// Whether samples or parameters.
    batched: bool,
    /// Each input's part of a row: from `axis` on.
    parts: Vec<usize>,
}

impl Concatenate {
    /// Along place `axis` of the dims; the shapes may differ there alone.
    pub fn new(shapes: &[&Shape], axis: usize) -> Result<Concatenate, Mismatch> {
        if !(2..=MOST_INPUTS).contains(&shapes.len()) {
            return Err(Mismatch::new(format!("takes 2 to {MOST_INPUTS} inputs, got {}", shapes.len())));
        }
        let first = shapes[0];
        for (i, shape) in shapes.iter().enumerate() {
            if shape.batched != first.batched {
                return Err(Mismatch::new("parameters cannot be put beside values"));
            }
            if shape.dims.len() != first.dims.len() {
                return Err(Mismatch::new(format!(
                    "all inputs must have one rank: the first is {first}, input {} is {shape}",
                    i + 1
                )));
            }
            let differs = |d: &usize| *d != axis && shape.dims[*d] != first.dims[*d];
            if let Some(d) = (0..shape.dims.len()).find(differs) {
                return Err(Mismatch::new(format!(
                    "only axis {} may differ, but axis {} is {} in {first} and {} in input {}, {shape}",
                    axis + 1,
                    d + 1,
                    first.dims[d],
                    shape.dims[d],
                    i + 1
                )));
            }
        }
        let parts = shapes.iter().map(|s| s.dims[axis..].iter().product()).collect();
        Ok(Concatenate { axis, batched: first.batched, parts })
    }

    /// Numbers of a row of y.
    fn row(&self) -> usize {
        self.parts.iter().sum()
    }
}

impl Op for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        Concatenate::new(x, self.axis)?;
        let mut dims = x[0].dims.clone();
        dims[self.axis] = x.iter().map(|s| s.dims[self.axis]).sum();
        // Parameters are put side by side as values are.
        let mut signature = Signature::new(Shape { batched: self.batched, dims });
        signature.differentiable = Bits::first(x.len());
        signature.adds = true;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let row = self.row();
        let x: [&[f32]; MOST_INPUTS] =
            std::array::from_fn(|i| if i < self.parts.len() { io.x(i) } else { &[][..] });
        let rows = (CHUNK / row).max(1);
        for_chunks(cx.pool, io.y(0), rows * row, |c, y| {
            for (r, mut y) in y.chunks_exact_mut(row).enumerate() {
                for (x, part) in x.iter().zip(&self.parts) {
                    let (target, rest) = y.split_at_mut(*part);
                    target.copy_from_slice(&x[(c * rows + r) * part..][..*part]);
                    y = rest;
                }
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (dy, row) = (&*io.dy0(), self.row());
        let mut from = 0;
        for (i, &part) in self.parts.iter().enumerate() {
            if let Some(dx) = io.dx(i) {
                let (add, rows) = (dx.add, (CHUNK / part).max(1));
                for_chunks(cx.pool, dx.buf, rows * part, |c, dx| {
                    let dy = dy[c * rows * row..].chunks_exact(row);
                    for (dx, dy) in dx.chunks_exact_mut(part).zip(dy) {
                        let dy = &dy[from..from + part];
                        if add {
                            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                        } else {
                            dx.copy_from_slice(dy);
                        }
                    }
                });
            }
            from += part;
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let views: Vec<_> = x.iter().map(|x| x.view()).collect();
        let y = ndarray::concatenate(ndarray::Axis(self.axis + usize::from(self.batched)), &views).unwrap();
        vec![y.as_standard_layout().into_owned()]
    }
}
