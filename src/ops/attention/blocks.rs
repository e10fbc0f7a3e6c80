//! What is done to one block of scores: a row for each key, a column for each query, so that maxima and
//! sums over keys run down the columns, as many at a time as a vector register holds.

use crate::kernels::math::exp;
use crate::ops::attention::Drops;

/// Columns come in whole vectors of so many; those beyond the last query hold 0 at first.
pub const LANES: usize = 16;

/// What stands for a score that does not count. Finite, so that a query that may look at nothing looks
/// at everything alike, as in Keras.
pub const MASKED: f32 = -0.7 * 3.389_53e38;

/// Which keys a query may look at, in one sample: 1 in all masks, and not later if `causal`.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub causal: bool,
    pub queries: Option<&'a [f32]>,
    pub keys: [Option<&'a [f32]>; 2],
}

impl Seen<'_> {
    /// Whether none of these keys can have a part in these queries. With masks that cannot be told: see
    /// [`MASKED`].
    pub fn nothing(&self, first_key: usize, last_query: usize) -> bool {
        let masks = self.queries.is_some() || self.keys.iter().any(Option::is_some);
        self.causal && !masks && first_key > last_query
    }

    /// Hides what does not count in the block of scores at this key and query.
    pub fn hide(&self, scores: &mut [f32], lanes: usize, (key, query): (usize, usize)) {
        for (j, row) in scores.chunks_exact_mut(lanes).enumerate() {
            if self.keys.iter().flatten().any(|mask| mask[key + j] == 0.0) {
                row.fill(MASKED);
            } else if self.causal && key + j > query {
                row[..(key + j - query).min(lanes)].fill(MASKED);
            }
        }
        let Some(mask) = self.queries else { return };
        for (i, _) in mask[query..].iter().take(lanes).enumerate().filter(|(_, m)| **m == 0.0) {
            scores[i..].iter_mut().step_by(lanes).for_each(|s| *s = MASKED);
        }
    }
}

simd! {
    /// One step of a softmax over blocks of keys. `stats` are the columns' maxima and sums so far, and a
    /// place for the factor by which what was summed before shrinks; scores become e^(score - maximum).
    pub fn softmax_step(scores: &mut [f32], stats: &mut [f32], lanes: usize) {
        let (maxima, rest) = stats.split_at_mut(lanes);
        let (sums, factors) = rest.split_at_mut(lanes);
        let (scores, _) = scores.as_chunks_mut::<LANES>();
        let (maxima, _) = maxima.as_chunks_mut::<LANES>();
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        let (factors, _) = factors.as_chunks_mut::<LANES>();
        let vectors = lanes / LANES;
        for (c, ((maxima, sums), factors)) in maxima.iter_mut().zip(sums).zip(factors).enumerate() {
            let mut most = *maxima;
            for row in scores[c..].iter().step_by(vectors) {
                for (most, s) in most.iter_mut().zip(row) {
                    *most = if *s > *most { *s } else { *most };
                }
            }
            let mut sum = [0.0; LANES];
            for row in scores[c..].iter_mut().step_by(vectors) {
                for ((s, most), sum) in row.iter_mut().zip(&most).zip(&mut sum) {
                    *s = exp::<FUSED>(*s - most);
                    *sum += *s;
                }
            }
            for i in 0..LANES {
                factors[i] = exp::<FUSED>(maxima[i] - most[i]);
                sums[i] = sums[i] * factors[i] + sum[i];
            }
            *maxima = most;
        }
    }
}

simd! {
    /// Gradient of the softmax of a block. `scores` become the weights with which values were summed,
    /// `slopes`, the products of values and dy, the gradient of the products of queries and keys.
    /// `stats`: the columns' maxima, shares 1 / sum, and sums of dy y.
    pub fn softmax_gradient(scores: &mut [f32], slopes: &mut [f32], stats: &[f32], lanes: usize, scale: f32) {
        let (maxima, rest) = stats.split_at(lanes);
        let (shares, sums) = rest.split_at(lanes);
        for (scores, slopes) in scores.chunks_exact_mut(lanes).zip(slopes.chunks_exact_mut(lanes)) {
            let columns = maxima.iter().zip(shares).zip(sums);
            for ((s, slope), ((most, share), sum)) in scores.iter_mut().zip(slopes).zip(columns) {
                let weight = exp::<FUSED>(*s - most) * share;
                // Where nothing counts the weights depend on no score.
                let scale = if *most > MASKED { scale } else { 0.0 };
                *slope = weight * (*slope - sum) * scale;
                *s = weight;
            }
        }
    }
}

