//! y = x + p, the same numbers added to every sample: p is a table that does not learn, or the first
//! numbers of a weight. x, y `[N, ...]`, weight `[...]` of as many numbers or more.

use std::sync::Arc;

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::kernels::sum;
use crate::shape::Shape;

/// Numbers per task, in whole samples.
const CHUNK: usize = 1 << 13;

/// What is added to each sample.
#[derive(Clone, Debug)]
pub enum AddPositions {
    /// Of the sample's size.
    Table(Arc<[f32]>),
    /// The op's second input.
    Weight,
}

simd! {
    fn add(x: &[f32], positions: &[f32], y: &mut [f32]) {
        for ((y, x), p) in y.iter_mut().zip(x).zip(positions) {
            *y = x + p;
        }
    }
}

impl Op for AddPositions {
    fn name(&self) -> &'static str {
        "add_positions"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let (size, there) = match self {
            AddPositions::Table(table) => (x[0].size(), table.len()),
            AddPositions::Weight => (x[0].size(), x[1].size()),
        };
        if there < size || x.get(1).is_some_and(|w| w.batched) {
            return Err(Mismatch::new(format!("{there} numbers of positions do not fit {}", x[0])));
        }
        let all: Vec<usize> = (0..x.len()).collect();
        let mut signature = Signature::new(x[0].clone()).differentiable(&all);
        signature.left_in_dy = Bits::first(1);
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, y) = (io.x(0), io.y(0));
        let size = x.len() / cx.batch.max(1);
        let positions = match self {
            AddPositions::Table(table) => &table[..size],
            AddPositions::Weight => &io.x(1)[..size],
        };
        let chunk = (CHUNK / size).max(1) * size;
        for_chunks(cx.pool, y, chunk, |c, y| {
            let samples = x[c * chunk..].chunks_exact(size).zip(y.chunks_exact_mut(size));
            samples.for_each(|(x, y)| add(x, positions, y));
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let dy = &*io.dy0();
        if io.dx.count() == 2
            && let Some(dw) = io.dx(1)
        {
            let (used, unused) = dw.buf.split_at_mut(dy.len() / cx.batch.max(1));
            sum::columns(cx.pool, dy, used, false);
            unused.fill(0.0);
        }
        if let Some(dx) = io.dx(0) {
            dx.buf.copy_from_slice(dy);
        }
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        let size = y.len() / y.shape()[0];
        for (i, y) in y.iter_mut().enumerate() {
            *y += match self {
                AddPositions::Table(table) => f64::from(table[i % size]),
                AddPositions::Weight => *x[1].iter().nth(i % size).unwrap(),
            };
        }
        vec![y]
    }
}
