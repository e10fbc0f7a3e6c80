//! Matrix products: time, GFLOP/s and share of the machine's fused multiply-add peak, for the shapes of dense,
//! recurrent and attention layers.
//!
//! `cargo bench --bench products [-- [--threads N] [PART_OF_A_NAME ...]]`. Variants: 0 the definition's loops, 1 register
//! tiles on one thread, 2 the same on all threads, against the peak of as many. Each is first compared with the
//! definition in f64.

mod measure;

use nntrain::kernels::aligned::Aligned;
use nntrain::kernels::gemm::{Product, Start, as_is};
use nntrain::kernels::isa::isa;
use nntrain::kernels::par::Pool;

use measure::{best, numbers, peak};

/// Name, rows and columns of C, and what is summed over.
const SHAPES: &[(&str, [usize; 3])] = &[
    ("mlp hidden", [32, 128, 784]),
    ("mlp output", [32, 10, 128]),
    ("cnn dense", [32, 64, 1600]),
    ("lstm state", [64, 512, 128]),
    ("lstm inputs", [1792, 512, 28]),
    ("vit projection", [2176, 64, 64]),
    ("vit feed forward", [2176, 256, 64]),
    ("square 512", [512, 512, 512]),
];

/// The same with A transposed: gradients of kernels.
const TRANSPOSED: &[(&str, [usize; 3])] =
    &[("mlp hidden dW", [784, 128, 32]), ("vit feed forward dW", [64, 256, 2176])];

/// `C = A B` by its definition.
fn definition(p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
    c.fill(0.0);
    for (i, c) in c.chunks_exact_mut(p.n).enumerate() {
        for k in 0..p.k {
            let a = a[i * p.a_row + k * p.a_k];
            for (c, b) in c.iter_mut().zip(&b[k * p.b_k..]) {
                *c += a * b;
            }
        }
    }
}

/// The largest difference from the sums in f64 is at most 1e-4 of the largest sum.
fn check(name: &str, p: &Product, (a, b): (&[f32], &[f32]), c: &[f32]) {
    let at = |i: usize, j: usize| -> f64 {
        (0..p.k).map(|k| f64::from(a[i * p.a_row + k * p.a_k]) * f64::from(b[k * p.b_k + j])).sum()
    };
    let (mut largest, mut off) = (0.0f64, 0.0f64);
    for i in 0..p.m {
        for j in 0..p.n {
            let expected = at(i, j);
            largest = largest.max(expected.abs());
            off = off.max((f64::from(c[i * p.n + j]) - expected).abs());
        }
    }
    assert!(off <= 1e-4 * largest, "{name} is off by {off:e} of {largest}");
}

fn product(name: &str, p: &Product, pool: &Pool, peak: f64) {
    let (a, b) = (numbers(p.m * p.k, 1), numbers(p.k * p.n, 2));
    let mut c = Aligned::zeroed(p.m * p.n);
    let flops = 2.0 * (p.m * p.n * p.k) as f64;
    let mut variant = |number: usize, threads: usize, run: &mut dyn FnMut(&mut [f32])| {
        c.fill(f32::NAN);
        run(&mut c);
        check(name, p, (&a, &b), &c);
        let time = best(|| run(&mut c));
        let (rate, peak) = (flops / time / 1e9, peak * threads as f64);
        let size = format!("{}x{}x{}", p.m, p.n, p.k);
        println!(
            "{name:20} {size:14} {number} {:9.1} us {rate:8.1} GFLOP/s {:6.1} %",
            time * 1e6,
            100.0 * rate / peak
        );
    };
    variant(0, 1, &mut |c| definition(p, &a, &b, c));
    variant(1, 1, &mut |c| p.run(&a, &b, c, Start::Zero));
    variant(2, pool.threads(), &mut |c| p.run_on(pool, &a, &b, c, Start::Zero, &as_is));
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut threads, mut wanted) = (std::thread::available_parallelism().map_or(1, |n| n.get()), vec![]);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--threads" => {
                let number = arguments.next().and_then(|n| n.parse().ok());
                threads = number.expect("--threads takes a number");
            }
            _ => wanted.push(argument),
        }
    }
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
    let (peak, pool) = (peak(), Pool::new(threads));
    println!("{}, multiply-add peak {peak:.1} GFLOP/s on one core, {threads} threads", isa().name());
    for (name, [m, n, k]) in SHAPES.iter().filter(|(name, _)| runs(name)) {
        product(name, &Product::dense(*m, *n, *k), &pool, peak);
    }
    for (name, [m, n, k]) in TRANSPOSED.iter().filter(|(name, _)| runs(name)) {
        product(name, &Product::transposed_a(*m, *n, *k), &pool, peak);
    }
}
