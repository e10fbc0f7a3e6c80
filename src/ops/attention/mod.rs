//! y = softmax(scale q k^T) v for each head, softmax over the keys that a query may look at.
//!
//! q `[N, T, heads * key_dim]`, k `[N, S, heads * key_dim]`, v `[N, S, heads * value_dim]`,
//! y `[N, T, heads * value_dim]`; scale = 1 / sqrt(key_dim). q, k and v may lie side by side in one input,
//! or k and v in one. Masks `[N, T]` of queries, `[N, S]` of values and of keys hold 1 and 0.
//!
//! Vaswani et al.: Attention is all you need, 2017. Scores are never there as a whole: they are made block
//! by block, with a softmax that goes on from block to block, and made again in the backward pass from
//! each query's maximum and sum (Dao et al.: FlashAttention, 2022). In training some weights are dropped:
//! their draws are numbered by sample, head, key and query.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::strips::Strip;
use crate::ops::attention::blocks::{LANES, Seen};
use crate::ops::dropout::Draws;
use crate::shape::Shape;

mod backward;
mod blocks;
mod forward;
#[cfg(test)]
mod tests;

/// Most queries and keys of a block: its scores and their gradient stay in the first-level cache.
const BLOCK: usize = 64;

/// Which of queries, keys and values are one input, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Nothing,
    KeysAndValues,
    Everything,
}

/// Which masks there are, as inputs after the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    pub query: bool,
    pub value: bool,
    pub key: bool,
}

/// Dropout of the weights.
#[derive(Clone, Copy, Debug)]
pub struct Drops {
    draws: Draws,
    /// A draw below this drops.
    threshold: u32,
    /// 1 / (1 - rate)
    scale: f32,
}

impl Drops {
    /// `rate` in [0, 1) is the share that is dropped.
    pub fn new(rate: f64, draws: Draws) -> Drops {
        let threshold = (rate * 4_294_967_296.0).round() as u32;
        Drops { draws, threshold, scale: (1.0 / (1.0 - rate)) as f32 }
    }
}

/// Attention of several heads.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    pub heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub joined: Joined,
    /// A query looks at no later key.
    pub causal: bool,
    pub masks: Masks,
    pub drops: Option<Drops>,
}

/// The inputs of a step: three sources and three masks at most, empty where there is none.
type Inputs<'a> = [&'a [f32]; 6];

fn inputs<'a>(count: usize, x: impl Fn(usize) -> &'a [f32]) -> Inputs<'a> {
    std::array::from_fn(|i| if i < count { x(i) } else { &[] })
}

/// Where queries, keys or values lie.
#[derive(Clone, Copy, Debug)]
struct Part {
    input: usize,
    row: usize,
    first: usize,
    width: usize,
}

impl Part {
    /// The rows of one sample and head, from its first number on.
    fn of<'a>(&self, x: &'a [f32], (length, sample, head): (usize, usize, usize)) -> &'a [f32] {
        &x[sample * length * self.row + self.first + head * self.width..]
    }

    fn strip(&self, matrix: usize) -> Strip {
        Strip { matrix, row: self.row, first: self.first, width: self.width }
    }
}

/// Lengths of a call, and of its blocks.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    queries: usize,
    keys: usize,
    /// Columns of a block of scores.
    lanes: usize,
    /// Most rows of a block of scores.
    rows: usize,
}

impl Sizes {
    fn new(queries: usize, keys: usize) -> Sizes {
        Sizes { queries, keys, lanes: queries.min(BLOCK).next_multiple_of(LANES), rows: keys.min(BLOCK) }
    }

    /// First query and number of queries of each block.
    fn query_blocks(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.queries).step_by(BLOCK).map(move |q| (q, BLOCK.min(self.queries - q)))
    }

    fn key_blocks(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.keys).step_by(BLOCK).map(move |k| (k, BLOCK.min(self.keys - k)))
    }
}

impl Attention {
    fn scale(&self) -> f32 {
        (1.0 / (self.key_dim as f64).sqrt()) as f32
    }

    /// Inputs that are no masks.
    fn sources(&self) -> usize {
        match self.joined {
            Joined::Nothing => 3,
            Joined::KeysAndValues => 2,
            Joined::Everything => 1,
        }
    }

