//! y = some of the numbers of each sample, in their order: an input among a row's columns, a target among
//! several. x `[N, W]`, y `[N, ranges' lengths]`.

use std::ops::Range;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

#[derive(Clone, Debug)]
pub struct Cut {
    ranges: Vec<Range<usize>>,
    /// Numbers of a row that is cut, and of what is left of it.
    row: usize,
    kept: usize,
}

impl Cut {
    pub fn new(x: &Shape, ranges: &[Range<usize>]) -> Cut {
        Cut { ranges: ranges.to_vec(), row: x.size(), kept: ranges.iter().map(ExactSizeIterator::len).sum() }
    }

    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Each range in the row, and in what is kept of it.
    fn for_ranges(&self, mut f: impl FnMut(Range<usize>, Range<usize>)) {
        let mut end = 0;
        for range in &self.ranges {
            let start = end;
            end += range.len();
            f(range.clone(), start..end);
        }
    }
}

impl Op for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].size() != self.row || self.ranges.iter().any(|r| r.end > self.row) {
            return Err(Mismatch::new(format!("{:?} of {} got {}", self.ranges, self.row, x[0])));
        }
        Ok(Signature::new(Shape::batch([self.kept])).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        let rows = (CHUNK / self.kept).max(1);
        for_chunks(cx.pool, io.y(0), rows * self.kept, |c, y| {
            for (x, y) in x[c * rows * self.row..].chunks_exact(self.row).zip(y.chunks_exact_mut(self.kept)) {
                self.for_ranges(|whole, kept| y[kept].copy_from_slice(&x[whole]));
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let dy = &*io.dy0();
        let rows = (CHUNK / self.row).max(1);
        for_chunks(cx.pool, dx.buf, rows * self.row, |c, dx| {
            dx.fill(0.0);
            for (dx, dy) in
                dx.chunks_exact_mut(self.row).zip(dy[c * rows * self.kept..].chunks_exact(self.kept))
            {
                self.for_ranges(|whole, kept| dx[whole].copy_from_slice(&dy[kept]));
            }
        });
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        0.0
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let rows = x[0].rows().into_iter().flat_map(|row| {
            let kept = self.ranges.iter().flat_map(|range| range.clone().map(|i| row[i]));
            kept.collect::<Vec<f64>>()
        });
        let n = x[0].shape()[0];
        vec![ndarray::ArrayD::from_shape_vec(vec![n, self.kept], rows.collect()).expect("rows of one length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Var};
    use crate::layers::Layer;
    use crate::testing::battery::LayerCase;

    #[derive(Debug)]
    struct Kept(Vec<Range<usize>>);

    impl Layer for Kept {
        fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
            g.push(Cut::new(g.shape(x[0]), &self.0), x)
        }
    }

    #[test]
    fn the_numbers_asked_for_in_their_order() {
        let all = std::iter::once(0..9).collect();
        for ranges in [all, vec![1..3, 8..9, 4..5], vec![7..8, 2..3]] {
            LayerCase::of(Box::new(Kept(ranges)), &[&[9]]).check();
        }
        LayerCase::of(Box::new(Kept(vec![5..CHUNK + 9, 1..2])), &[&[CHUNK + 10]]).check_fused_bits(3);
    }
}
