//! How the samples of a batch are shared out among threads.

use std::ops::Range;

use crate::graph::Mismatch;
use crate::kernels::par::{Pool, for_chunks};
use crate::shape::Shape;

/// Numbers per task; a smaller batch is done by the caller alone.
const PIECE: usize = 1 << 14;

/// Runs `f(samples, their part of out)`; `size` is the sample's share of the work in numbers, of
/// which `per_sample` lie in `out`. Each sample is done by one task, so sums have one order.
pub fn for_samples(
    pool: &Pool,
    size: usize,
    per_sample: usize,
    out: &mut [f32],
    f: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let samples = (PIECE / size).max(1);
    for_chunks(pool, out, samples * per_sample, |c, piece| {
        let from = c * samples;
        f(from..from + piece.len() / per_sample, piece);
    });
}

/// The numbers that belong to some samples.
pub fn numbers(samples: &Range<usize>, size: usize) -> Range<usize> {
    samples.start * size..samples.end * size
}

/// Checks what all losses ask of their inputs' shapes.
pub fn check_batched(name: &str, output: &Shape, weight: &Shape) -> Result<(), Mismatch> {
    if !output.batched || output.size() == 0 {
        return Err(Mismatch::new(format!("`{name}` needs an output for each sample, got {output}")));
    }
    if !weight.batched || weight.size() != 1 {
        return Err(Mismatch::new(format!("`{name}` needs one weight per sample, got {weight}")));
    }
    Ok(())
}
