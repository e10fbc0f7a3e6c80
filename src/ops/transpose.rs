//! y = x with its axes in another order. x `[N, d1, d2, ...]`, y `[N, d(order[0]), d(order[1]), ...]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::{Pool, for_chunks};
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// A permutation of the axes of one sample.
#[derive(Clone, Debug)]
pub struct Transpose {
    dims: Vec<usize>,
    order: Vec<usize>,
    forward: Walk,
    backward: Walk,
}

impl Transpose {
    /// For samples of these dimensions; axis `i` of the result is axis `order[i]` of the input, from 0.
    pub fn new(dims: &[usize], order: &[usize]) -> Transpose {
        let result: Vec<usize> = order.iter().map(|o| dims[*o]).collect();
        let back: Vec<usize> =
            (0..order.len()).map(|axis| order.iter().position(|o| *o == axis).unwrap_or(axis)).collect();
        Transpose {
            forward: Walk::new(dims, order),
            backward: Walk::new(&result, &back),
            dims: dims.to_vec(),
            order: order.to_vec(),
        }
    }
}

/// Where the numbers of a permuted sample come from.
#[derive(Clone, Debug)]
struct Walk {
    /// Each axis of the target: its size, and its step in the source.
    axes: Vec<(usize, usize)>,
    size: usize,
}

impl Walk {
    fn new(dims: &[usize], order: &[usize]) -> Walk {
        let step = |axis: usize| dims[axis + 1..].iter().product::<usize>();
        let mut axes: Vec<(usize, usize)> = vec![];
        for &axis in order {
            match axes.last_mut() {
                // Two axes that stay neighbours are one.
                Some(last) if last.1 == dims[axis] * step(axis) => *last = (last.0 * dims[axis], step(axis)),
                _ => axes.push((dims[axis], step(axis))),
            }
        }
        Walk { axes, size: dims.iter().product() }
    }

    fn run(&self, pool: &Pool, x: &[f32], y: &mut [f32]) {
        let Some((&(row, step), outer)) = self.axes.split_last() else {
            return y.copy_from_slice(x);
        };
        let chunk = (CHUNK / row).max(1) * row;
        for_chunks(pool, y, chunk, |c, y| {
            for (r, y) in y.chunks_exact_mut(row).enumerate() {
                let x = &x[self.source(outer, c * chunk / row + r)..];
                if step == 1 {
                    y.copy_from_slice(&x[..row]);
                } else {
                    y.iter_mut().zip(x.iter().step_by(step)).for_each(|(y, x)| *y = *x);
                }
            }
        });
    }

    /// Where row `r` of the target begins in the source.
    fn source(&self, outer: &[(usize, usize)], r: usize) -> usize {
        let start = |(from, rest): (usize, usize), &(size, step): &(usize, usize)| {
            (from + rest % size * step, rest / size)
        };
        let (from, sample) = outer.iter().rev().fold((0, r), start);
        from + sample * self.size
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims != self.dims {
            return Err(Mismatch::new(format!("a transpose of {:?} got {}", self.dims, x[0])));
        }
        let dims: Vec<usize> = self.order.iter().map(|o| self.dims[*o]).collect();
        Ok(Signature::new(Shape::batch(dims)).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.forward.run(cx.pool, io.x(0), io.y(0));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        if let Some(dx) = io.dx(0) {
            self.backward.run(cx.pool, io.dy0(), dx.buf);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let order: Vec<usize> = std::iter::once(0).chain(self.order.iter().map(|o| o + 1)).collect();
        vec![x[0].clone().permuted_axes(order).as_standard_layout().into_owned()]
    }
}
