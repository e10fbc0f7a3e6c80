//! Blocks of scores from queries and keys, weights from scores, sums of values.

use crate::graph::{Ctx, Forward};
use crate::kernels::gemm::{Product, Start};
use crate::kernels::strips::{Rows, Strip, for_strips_with};
use crate::kernels::turn::turn;
use crate::ops::attention::blocks::{drop_some, scale_rows, softmax_step};
use crate::ops::attention::{Attention, Inputs, Part, Sizes, inputs};

/// A thread's working space.
struct Space<'a> {
    /// Queries as columns `[key_dim][lanes]`.
    queries: &'a mut [f32],
    /// `[rows][lanes]`
    scores: &'a mut [f32],
    /// Sums of values `[queries][value_dim]`.
    sums: &'a mut [f32],
    /// Maxima, sums, factors: `[3][lanes]`.
    stats: &'a mut [f32],
}

impl Attention {
    pub(super) fn forward_space(&self, sizes: Sizes) -> usize {
        sizes.lanes * (self.key_dim + sizes.rows + self.value_dim + 3)
    }

    fn carve<'a>(&self, sizes: Sizes, space: &'a mut [f32]) -> Space<'a> {
        let (queries, space) = space.split_at_mut(self.key_dim * sizes.lanes);
        let (scores, space) = space.split_at_mut(sizes.rows * sizes.lanes);
        let (sums, space) = space.split_at_mut(self.value_dim * sizes.lanes);
        Space { queries, scores, sums, stats: &mut space[..3 * sizes.lanes] }
    }

    pub(super) fn run_forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = inputs(io.x.count(), |i| io.x(i));
        let sizes = self.sizes(&x, cx.batch);
        let notes = io.notes().unwrap_or(&mut []);
        let (heads, work) = (self.heads, self.work(sizes, cx.batch));
        let wide = 2 * sizes.queries;
        let strips = [
            Strip { matrix: 0, row: heads * self.value_dim, first: 0, width: self.value_dim },
            Strip { matrix: 1, row: heads * wide, first: 0, width: wide },
        ];
        let scratch = (io.scratch(), self.forward_space(sizes));
        for_strips_with(
            cx.pool,
            (cx.batch, heads, work),
            [io.y(0), notes],
            strips,
            scratch,
            |sample, head, rows, space| self.forward_head(&x, cx.step, sizes, (sample, head), rows, space),
        );
    }

    fn forward_head(
        &self,
        x: &Inputs<'_>,
        step: u32,
        sizes: Sizes,
        (sample, head): (usize, usize),
        [mut y, mut notes]: [Rows<'_>; 2],
        space: &mut [f32],
    ) {
        let parts = self.parts();
        let [q, k, v] = parts;
        let of = |p: Part, length| p.of(x[p.input], (length, sample, head));
        let (queries, keys, values) = (of(q, sizes.queries), of(k, sizes.keys), of(v, sizes.keys));
        let seen = self.seen(x, sizes, sample);
        let (lanes, dim) = (sizes.lanes, self.value_dim);
        let s = self.carve(sizes, space);
        for (first, count) in sizes.query_blocks() {
            turn(&queries[first * q.row..], q.row, count, self.scale(), s.queries, lanes);
            s.stats[..lanes].fill(f32::NEG_INFINITY);
            s.stats[lanes..].fill(0.0);
            let sums = &mut s.sums[..count * dim];
            for (key, rows) in sizes.key_blocks() {
                if seen.nothing(key, first + count - 1) {
                    break;
                }
                let scores = &mut s.scores[..rows * lanes];
                let product = Product { a_row: k.row, ..Product::dense(rows, lanes, self.key_dim) };
                product.run(&keys[key * k.row..], s.queries, scores, Start::Zero);
                seen.hide(scores, lanes, (key, first));
                softmax_step(scores, s.stats, lanes);
                if let Some(drops) = self.drop_block(step, sizes, (sample * self.heads + head, key, first)) {
                    drop_some(scores, lanes, drops);
                }
                if key > 0 {
                    scale_rows(sums, dim, &s.stats[2 * lanes..]);
                }
                let start = if key > 0 { Start::Add } else { Start::Zero };
                let product =
                    Product { b_k: v.row, a_row: 1, a_k: lanes, ..Product::dense(count, dim, rows) };
                product.run(scores, &values[key * v.row..], sums, start);
            }
            let shares = &mut s.stats[lanes..2 * lanes];
            shares.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
            scale_rows(sums, dim, shares);
            y.store(first, sums);
            if notes.is_wanted() {
                let (maxima, kept) = notes.row(0).split_at_mut(sizes.queries);
                maxima[first..first + count].copy_from_slice(&s.stats[..count]);
                kept[first..first + count].copy_from_slice(&s.stats[lanes..lanes + count]);
            }
        }
    }
}
