//! Gradients of queries, keys and values. With w the weights, dy the gradient of the sums and
//! `D = sum of dy y`: `dv = w^T dy`, `ds = w (dy v^T - D)`, `dq = scale ds k`, `dk = scale ds^T q`.

use crate::graph::{Backward, Ctx};
use crate::kernels::gemm::{Product, Start};
use crate::kernels::strips::{Rows, for_strips_with};
use crate::kernels::turn::turn;
use crate::ops::attention::blocks::{LANES, dropped_gradient, row_products, softmax_gradient};
use crate::ops::attention::{Attention, Inputs, Part, Sizes, inputs};

/// What the backward pass reads.
struct Given<'a> {
    x: Inputs<'a>,
    y: &'a [f32],
    dy: &'a [f32],
    notes: &'a [f32],
}

/// A thread's working space.
struct Space<'a> {
    /// Queries and dy as columns `[key_dim][lanes]`, `[value_dim][lanes]`.
    queries: &'a mut [f32],
    dy: &'a mut [f32],
    /// Scores, then weights, and the gradient of scores: `[rows][lanes]`.
    scores: &'a mut [f32],
    slopes: &'a mut [f32],
    /// Maxima, shares, sums of dy y: `[3][lanes]`.
    stats: &'a mut [f32],
    /// Gradients: of all queries, of a block of keys and one of values.
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

impl Attention {
    pub(super) fn backward_space(&self, sizes: Sizes) -> usize {
        let &Attention { key_dim, value_dim, .. } = self;
        let blocks = sizes.lanes * (key_dim + value_dim + 2 * sizes.rows + 3);
        let gradients = sizes.queries * key_dim + sizes.rows * (key_dim + value_dim);
        (blocks + gradients).next_multiple_of(LANES)
    }

    fn carve_backward<'a>(&self, sizes: Sizes, space: &'a mut [f32]) -> Space<'a> {
        let mut rest = space;
        let mut take = |len: usize| {
            let (taken, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            taken
        };
        let (lanes, rows) = (sizes.lanes, sizes.rows);
        Space {
            queries: take(self.key_dim * lanes),
            dy: take(self.value_dim * lanes),
            scores: take(rows * lanes),
            slopes: take(rows * lanes),
            stats: take(3 * lanes),
            dq: take(sizes.queries * self.key_dim),
            dk: take(rows * self.key_dim),
            dv: take(rows * self.value_dim),
        }
    }

    pub(super) fn run_backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let x = inputs(io.x.count(), |i| io.x(i));
        let given = Given { x, y: io.y(0), dy: io.dy0(), notes: io.notes() };
        let sizes = self.sizes(&x, cx.batch);
        let work = 3 * self.work(sizes, cx.batch);
        let dx =
            |i: usize| if i < self.sources() { io.dx(i).map_or(&mut [][..], |g| g.buf) } else { &mut [] };
        let strips = self.parts().map(|p| p.strip(p.input));
        let scratch = (io.scratch(), self.backward_space(sizes));
        for_strips_with(
            cx.pool,
            (cx.batch, self.heads, work),
            [dx(0), dx(1), dx(2)],
            strips,
            scratch,
            |sample, head, rows, space| {
                self.backward_head(&given, cx.step, sizes, (sample, head), rows, space);
            },
        );
    }

    fn backward_head(
        &self,
        given: &Given<'_>,
        step: u32,
        sizes: Sizes,
        (sample, head): (usize, usize),
        [mut to_queries, mut to_keys, mut to_values]: [Rows<'_>; 3],
        space: &mut [f32],
    ) {
        let parts @ [q, k, v] = self.parts();
        let output = Part { input: 0, row: self.heads * self.value_dim, first: 0, width: self.value_dim };
        let place = |length| (length, sample, head);
        let lengths = [sizes.queries, sizes.keys, sizes.keys];
        let [queries, keys, values] =
            std::array::from_fn(|i| parts[i].of(given.x[parts[i].input], place(lengths[i])));
        let (y, dy) = (output.of(given.y, place(sizes.queries)), output.of(given.dy, place(sizes.queries)));
        let noted = &given.notes[(sample * self.heads + head) * 2 * sizes.queries..][..2 * sizes.queries];
        let seen = self.seen(&given.x, sizes, sample);
        let (lanes, scale, row) = (sizes.lanes, self.scale(), output.row);
        let (key_dim, value_dim) = (self.key_dim, self.value_dim);
        let s = self.carve_backward(sizes, space);
        for (key, rows) in sizes.key_blocks() {
            let (scores, slopes) = (&mut s.scores[..rows * lanes], &mut s.slopes[..rows * lanes]);
            let (dk, dv) = (&mut s.dk[..rows * key_dim], &mut s.dv[..rows * value_dim]);
            let (keys, values) = (&keys[key * k.row..], &values[key * v.row..]);
            let mut sums = Start::Zero;
            for (first, count) in sizes.query_blocks() {
                if seen.nothing(key, first + count - 1) {
                    continue;
                }
                let (queries, dy, y) = (&queries[first * q.row..], &dy[first * row..], &y[first * row..]);
                turn(queries, q.row, count, scale, s.queries, lanes);
                turn(dy, row, count, 1.0, s.dy, lanes);
                s.stats.fill(0.0);
                s.stats[..count].copy_from_slice(&noted[first..first + count]);
                s.stats[lanes..lanes + count].copy_from_slice(&noted[sizes.queries + first..][..count]);
                row_products(dy, y, row, value_dim, &mut s.stats[2 * lanes..2 * lanes + count]);

                let product = Product { a_row: k.row, ..Product::dense(rows, lanes, key_dim) };
                product.run(keys, s.queries, scores, Start::Zero);
                seen.hide(scores, lanes, (key, first));
                let product = Product { a_row: v.row, ..Product::dense(rows, lanes, value_dim) };
                product.run(values, s.dy, slopes, Start::Zero);
                match self.drop_block(step, sizes, (sample * self.heads + head, key, first)) {
                    Some(drops) => dropped_gradient(scores, slopes, s.stats, lanes, scale, drops),
                    None => softmax_gradient(scores, slopes, s.stats, lanes, scale),
                }

                let over_queries =
                    |width, b_k| Product { a_row: lanes, b_k, ..Product::dense(rows, width, count) };
                over_queries(value_dim, row).run(scores, dy, dv, sums);
                over_queries(key_dim, q.row).run(slopes, queries, dk, sums);
                sums = Start::Add;
                let product =
                    Product { a_row: 1, a_k: lanes, b_k: k.row, ..Product::dense(count, key_dim, rows) };
                let start = if key > 0 { Start::Add } else { Start::Zero };
                product.run(slopes, keys, &mut s.dq[first * key_dim..], start);
            }
            if matches!(sums, Start::Zero) {
                // Keys that no query may look at.
                dk.fill(0.0);
                dv.fill(0.0);
            }
            to_keys.store(key, dk);
            to_values.store(key, dv);
        }
        to_queries.store(0, s.dq);
    }
}
