//! Images in another size: x `[N, H, W, C]`, y `[N, H', W', C]`.
//!
//! Along an axis, place o of y lies at `(o + 1/2) H / H' - 1/2` of x. Bilinear: between two places of x,
//! whose shares are linear in the distance; beyond the first and the last it is theirs. Nearest: in place
//! `floor((o + 1/2) H / H')`. Keras: `ops.image.resize` (half-pixel centres, no antialiasing).
//!
//! Rows are blended first, then columns; gradients take the same two steps backwards, each place of x
//! gathering from the places that it has a share in.

use std::ops::Range;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::pieces::for_pieces_with;
use crate::ops::pooling::{load, over_channels, store};
use crate::shape::Shape;

/// Images of one size brought to another.
#[derive(Clone, Debug)]
pub struct Resize {
    rows: Blend,
    columns: Blend,
    channels: usize,
}

/// Shares along one axis.
#[derive(Clone, Debug)]
struct Blend {
    /// For each place of y the two places of x, and the share of the second.
    from: Vec<[usize; 2]>,
    share: Vec<f32>,
    /// For each place of x the places of y that it has a share in.
    reach: Vec<Range<usize>>,
}

impl Blend {
    fn bilinear(input: usize, output: usize) -> Blend {
        let at = |o: usize| (o as f64 + 0.5) * input as f64 / output as f64 - 0.5;
        let from = (0..output)
            .map(|o| [at(o).floor().max(0.0) as usize, ((at(o).floor() + 1.0) as usize).min(input - 1)])
            .collect();
        Blend::new(input, from, (0..output).map(|o| (at(o) - at(o).floor()) as f32).collect())
    }

    fn nearest(input: usize, output: usize) -> Blend {
        let from = (0..output).map(|o| [(2 * o + 1) * input / (2 * output); 2]).collect();
        Blend::new(input, from, vec![0.0; output])
    }

    fn new(input: usize, from: Vec<[usize; 2]>, share: Vec<f32>) -> Blend {
        let mut reach = vec![0..0; input];
        for (o, from) in from.iter().enumerate() {
            for i in from {
                let start = if reach[*i].is_empty() { o } else { reach[*i].start };
                reach[*i] = start..o + 1;
            }
        }
        Blend { from, share, reach }
    }

    fn input(&self) -> usize {
        self.reach.len()
    }

    fn output(&self) -> usize {
        self.from.len()
    }

    /// Share of place `i` of x in place `o` of y.
    #[inline(always)]
    fn share_of(&self, i: usize, o: usize) -> f32 {
        let first = if self.from[o][0] == i { 1.0 - self.share[o] } else { 0.0 };
        if self.from[o][1] == i { first + self.share[o] } else { first }
    }
}

impl Resize {
    /// Images of these rows and columns, brought to `output` rows and columns by blending.
    pub fn bilinear(input: [usize; 2], output: [usize; 2], channels: usize) -> Resize {
        let [rows, columns] = [0, 1].map(|i| Blend::bilinear(input[i], output[i]));
        Resize { rows, columns, channels }
    }

    /// The same by taking pixels as they are.
    pub fn nearest(input: [usize; 2], output: [usize; 2], channels: usize) -> Resize {
        let [rows, columns] = [0, 1].map(|i| Blend::nearest(input[i], output[i]));
        Resize { rows, columns, channels }
    }

    /// Numbers of a row of x and of y.
    fn row(&self) -> [usize; 2] {
        [self.columns.input() * self.channels, self.columns.output() * self.channels]
    }
}

simd! {
    fn mix(a: &[f32], b: &[f32], share: f32, y: &mut [f32]) {
        for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
            *y = a + (b - a) * share;
        }
    }
}

#[inline(always)]
fn mix_block<const L: usize>(x: &[f32], [a, b]: [usize; 2], share: f32, y: &mut [f32], at: usize) {
    let (a, b) = (load::<L>(x, a + at), load::<L>(x, b + at));
    store(y, at, std::array::from_fn::<f32, L, _>(|i| a[i] + (b[i] - a[i]) * share));
}

simd! {
    /// One row.
    fn widen(x: &[f32], columns: &Blend, channels: usize, y: &mut [f32]) {
        for ((y, from), share) in y.chunks_exact_mut(channels).zip(&columns.from).zip(&columns.share) {
            let from = from.map(|i| i * channels);
            over_channels!(channels, mix_block(x, from, *share, y));
        }
    }
}

