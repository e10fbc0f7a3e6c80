//! The op against its definition: lengths around the sizes of blocks, masks, dropout.

use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::graph::{Builder, Var};
use crate::layers::Layer;
use crate::rng::Stream;
use crate::testing::battery::LayerCase;
use crate::testing::golden::all_close;

/// Queries, keys or values of one sample and head.
fn rows(part: Part, x: &[ArrayD<f64>], sample: usize, head: usize) -> Vec<Vec<f64>> {
    let x = x[part.input].index_axis(ndarray::Axis(0), sample);
    let first = part.first + head * part.width;
    x.outer_iter().map(|row| (first..first + part.width).map(|c| row[c]).collect()).collect()
}

/// Weights before and after dropout `[T][S]`.
fn weights(op: &Attention, x: &[ArrayD<f64>], step: u32, at: (usize, usize)) -> [Vec<Vec<f64>>; 2] {
    let (sample, head) = at;
    let [q, k, _] = op.parts().map(|p| rows(p, x, sample, head));
    let [query, value, key] = op.mask_inputs();
    let on = |input: Option<usize>, i: usize| input.is_none_or(|m| x[m][[sample, i]] != 0.0);
    let scale = 1.0 / (op.key_dim as f64).sqrt();
    let (mut before, mut after) = (vec![], vec![]);
    for (i, q) in q.iter().enumerate() {
        let scores: Vec<f64> = k
            .iter()
            .enumerate()
            .map(|(j, k)| {
                let seen = on(query, i) && on(value, j) && on(key, j) && !(op.causal && j > i);
                let score = q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * scale;
                if seen { score } else { f64::from(blocks::MASKED) }
            })
            .collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
        let row: Vec<f64> = scores.iter().map(|s| (s - most).exp() / sum).collect();
        after.push(row.iter().enumerate().map(|(j, w)| w * kept(op, x, step, at, (i, j))).collect());
        before.push(row);
    }
    [before, after]
}

/// The factor of dropout of one weight.
fn kept(op: &Attention, x: &[ArrayD<f64>], step: u32, at: (usize, usize), (i, j): (usize, usize)) -> f64 {
    let Some(drops) = op.drops else { return 1.0 };
    let [q, k, _] = op.parts();
    let (queries, keys) = (x[q.input].shape()[1], x[k.input].shape()[1]);
    let vector = ((at.0 * op.heads + at.1) * keys + j) * queries.div_ceil(LANES) + i / LANES;
    let draw = drops.draws.block(step, vector / 4 * LANES + i % LANES)[vector % 4];
    if draw < drops.threshold { 0.0 } else { f64::from(drops.scale) }
}

/// The definition.
pub fn twin(op: &Attention, x: &[ArrayD<f64>], step: u32) -> ArrayD<f64> {
    let (n, queries) = (x[0].shape()[0], x[op.parts()[0].input].shape()[1]);
    let mut y = ArrayD::zeros(IxDyn(&[n, queries, op.heads * op.value_dim]));
    for at in (0..n).flat_map(|n| (0..op.heads).map(move |h| (n, h))) {
        let values = rows(op.parts()[2], x, at.0, at.1);
        for (i, w) in weights(op, x, step, at)[1].iter().enumerate() {
            for d in 0..op.value_dim {
                y[[at.0, i, at.1 * op.value_dim + d]] = w.iter().zip(&values).map(|(w, v)| w * v[d]).sum();
            }
        }
    }
    y
}