    /// Queries, keys and values.
    fn parts(&self) -> [Part; 3] {
        let (key, value) = (self.heads * self.key_dim, self.heads * self.value_dim);
        let part = |input, row, first, width| Part { input, row, first, width };
        let &Attention { key_dim, value_dim, .. } = self;
        match self.joined {
            Joined::Nothing => {
                [part(0, key, 0, key_dim), part(1, key, 0, key_dim), part(2, value, 0, value_dim)]
            }
            Joined::KeysAndValues => [
                part(0, key, 0, key_dim),
                part(1, key + value, 0, key_dim),
                part(1, key + value, key, value_dim),
            ],
            Joined::Everything => {
                let row = 2 * key + value;
                [part(0, row, 0, key_dim), part(0, row, key, key_dim), part(0, row, 2 * key, value_dim)]
            }
        }
    }

    /// Positions of the masks: of queries, values and keys.
    fn mask_inputs(&self) -> [Option<usize>; 3] {
        let mut next = self.sources();
        [self.masks.query, self.masks.value, self.masks.key].map(|there| {
            there.then(|| {
                next += 1;
                next - 1
            })
        })
    }

    fn sizes(&self, x: &Inputs<'_>, batch: usize) -> Sizes {
        let [q, k, _] = self.parts();
        let length = |part: Part| x[part.input].len() / (batch * part.row).max(1);
        Sizes::new(length(q), length(k))
    }

    /// What the queries of a sample may look at.
    fn seen<'a>(&self, x: &Inputs<'a>, sizes: Sizes, sample: usize) -> Seen<'a> {
        let [query, value, key] = self.mask_inputs();
        let mask = |input: Option<usize>, len: usize| input.map(|i| &x[i][sample * len..][..len]);
        Seen {
            causal: self.causal,
            queries: mask(query, sizes.queries),
            keys: [mask(value, sizes.keys), mask(key, sizes.keys)],
        }
    }

    /// The vectors of draws of a block of weights.
    fn drop_block(
        &self,
        step: u32,
        sizes: Sizes,
        (task, key, query): (usize, usize, usize),
    ) -> Option<blocks::DropBlock> {
        let stride = sizes.queries.div_ceil(LANES);
        let first = (task * sizes.keys + key) * stride + query / LANES;
        self.drops.map(|by| blocks::DropBlock { by, step, first, stride })
    }

    /// Multiplications of the forward pass.
    fn work(&self, sizes: Sizes, batch: usize) -> usize {
        batch * self.heads * sizes.queries * sizes.keys * (self.key_dim + self.value_dim)
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let parts @ [q, _, v] = self.parts();
        let lists = || x.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(", ");
        let sequence = |p: Part| match x.get(p.input)?.dims[..] {
            [length, row] if row == p.row => Some(length),
            _ => None,
        };
        let [Some(queries), Some(keys), Some(values)] = parts.map(sequence) else {
            let message = format!("attention of {} heads of {} and {}", self.heads, q.width, v.width);
            return Err(Mismatch::new(format!("{message} got {}", lists())));
        };
        if keys != values {
            return Err(Mismatch::new(format!("attention to {keys} keys with {values} values")));
        }
        let wanted = [queries, keys, keys];
        for (input, length) in self.mask_inputs().into_iter().zip(wanted) {
            if input.is_some_and(|i| x[i].dims != [length]) {
                return Err(Mismatch::new(format!("a mask of {length} steps does not fit: {}", lists())));
            }
        }
        let sizes = Sizes::new(queries, keys);
        let sources: Vec<usize> = (0..self.sources()).collect();
        let mut signature = Signature::new(Shape::batch([queries, self.heads * self.value_dim]))
            .differentiable(&sources)
            .keep_y(&[0]);
        signature.keep_x = Bits::first(x.len());
        signature.notes = self.heads * 2 * queries;
        signature.forward_scratch = Scratch { per_thread: self.forward_space(sizes), ..Scratch::default() };
        signature.backward_scratch = Scratch { per_thread: self.backward_space(sizes), ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.run_forward(io, cx);
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        self.run_backward(io, cx);
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        let keys = x[self.parts()[1].input].dims[0];
        let each = 2 * (self.key_dim + self.value_dim) + 5;
        (y[0].dims[0] * keys * self.heads * each) as f64
    }

    /// Gradients of queries, keys, values and weights: as many products again, twice.
    fn backward_flops(&self, x: &[&Shape], y: &[&Shape], _: Bits) -> f64 {
        2.0 * self.flops(x, y)
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        vec![tests::twin(self, x, cx.step)]
    }
}