simd! {
    /// `out (+)= x * share`
    fn scale(x: &[f32], share: f32, out: &mut [f32], add: bool) {
        let scaled = x.iter().map(|x| x * share);
        if add {
            out.iter_mut().zip(scaled).for_each(|(out, x)| *out += x);
        } else {
            out.iter_mut().zip(scaled).for_each(|(out, x)| *out = x);
        }
    }
}

#[inline(always)]
fn gather_block<const L: usize>(
    dy: &[f32],
    columns: &Blend,
    (place, channels): (usize, usize),
    dx: &mut [f32],
    at: usize,
) {
    let mut sum = [0.0; L];
    for o in columns.reach[place].clone() {
        let (dy, share) = (load::<L>(dy, o * channels + at), columns.share_of(place, o));
        sum = std::array::from_fn(|i| sum[i] + dy[i] * share);
    }
    store(dx, at, sum);
}

simd! {
    /// One row.
    fn narrow(dy: &[f32], columns: &Blend, channels: usize, dx: &mut [f32]) {
        for (place, dx) in dx.chunks_exact_mut(channels).enumerate() {
            over_channels!(channels, gather_block(dy, columns, (place, channels), dx));
        }
    }
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let input = [self.rows.input(), self.columns.input(), self.channels];
        if x[0].dims != input {
            return Err(Mismatch::new(format!("resizing of {input:?} got {}", x[0])));
        }
        let y = Shape::batch([self.rows.output(), self.columns.output(), self.channels]);
        let mut signature = Signature::new(y).differentiable(&[0]);
        let scratch = |row: usize| Scratch { per_thread: round_up(row), ..Scratch::default() };
        signature.forward_scratch = scratch(self.row()[0]);
        signature.backward_scratch = scratch(self.row()[1]);
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, [row, wide]) = (io.x(0), self.row());
        let (input, output) = (self.rows.input(), self.rows.output());
        let tasks = cx.batch * output;
        let work = (tasks, tasks * wide);
        for_pieces_with(cx.pool, work, [io.y(0)], io.scratch(), round_up(row), |task, [y], own| {
            let (image, o) = (&x[task / output * input * row..][..input * row], task % output);
            let [a, b] = self.rows.from[o].map(|i| &image[i * row..][..row]);
            mix(a, b, self.rows.share[o], &mut own[..row]);
            widen(&own[..row], &self.columns, self.channels, y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, [_, wide]) = (&*io.dy0(), self.row());
        let (input, output) = (self.rows.input(), self.rows.output());
        let work = (cx.batch * input, cx.batch * output * wide);
        for_pieces_with(cx.pool, work, [dx.buf], io.scratch(), round_up(wide), |task, [dx], own| {
            let (image, i) = (&dy[task / input * output * wide..][..output * wide], task % input);
            let (own, reach) = (&mut own[..wide], &self.rows.reach[i]);
            if reach.is_empty() {
                // A smaller image leaves rows out.
                dx.fill(0.0);
                return;
            }
            for o in reach.clone() {
                scale(&image[o * wide..][..wide], self.rows.share_of(i, o), own, o > reach.start);
            }
            narrow(own, &self.columns, self.channels, dx);
        });
    }

    fn flops(&self, _: &[&Shape], y: &[&Shape]) -> f64 {
        6.0 * y[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        // Places below 0 and above the last are the first and the last. What is not blended lies where it is
        // taken from.
        let at = |o: usize, axis: &Blend| {
            let place = (o as f64 + 0.5) * axis.input() as f64 / axis.output() as f64 - 0.5;
            match axis.from.iter().all(|from| from[0] == from[1]) && axis.input() > 1 {
                true => (place + 0.5).floor(),
                false => place.clamp(0.0, (axis.input() - 1) as f64),
            }
        };
        let full = [x[0].shape()[0], self.rows.output(), self.columns.output(), self.channels];
        let y = ArrayD::from_shape_fn(IxDyn(&full), |o| {
            let (row, column) = (at(o[1], &self.rows), at(o[2], &self.columns));
            let mut sum = 0.0;
            for (i, v) in x[0].index_axis(ndarray::Axis(0), o[0]).indexed_iter() {
                let near = |place: f64, i: usize| (1.0 - (place - i as f64).abs()).max(0.0);
                if i[2] == o[3] {
                    sum += near(row, i[0]) * near(column, i[1]) * v;
                }
            }
            sum
        });
        vec![y]
    }
}