/// Gradients of all inputs by the formulas, without blocks.
fn gradients(op: &Attention, x: &[ArrayD<f64>], dy: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
    let mut dx: Vec<ArrayD<f64>> = x.iter().map(|x| ArrayD::zeros(x.raw_dim())).collect();
    let n = x[0].shape()[0];
    for at in (0..n).flat_map(|n| (0..op.heads).map(move |h| (n, h))) {
        let parts = op.parts();
        let [q, k, v] = parts.map(|p| rows(p, x, at.0, at.1));
        let [before, after] = weights(op, x, 0, at);
        let scale = 1.0 / (op.key_dim as f64).sqrt();
        for i in 0..q.len() {
            let dy: Vec<f64> = (0..op.value_dim).map(|d| dy[[at.0, i, at.1 * op.value_dim + d]]).collect();
            let slopes: Vec<f64> = (0..k.len())
                .map(|j| {
                    let slope: f64 = v[j].iter().zip(&dy).map(|(v, d)| v * d).sum();
                    slope * kept(op, x, 0, at, (i, j))
                })
                .collect();
            let mean: f64 = before[i].iter().zip(&slopes).map(|(w, s)| w * s).sum();
            let [query, value, key] = op.mask_inputs();
            for j in 0..k.len() {
                let mut add = |part: Part, row: usize, d: usize, g: f64| {
                    dx[part.input][[at.0, row, part.first + at.1 * part.width + d]] += g;
                };
                (0..op.value_dim).for_each(|d| add(parts[2], j, d, after[i][j] * dy[d]));
                let on = |input: Option<usize>, i: usize| input.is_none_or(|m| x[m][[at.0, i]] != 0.0);
                if on(query, i) && on(value, j) && on(key, j) && !(op.causal && j > i) {
                    let ds = before[i][j] * (slopes[j] - mean) * scale;
                    (0..op.key_dim).for_each(|d| add(parts[0], i, d, ds * k[j][d]));
                    (0..op.key_dim).for_each(|d| add(parts[1], j, d, ds * q[i][d]));
                }
            }
        }
    }
    dx
}

#[derive(Debug)]
struct Bare(Attention);

impl Layer for Bare {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        g.push(self.0, x)
    }
}

fn op(joined: Joined) -> Attention {
    let (masks, drops) = (Masks::default(), None);
    Attention { heads: 2, key_dim: 3, value_dim: 5, joined, causal: false, masks, drops }
}

fn drops(rate: f64) -> Option<Drops> {
    Some(Drops::new(rate, Draws::new(Stream::new(5, "attention"), None)))
}

