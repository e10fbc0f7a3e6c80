//! What benches of kernels share: the shortest time of a run, the machine's peak, numbers to work on.

use std::hint::black_box;
use std::time::Instant;

use nntrain::kernels::aligned::Aligned;
use nntrain::kernels::isa::isa;
use nntrain::kernels::peak::multiply_adds;

/// Shortest time of a run, in seconds: over at least five runs and a tenth of a second.
pub fn best(mut f: impl FnMut()) -> f64 {
    let (mut best, mut spent, mut runs) = (f64::INFINITY, 0.0, 0);
    while runs < 5 || spent < 0.1 {
        let start = Instant::now();
        f();
        let time = start.elapsed().as_secs_f64();
        best = best.min(time);
        spent += time;
        runs += 1;
    }
    best
}

/// GFLOP/s of one core's multiply-adds in registers.
pub fn peak() -> f64 {
    const ROUNDS: usize = 1_000_000;
    let mut flops = 0.0;
    let time = best(|| flops = multiply_adds(isa(), black_box(ROUNDS)));
    flops / time / 1e9
}

/// Numbers from -1 to 1, the same for a seed.
pub fn numbers(len: usize, seed: usize) -> Aligned {
    let mut out = Aligned::zeroed(len);
    for (i, out) in out.iter_mut().enumerate() {
        *out = ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0;
    }
    out
}
