//! The definition in f64, one sample and one number at a time.

use ndarray::{ArrayD, IxDyn};

use super::{Cell, Recurrent};

/// `carried`: the state to begin with and an LSTM's cell behind it; or nothing, to begin with zeros.
pub fn run(op: &Recurrent, x: &[ArrayD<f64>], carried: &[f64]) -> Vec<ArrayD<f64>> {
    let (steps, u, width) = (op.steps, op.units, op.width());
    let n = x[0].shape()[0];
    let [bias, mask, factors] = op.positions();
    let bias = |row: usize, j: usize| bias.map_or(0.0, |i| x[i][[row, j]]);
    let act = |v: f64| op.activation.twin(v);
    let rec = |v: f64| op.recurrent_activation.twin(v);
    let (mut states, mut ends) = (vec![], [vec![], vec![]]);
    for sample in 0..n {
        let begin = |state: usize| {
            let given = op.begins().nth(state).map(|i| (0..u).map(|j| x[i][[sample, j]]).collect());
            let carried = (0..u).map(|j| carried.get(state * u + j).copied().unwrap_or(0.0));
            given.unwrap_or_else(|| carried.collect())
        };
        let (mut h, mut c): (Vec<f64>, Vec<f64>) = (begin(0), begin(1));
        for t in 0..steps {
            let z = |j: usize| x[0][[sample, t, j]];
            let factor = |j: usize| factors.map_or(1.0, |i| x[i][[sample, j]]);
            let read = |j: usize, k: usize, h: &[f64]| h[k] * factor(j / u * u + k);
            let product = |j: usize, h: &[f64]| (0..u).map(|k| read(j, k, h) * x[1][[k, j]]).sum::<f64>();
            let gate = |g: usize, j: usize| g * u + j;
            let counts = mask.is_none_or(|i| x[i][[sample, t]] != 0.0);
            if counts {
                let before = h.clone();
                // The sum of a gate in which nothing else has a part.
                let sum = |g: usize, j: usize| {
                    let column = gate(g, j);
                    z(column) + bias(0, column) + bias(1, column) + product(column, &before)
                };
                let reset: Vec<f64> = match op.cell {
                    Cell::Gru { .. } => (0..u).map(|j| rec(sum(1, j))).collect(),
                    _ => vec![],
                };
                for j in 0..u {
                    match op.cell {
                        Cell::Simple => h[j] = act(sum(0, j)),
                        Cell::Lstm => {
                            c[j] = rec(sum(1, j)) * c[j] + rec(sum(0, j)) * act(sum(2, j));
                            h[j] = rec(sum(3, j)) * act(c[j]);
                        }
                        Cell::Gru { reset_after } => {
                            let column = gate(2, j);
                            let inner = if reset_after {
                                reset[j] * (product(column, &before) + bias(1, column))
                            } else {
                                let shown: Vec<f64> = before.iter().zip(&reset).map(|(h, r)| h * r).collect();
                                product(column, &shown)
                            };
                            let candidate = act(z(column) + bias(0, column) + inner);
                            let update = rec(sum(0, j));
                            h[j] = update * before[j] + (1.0 - update) * candidate;
                        }
                    }
                }
            }
            if op.sequences || t + 1 == steps {
                states.extend(&h);
            }
        }
        ends[0].extend(h);
        ends[1].extend(c);
    }
    let shape = if op.sequences { vec![n, steps, u] } else { vec![n, u] };
    assert_eq!(width, op.cell.gates() * u);
    let array = |shape: &[usize], numbers| ArrayD::from_shape_vec(IxDyn(shape), numbers).unwrap();
    let ends = ends.into_iter().take(op.begins().len()).map(|end| array(&[n, u], end));
    std::iter::once(array(&shape, states)).chain(ends).collect()
}
