//! Products in bfloat16 against f32, on ResNet-20's convolutions, one thread: `cargo bench --bench bf16`.

use std::time::{Duration, Instant};

use nntrain::kernels::bf16::{self, Pair, as_pairs, conv::Convolution};
use nntrain::kernels::conv::Geometry;
use nntrain::kernels::gemm::Start;
use nntrain::kernels::par::Pool;
use nntrain::shape::{Padding, Window};

/// Images of one run: a shard of a batch of 128.
const IMAGES: usize = 8;

/// Runs of each kind; the best counts.
const ROUNDS: usize = 15;

struct Case {
    name: &'static str,
    kernel: usize,
    stride: usize,
    size: usize,
    channels: usize,
    filters: usize,
}

const CASES: [Case; 8] = [
    Case { name: "stem      32x32   3 -> 16", kernel: 3, stride: 1, size: 32, channels: 3, filters: 16 },
    Case { name: "stage 0   32x32  16 -> 16", kernel: 3, stride: 1, size: 32, channels: 16, filters: 16 },
    Case { name: "stride 2  32x32  16 -> 32", kernel: 3, stride: 2, size: 32, channels: 16, filters: 32 },
    Case { name: "1x1 by 2  32x32  16 -> 32", kernel: 1, stride: 2, size: 32, channels: 16, filters: 32 },
    Case { name: "stage 1   16x16  32 -> 32", kernel: 3, stride: 1, size: 16, channels: 32, filters: 32 },
    Case { name: "stride 2  16x16  32 -> 64", kernel: 3, stride: 2, size: 16, channels: 32, filters: 64 },
    Case { name: "1x1 by 2  16x16  32 -> 64", kernel: 1, stride: 2, size: 16, channels: 32, filters: 64 },
    Case { name: "stage 2     8x8  64 -> 64", kernel: 3, stride: 1, size: 8, channels: 64, filters: 64 },
];

fn main() {
    if let Some(lacking) = bf16::lacking() {
        println!("no bfloat16 here: {lacking}");
        return;
    }
    println!("GFLOP/s of one thread, f32 and bf16, and their ratio\n");
    println!("{:28}{:>24}{:>24}{:>24}", "3x3 convolution", "forward", "input gradient", "kernel gradient");
    for case in &CASES {
        let window = Window { kernel: case.kernel, stride: case.stride, dilation: 1, padding: Padding::Same };
        let g = Geometry::new(&[window; 2], [case.size; 2], case.channels, case.filters, 1);
        let flops = 2.0 * (g.work() * IMAGES) as f64;
        let rate = |time: Duration| flops / time.as_secs_f64() / 1e9;
        let cells = measure(&g).map(|(single, half)| {
            format!("{:5.0} {:5.0} {:5.2} x", rate(single), rate(half), rate(half) / rate(single))
        });
        println!("{:28}{:>24}{:>24}{:>24}", case.name, cells[0], cells[1], cells[2]);
    }
}

fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Best time of each, run in turn.
fn race(mut a: impl FnMut(), mut b: impl FnMut()) -> (Duration, Duration) {
    let timed = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed()
    };
    (0..ROUNDS).fold((Duration::MAX, Duration::MAX), |(best_a, best_b), _| {
        (best_a.min(timed(&mut a)), best_b.min(timed(&mut b)))
    })
}

/// Times of the three passes in f32 and bf16.
fn measure(g: &Geometry) -> [(Duration, Duration); 3] {
    let half = Convolution::new(g);
    let pool = Pool::new(1);
    let (image, output) = (g.image_len(), g.output_len());
    let (x, dy) = (numbers(IMAGES * image, 1), numbers(IMAGES * output, 2));
    let kernel = numbers(g.kernel_len(), 3);
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; kernel.len()]);
    let (mut y2, mut dx2, mut dw2) = (y.clone(), dx.clone(), dw.clone());
    let mut scratch =
        vec![0.0; g.padded_len().max(g.input_gradient_scratch()).max(g.kernel_gradient_scratch())];
    let room = half.forward_scratch().max(half.input_gradient_scratch()).max(half.kernel_gradient_scratch());
    let mut half_scratch = vec![0.0; room];
    let mut reversed = vec![0.0; kernel.len()];
    let (mut packed, mut half_reversed) =
        (vec![Pair::default(); half.packed_len()], vec![Pair::default(); half.reversed_len()]);

    let forward = race(
        || {
            for (x, y) in x.chunks(image).zip(y.chunks_mut(output)) {
                g.forward(x, &kernel, None, 0..g.rows.output, (y, &mut scratch), &|_| {});
            }
        },
        || {
            half.pack_kernel(&pool, &kernel, &mut packed);
            for (x, y) in x.chunks(image).zip(y2.chunks_mut(output)) {
                let out = (y, as_pairs(&mut half_scratch));
                half.forward(x, &packed, None, 0..g.rows.output, out, &mut |_| {});
            }
        },
    );
    let input = race(
        || {
            g.reverse_kernel(&pool, &kernel, &mut reversed);
            for (dy, dx) in dy.chunks(output).zip(dx.chunks_mut(image)) {
                g.input_gradient(dy, &reversed, (dx, &mut scratch), Start::Zero);
            }
        },
        || {
            half.reverse_kernel(&pool, &kernel, &mut half_reversed);
            for (dy, dx) in dy.chunks(output).zip(dx2.chunks_mut(image)) {
                let out = (dx, as_pairs(&mut half_scratch));
                half.input_gradient(dy, &half_reversed, out, Start::Zero, &mut |_| {});
            }
        },
    );
    let weights = race(
        || g.kernel_gradient(&x, &dy, (0, g.taps()), &mut dw, &mut scratch),
        || {
            let chunks = x.chunks(half.chunk() * image).zip(dy.chunks(half.chunk() * output));
            for (i, (x, dy)) in chunks.enumerate() {
                let start = if i == 0 { Start::Zero } else { Start::Add };
                half.kernel_gradient(x, dy, (0, &mut dw2), start, as_pairs(&mut half_scratch));
            }
        },
    );
    for (what, single, half) in [("y", &y, &y2), ("dx", &dx, &dx2), ("dw", &dw, &dw2)] {
        let norm = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let difference: Vec<f32> = single.iter().zip(half).map(|(a, b)| a - b).collect();
        assert!(norm(&difference) < 0.01 * norm(single), "{what} of {g:?}");
    }
    [forward, input, weights]
}