simd! {
    /// As [`softmax_gradient`] with weights that were dropped: of key `j` the vectors of draws from
    /// `first + j * stride` on.
    pub fn dropped_gradient(scores: &mut [f32], slopes: &mut [f32], stats: &[f32], lanes: usize, scale: f32, drops: DropBlock) {
        let (maxima, rest) = stats.split_at(lanes);
        let (shares, sums) = rest.split_at(lanes);
        let mut draws = Drawn::default();
        for (j, (scores, slopes)) in scores.chunks_exact_mut(lanes).zip(slopes.chunks_exact_mut(lanes)).enumerate() {
            for c in 0..lanes / LANES {
                let bits = draws.vector(&drops, drops.first + j * drops.stride + c);
                let at = c * LANES..(c + 1) * LANES;
                let columns = maxima[at.clone()].iter().zip(&shares[at.clone()]).zip(&sums[at.clone()]);
                let values = scores[at.clone()].iter_mut().zip(&mut slopes[at]);
                for (((s, slope), ((most, share), sum)), bits) in values.zip(columns).zip(&bits) {
                    let weight = exp::<FUSED>(*s - most) * share;
                    let scale = if *most > MASKED { scale } else { 0.0 };
                    let kept = if *bits < drops.by.threshold { 0.0 } else { drops.by.scale };
                    *slope = weight * (*slope * kept - sum) * scale;
                    *s = weight * kept;
                }
            }
        }
    }
}

simd! {
    /// Drops some of the weights of a block and scales the others.
    pub fn drop_some(weights: &mut [f32], lanes: usize, drops: DropBlock) {
        let mut draws = Drawn::default();
        for (j, weights) in weights.chunks_exact_mut(lanes).enumerate() {
            for (c, weights) in weights.chunks_exact_mut(LANES).enumerate() {
                let bits = draws.vector(&drops, drops.first + j * drops.stride + c);
                for (w, bits) in weights.iter_mut().zip(&bits) {
                    *w *= if *bits < drops.by.threshold { 0.0 } else { drops.by.scale };
                }
            }
        }
    }
}

/// The draws of one block of weights.
#[derive(Clone, Copy)]
pub struct DropBlock {
    pub by: Drops,
    pub step: u32,
    /// The vector of draws of the block's first weights, and the distance to the next key's.
    pub first: usize,
    pub stride: usize,
}

/// Draws come four vectors at a time.
#[derive(Default)]
struct Drawn {
    /// Which four, counted from 1.
    group: usize,
    words: [[u32; LANES]; 4],
}

impl Drawn {
    #[inline(always)]
    fn vector(&mut self, drops: &DropBlock, vector: usize) -> [u32; LANES] {
        let group = vector / 4 + 1;
        if group != self.group {
            *self = Drawn { group, words: drops.by.draws.words(drops.step, vector / 4 * LANES) };
        }
        self.words[vector % 4]
    }
}

simd! {
    /// Rows of `width` times a factor each.
    pub fn scale_rows(rows: &mut [f32], width: usize, factors: &[f32]) {
        for (row, factor) in rows.chunks_exact_mut(width).zip(factors) {
            row.iter_mut().for_each(|v| *v *= factor);
        }
    }
}

simd! {
    /// `out[i] = sum of a[i][..] b[i][..]`; rows of `width` numbers, `row` apart.
    pub fn row_products(a: &[f32], b: &[f32], row: usize, width: usize, out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a.chunks(row)).zip(b.chunks(row)) {
            let mut lanes = [0.0; LANES];
            let (a, a_rest) = a[..width].as_chunks::<LANES>();
            let (b, b_rest) = b[..width].as_chunks::<LANES>();
            for (a, b) in a.iter().zip(b) {
                for i in 0..LANES {
                    lanes[i] += a[i] * b[i];
                }
            }
            for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
                *lane += a * b;
            }
            let mut half = LANES / 2;
            while half > 0 {
                for i in 0..half {
                    lanes[i] += lanes[i + half];
                }
                half /= 2;
            }
            *out = lanes[0];
        }
    }
}
