//! Norms of gradients, and what clipping multiplies them by.
//!
//! Source: Keras's `clipnorm` and `global_clipnorm`: `g *= c / max(norm, c)`.

use std::ops::Range;

use super::Clip;
use super::optimizer::{ALONE, CHUNK};
use crate::kernels::par::{Pool, for_chunks};

/// Factors for the gradients of each tensor, found anew in every step.
///
/// A tensor's squares are summed in pieces of [`CHUNK`], and the pieces in order: the number of
/// threads does not change the sum.
#[derive(Debug)]
pub(super) struct Clipper {
    clip: Clip,
    tensors: Vec<Range<usize>>,
    /// Pieces of all tensors, tensor after tensor, and the sum of squares of each.
    pieces: Vec<Range<usize>>,
    sums: Vec<f64>,
    /// One factor per tensor.
    factors: Vec<f32>,
}

impl Clipper {
    pub fn new(clip: Clip, tensors: &[Range<usize>]) -> Clipper {
        let pieces: Vec<Range<usize>> = match clip {
            Clip::Value(_) => vec![],
            Clip::Norm(_) | Clip::GlobalNorm(_) => tensors.iter().flat_map(cut).collect(),
        };
        let (sums, factors) = (vec![0.0; pieces.len()], vec![1.0; tensors.len()]);
        Clipper { clip, tensors: tensors.to_vec(), pieces, sums, factors }
    }

    /// Finds the factors for these gradients.
    pub fn measure(&mut self, pool: &Pool, gradients: &[f32]) {
        if matches!(self.clip, Clip::Value(_)) {
            return;
        }
        let pieces = &self.pieces;
        let sum = |piece: usize, sum: &mut [f64]| sum[0] = sum_of_squares(&gradients[pieces[piece].clone()]);
        if gradients.len() <= ALONE {
            self.sums.chunks_mut(1).enumerate().for_each(|(piece, out)| sum(piece, out));
        } else {
            for_chunks(pool, &mut self.sums, 1, sum);
        }
        match self.clip {
            Clip::Norm(limit) => {
                let mut sums = self.sums.iter();
                for (factor, tensor) in self.factors.iter_mut().zip(&self.tensors) {
                    let square: f64 = sums.by_ref().take(tensor.len().div_ceil(CHUNK)).sum();
                    *factor = (limit / square.sqrt().max(limit)) as f32;
                }
            }
            Clip::GlobalNorm(limit) => {
                let norm = self.sums.iter().sum::<f64>().sqrt();
                // As in Keras: a gradient that is not finite makes all of them NaN.
                let factor = if norm.is_finite() { limit / norm.max(limit) } else { f64::NAN };
                self.factors.fill(factor as f32);
            }
            Clip::Value(_) => {}
        }
    }

    /// Clips the gradients that stand at `offset` and after in the block.
    pub fn apply(&self, offset: usize, gradients: &mut [f32]) {
        if let Clip::Value(limit) = self.clip {
            let limit = limit as f32;
            gradients.iter_mut().for_each(|g| *g = g.clamp(-limit, limit));
            return;
        }
        let end = offset + gradients.len();
        let first = self.tensors.partition_point(|tensor| tensor.end <= offset);
        for (tensor, factor) in self.tensors.iter().zip(&self.factors).skip(first) {
            if tensor.start >= end {
                break;
            }
            if *factor != 1.0 {
                let part = tensor.start.max(offset) - offset..tensor.end.min(end) - offset;
                gradients[part].iter_mut().for_each(|g| *g *= factor);
            }
        }
    }
}

fn cut(tensor: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = tensor.end;
    tensor.clone().step_by(CHUNK).map(move |start| start..(start + CHUNK).min(end))
}

/// In `f64`, in eight lanes that are added at the end: the compiler may use vectors for it.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for eight in whole {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*value) * f64::from(*value);
    }
    lanes.iter().sum()
}