/// Output and gradients against the definition, on several threads.
fn check(op: Attention, queries: usize, keys: usize) {
    const BATCH: usize = 2;
    let shapes: Vec<Vec<usize>> = match op.joined {
        Joined::Nothing => {
            vec![vec![queries, 2 * op.key_dim], vec![keys, 2 * op.key_dim], vec![keys, 2 * op.value_dim]]
        }
        Joined::KeysAndValues => {
            vec![vec![queries, 2 * op.key_dim], vec![keys, 2 * (op.key_dim + op.value_dim)]]
        }
        Joined::Everything => vec![vec![queries, 2 * (2 * op.key_dim + op.value_dim)]],
    };
    let stream = Stream::new(1, "x");
    let draw = |len: usize, from: usize| -> Vec<f64> {
        (0..len).map(|i| f64::from(stream.normal(from as u32, i as u64) as f32)).collect()
    };
    let mut inputs: Vec<(Vec<usize>, Vec<f64>)> = shapes
        .into_iter()
        .enumerate()
        .map(|(i, s)| (s.clone(), draw(BATCH * s.iter().product::<usize>(), i)))
        .collect();
    // Of the masks' first steps some are hidden, so that a causal query sees nothing at all.
    let steps = |len: usize, seed: usize| -> Vec<f64> {
        (0..BATCH * len)
            .map(|i| f64::from(u8::from(i % len > seed && !(i * 7 + seed).is_multiple_of(5))))
            .collect()
    };
    for (there, len, seed) in
        [(op.masks.query, queries, 2), (op.masks.value, keys, 1), (op.masks.key, keys, 3)]
    {
        if there {
            inputs.push((vec![len], steps(len, seed)));
        }
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(|(s, _)| &s[..]).collect();
    let case = LayerCase::of(Box::new(Bare(op)), &shapes);
    let cotangent = draw(BATCH * queries * 2 * op.value_dim, 9);
    let refs: Vec<&[f64]> = inputs.iter().map(|(_, x)| &x[..]).collect();
    let run = |threads| case.run_with(&refs, &cotangent, BATCH, BATCH, threads, true, |_, _| None);
    let ours = run(1);
    assert_eq!(run(3), ours, "{op:?} on {shapes:?}: 3 threads and 1 give the same bits");
    let full = |s: &[usize]| [&[BATCH], s].concat();
    let x: Vec<ArrayD<f64>> =
        inputs.iter().map(|(s, x)| ArrayD::from_shape_vec(IxDyn(&full(s)), x.clone()).unwrap()).collect();
    let y = twin(&op, &x, 0);
    let dy = ArrayD::from_shape_vec(y.raw_dim(), cotangent.clone()).unwrap();
    let flat = |a: &ArrayD<f64>| a.iter().copied().collect::<Vec<f64>>();
    all_close(&ours.output, &flat(&y), 1e-5, &format!("{op:?} on {shapes:?}"));
    for (i, expected) in gradients(&op, &x, &dy).iter().enumerate().take(op.sources()) {
        all_close(&ours.input_grads[i], &flat(expected), 1e-5, &format!("{op:?} on {shapes:?}: input {i}"));
    }
}

#[test]
fn the_definition_holds_for_all_lengths() {
    for (queries, keys) in [(1, 1), (1, 70), (16, 16), (17, 15), (64, 64), (65, 129), (130, 63)] {
        for causal in [false, true] {
            check(Attention { causal, ..op(Joined::Nothing) }, queries, keys);
            check(Attention { causal, ..op(Joined::KeysAndValues) }, queries, keys);
            check(Attention { causal, ..op(Joined::Everything) }, queries, queries);
        }
    }
    check(Attention { key_dim: 20, value_dim: 16, ..op(Joined::Everything) }, 33, 33);
}

#[test]
fn masks_and_dropout_hold_for_all_lengths() {
    for (queries, keys) in [(5, 4), (40, 130), (129, 65)] {
        for (query, value, key) in [(true, false, false), (false, true, false), (true, true, true)] {
            for (causal, drops) in [(false, None), (true, None), (true, drops(0.4))] {
                let masks = Masks { query, value, key };
                check(Attention { causal, masks, drops, ..op(Joined::Nothing) }, queries, keys);
            }
        }
        check(Attention { drops: drops(0.1), ..op(Joined::KeysAndValues) }, queries, keys);
    }
}

#[test]
fn the_share_of_weights_that_is_dropped() {
    // Equal scores and values of 1: a sum of kept weights.
    let op = Attention { key_dim: 1, value_dim: 1, drops: drops(0.3), ..op(Joined::KeysAndValues) };
    let (queries, keys) = (100, 200);
    let case = LayerCase::of(Box::new(Bare(op)), &[&[queries, 2], &[keys, 4]]);
    let x: Vec<f64> = (0..keys * 4).map(|i| f64::from(u8::from(i % 4 > 1))).collect();
    let y = case.run(&[&vec![0.0; queries * 2], &x], &vec![0.0; queries * 2], 1).output;
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    // Five standard deviations of a mean of 40000 draws.
    assert!((mean - 1.0).abs() < 5.0 * (0.3f64 / 0.7 / 4e4).sqrt(), "{mean}");
    assert!(y.iter().any(|v| (v - y[0]).abs() > 0.01), "every query has draws of its own");
}

/// Working space grows with the length, not with its square.
#[test]
fn no_more_than_blocks_of_scores_are_there() {
    let space = |length: usize| {
        let op = Attention { heads: 4, key_dim: 32, value_dim: 32, ..op(Joined::Everything) };
        let signature = op.infer(&[&Shape::batch([length, 3 * 4 * 32])]).unwrap();
        assert_eq!(signature.forward_scratch.per_sample + signature.backward_scratch.per_sample, 0);
        signature.forward_scratch.per_thread + signature.backward_scratch.per_thread + signature.notes
    };
    assert!(space(8192) - space(4096) <= 4096 * (32 + 2 * 4), "{} and {}", space(4096), space(8192));
    assert!(space(4096) < 4096 * 4096 / 50, "{}", space(4096));
}
