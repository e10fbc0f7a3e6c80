//! Convolution kernels on one thread: time, GFLOP/s and share of the machine's fused multiply-add
//! peak, for every shape and pass.
//!
//! `cargo bench --bench conv [-- PART_OF_A_NAME ...]`. Each kernel is first compared with its
//! definition in f64 on one image. GFLOP/s count the definition's multiplications that meet no
//! border, so an algorithm that needs fewer of them can exceed the peak. Variants: 1 directly, 2 by tiles
//! (`kernels/winograd`), where the library takes that way.

mod measure;

use nntrain::kernels::aligned::Aligned;
use nntrain::kernels::conv::Geometry;
use nntrain::kernels::depthwise;
use nntrain::kernels::gemm::{Start, as_is};
use nntrain::kernels::isa::isa;
use nntrain::kernels::par::Pool;
use nntrain::kernels::winograd::{Winograd, WinogradGradient};
use nntrain::shape::{Padding, Window};

use measure::{best, numbers, peak};

struct Shape {
    name: &'static str,
    images: usize,
    size: usize,
    channels: usize,
    filters: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
}

const fn shape(
    name: &'static str,
    size: usize,
    (channels, filters): (usize, usize),
    (kernel, stride): (usize, usize),
    padding: Padding,
) -> Shape {
    Shape { name, images: 128, size, channels, filters, kernel, stride, padding }
}

const SHAPES: &[Shape] = &[
    shape("resnet stem", 32, (3, 16), (3, 1), Padding::Same),
    shape("resnet 16", 32, (16, 16), (3, 1), Padding::Same),
    shape("resnet 16-32 /2", 32, (16, 32), (3, 2), Padding::Same),
    shape("resnet 32", 16, (32, 32), (3, 1), Padding::Same),
    shape("resnet 32-64 /2", 16, (32, 64), (3, 2), Padding::Same),
    shape("resnet 64", 8, (64, 64), (3, 1), Padding::Same),
    shape("shortcut 16-32 /2", 32, (16, 32), (1, 2), Padding::Same),
    shape("shortcut 32-64 /2", 16, (32, 64), (1, 2), Padding::Same),
    shape("pointwise 64", 8, (64, 64), (1, 1), Padding::Same),
    shape("mnist first", 28, (1, 32), (3, 1), Padding::Valid),
    shape("mnist second", 13, (32, 64), (3, 1), Padding::Valid),
    shape("one channel 5x5", 28, (1, 16), (5, 1), Padding::Same),
    shape("width 11", 11, (32, 32), (3, 1), Padding::Same),
    shape("width 7", 7, (64, 64), (3, 1), Padding::Same),
    shape("width 5", 5, (64, 128), (3, 1), Padding::Valid),
    shape("vgg 64", 32, (64, 64), (3, 1), Padding::Same),
    shape("width 4", 4, (64, 64), (3, 1), Padding::Same),
    shape("width 5 same", 5, (64, 64), (3, 1), Padding::Same),
    shape("width 6", 6, (64, 64), (3, 1), Padding::Same),
    shape("width 9", 9, (32, 32), (3, 1), Padding::Same),
    shape("width 10", 10, (16, 16), (3, 1), Padding::Same),
    shape("width 14", 14, (16, 32), (3, 1), Padding::Same),
    shape("deep 256", 8, (256, 256), (3, 1), Padding::Same),
    shape("deep 4x4 256", 4, (256, 256), (3, 1), Padding::Same),
    shape("deep 512", 4, (512, 512), (3, 1), Padding::Same),
    shape("wide 128", 16, (128, 128), (3, 1), Padding::Same),
    // Of transposed convolutions: the forward pass is the gradient of these images.
    shape("up 64-32 2x2", 32, (32, 64), (2, 2), Padding::Valid),
    shape("up 128-64 2x2", 16, (64, 128), (2, 2), Padding::Valid),
    shape("up 128-64 4x4", 14, (64, 128), (4, 2), Padding::Same),
    shape("up 64-32 4x4", 28, (32, 64), (4, 2), Padding::Same),
    shape("up 64-3 4x4", 32, (3, 64), (4, 2), Padding::Same),
    shape("up 64-1 5x5", 28, (1, 64), (5, 2), Padding::Same),
];

const DEPTHWISE: &[Shape] = &[
    shape("depthwise 32", 32, (32, 32), (3, 1), Padding::Same),
    shape("depthwise 64 /2", 16, (64, 64), (3, 2), Padding::Same),
];

/// Largest difference from the definition's numbers, of which the largest is at most 1e-4 as much.
fn check(what: &str, ours: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0f64, |m, e| m.max(e.abs()));
    let off = ours.iter().zip(expected).fold(0.0f64, |m, (o, e)| m.max((f64::from(*o) - e).abs()));
    assert!(off <= 1e-4 * largest, "{what} is off by {off:e} of {largest}");
}

/// Positions of all numbers that are multiplied, `(input, kernel, output)`, for channel 0 and filter 0.
fn products(windows: Window, size: usize) -> Vec<(usize, usize, usize)> {
    let (before, output) = (windows.pads(size).0, windows.output(size));
    let at = |o: usize, tap: usize| (o * windows.stride + tap).checked_sub(before).filter(|i| *i < size);
    let mut all = vec![];
    for o in 0..output * output {
        for tap in 0..windows.kernel * windows.kernel {
            let (row, column) = (at(o / output, tap / windows.kernel), at(o % output, tap % windows.kernel));
            if let (Some(row), Some(column)) = (row, column) {
                all.push((row * size + column, tap, o));
            }
        }
    }
    all
}

fn report(name: &str, pass: &str, flops: f64, seconds: f64, peak: f64) {
    let rate = flops / seconds / 1e9;
    println!("{name:20} {pass:17} {:9.3} ms {rate:8.1} GFLOP/s {:6.1} %", seconds * 1e3, 100.0 * rate / peak);
}

fn window(s: &Shape) -> Window {
    Window { kernel: s.kernel, stride: s.stride, dilation: 1, padding: s.padding }
}

fn convolution(s: &Shape, peak: f64) {
    let g = Geometry::new(&[window(s); 2], [s.size; 2], s.channels, s.filters, 1);
    let (image, output) = (g.image_len(), g.output_len());
    let (x, w, dy) =
        (numbers(s.images * image, 1), numbers(g.kernel_len(), 2), numbers(s.images * output, 3));
    let bias = numbers(s.filters, 4);
    let (mut y, mut dx) = (Aligned::zeroed(dy.len()), Aligned::zeroed(x.len()));
    let (mut dw, mut reversed) = (Aligned::zeroed(w.len()), Aligned::zeroed(w.len()));
    let mut scratch =
        Aligned::zeroed(g.padded_len().max(g.input_gradient_scratch()).max(g.kernel_gradient_scratch()));
    let forward = |x: &[f32], y: &mut [f32], scratch: &mut [f32]| {
        g.forward(x, &w, Some(&bias), 0..g.rows.output, (y, scratch), &as_is);
    };

    let pairs = products(window(s), s.size);
    let mut expected_y: Vec<f64> = (0..output).map(|i| f64::from(bias[i % s.filters])).collect();
    let (mut expected_dx, mut expected_dw) = (vec![0.0; image], vec![0.0; w.len()]);
    for &(i, k, o) in &pairs {
        for c in 0..s.channels {
            for f in 0..s.filters {
                let (i, o) = (i * s.channels + c, o * s.filters + f);
                let k = (k * s.channels + c) * s.filters + f;
                expected_y[o] += f64::from(x[i]) * f64::from(w[k]);
                expected_dx[i] += f64::from(dy[o]) * f64::from(w[k]);
                expected_dw[k] += f64::from(x[i]) * f64::from(dy[o]);
            }
        }
    }
    g.reverse_kernel(&Pool::new(1), &w, &mut reversed);
    forward(&x[..image], &mut y[..output], &mut scratch);
    check(s.name, &y[..output], &expected_y);
    g.input_gradient(&dy[..output], &reversed, (&mut dx[..image], &mut scratch), Start::Zero);
    check(s.name, &dx[..image], &expected_dx);
    g.kernel_gradient(&x[..image], &dy[..output], (0, g.taps()), &mut dw, &mut scratch);
    check(s.name, &dw, &expected_dw);

    let flops = 2.0 * (s.images * pairs.len() * s.channels * s.filters) as f64;
    let time = best(|| {
        for (x, y) in x.chunks(image).zip(y.chunks_mut(output)) {
            forward(x, y, &mut scratch);
        }
    });
    report(s.name, "1 forward", flops, time, peak);
    let time = best(|| {
        g.reverse_kernel(&Pool::new(1), &w, &mut reversed);
        for (dy, dx) in dy.chunks(output).zip(dx.chunks_mut(image)) {
            g.input_gradient(dy, &reversed, (dx, &mut scratch), Start::Zero);
        }
    });
    report(s.name, "1 input gradient", flops, time, peak);
    // As in a step: sixteen shards of images.
    let (x_shard, dy_shard) = (x.len() / 16, dy.len() / 16);
    let time = best(|| {
        for (x, dy) in x.chunks(x_shard).zip(dy.chunks(dy_shard)) {
            g.kernel_gradient(x, dy, (0, g.taps()), &mut dw, &mut scratch);
        }
    });
    report(s.name, "1 kernel gradient", flops, time, peak);
    let forward = Case { images: &x, kernel: &w, start: Start::Bias(&bias), expected: &expected_y };
    let backward = Case { images: &dy, kernel: &reversed, start: Start::Zero, expected: &expected_dx };
    winograd(s, "2 forward", Winograd::of_outputs(&g), &forward, flops, peak);
    winograd(s, "2 input gradient", Winograd::of_input_gradient(&g), &backward, flops, peak);
    let Some(by) = WinogradGradient::new(&g) else { return };
    let mut scratch = Aligned::zeroed(by.scratch_len());
    by.run(&x[..image], &dy[..output], &mut dw, &mut scratch);
    check(s.name, &dw, &expected_dw);
    let time = best(|| {
        for (x, dy) in x.chunks(x_shard).zip(dy.chunks(dy_shard)) {
            by.run(x, dy, &mut dw, &mut scratch);
        }
    });
    report(s.name, "2 kernel gradient", flops, time, peak);
}

/// What a convolution by tiles gets, and the first image's outputs.
struct Case<'a> {
    images: &'a [f32],
    kernel: &'a [f32],
    start: Start<'a>,
    expected: &'a [f64],
}

fn winograd(s: &Shape, pass: &str, w: Option<Winograd>, case: &Case<'_>, flops: f64, peak: f64) {
    let Some(w) = w else { return };
    let (image, output) = (case.images.len() / s.images, case.expected.len());
    let rows = output / w.output_row();
    let (mut u, mut scratch) = (Aligned::zeroed(w.kernel_len()), Aligned::zeroed(w.scratch_len()));
    let mut y = Aligned::zeroed(s.images * output);
    let pool = Pool::new(1);
    w.transform_kernel(&pool, case.kernel, &mut u);
    w.run(&case.images[..image], &u, case.start, 0..rows, (&mut y[..output], &mut scratch), &as_is);
    check(s.name, &y[..output], case.expected);
    let time = best(|| {
        w.transform_kernel(&pool, case.kernel, &mut u);
        // As in a step of two threads.
        let images = w.images_per_task(s.images, 2);
        for (x, y) in case.images.chunks(images * image).zip(y.chunks_mut(images * output)) {
            w.run(x, &u, case.start, 0..y.len() / w.output_row(), (y, &mut scratch), &as_is);
        }
    });
    report(s.name, pass, flops, time, peak);
}

fn depthwise(s: &Shape, peak: f64) {
    let [rows, columns] = [0, 1].map(|_| nntrain::kernels::axis::Axis::new(&window(s), s.size));
    let g = depthwise::Geometry { rows, columns, inputs: s.channels, multiplier: 1 };
    let (image, output) = (g.image_len(), g.output_len());
    let (x, w, dy) =
        (numbers(s.images * image, 1), numbers(g.kernel_len(), 2), numbers(s.images * output, 3));
    let (mut y, mut dx) = (Aligned::zeroed(dy.len()), Aligned::zeroed(x.len()));
    let (mut dw, mut reversed) = (Aligned::zeroed(w.len()), Aligned::zeroed(w.len()));
    let mut scratch = Aligned::zeroed(g.padded_len().max(g.gradient_scratch()));
    let pairs = products(window(s), s.size);
    let mut expected_y = vec![0.0; output];
    for &(i, k, o) in &pairs {
        for c in 0..s.channels {
            let (x, w) = (x[i * s.channels + c], w[k * s.channels + c]);
            expected_y[o * s.channels + c] += f64::from(x) * f64::from(w);
        }
    }
    g.forward(&x[..image], &w, &[], 0..g.rows.output, (&mut y[..output], &mut scratch));
    check(s.name, &y[..output], &expected_y);

    let flops = 2.0 * (s.images * pairs.len() * s.channels) as f64;
    let time = best(|| {
        for (x, y) in x.chunks(image).zip(y.chunks_mut(output)) {
            g.forward(x, &w, &[], 0..g.rows.output, (y, &mut scratch));
        }
    });
    report(s.name, "1 forward", flops, time, peak);
    g.reverse_kernel(&w, &mut reversed);
    let time = best(|| {
        for (dy, dx) in dy.chunks(output).zip(dx.chunks_mut(image)) {
            g.input_gradient(dy, &reversed, dx, false, &mut scratch);
        }
    });
    report(s.name, "1 input gradient", flops, time, peak);
    let time = best(|| {
        for (i, (x, dy)) in x.chunks(image).zip(dy.chunks(output)).enumerate() {
            let x = g.padded(x, 0..g.rows.output, &mut scratch);
            g.kernel_gradient(x, dy, &mut dw, i > 0);
        }
    });
    report(s.name, "1 kernel gradient", flops, time, peak);
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let runs = |s: &&Shape| wanted.is_empty() || wanted.iter().any(|w| s.name.contains(w.as_str()));
    let peak = peak();
    println!("{}, multiply-add peak {peak:.1} GFLOP/s on one core", isa().name());
    SHAPES.iter().filter(runs).for_each(|s| convolution(s, peak));
    DEPTHWISE.iter().filter(runs).for_each(|s| depthwise(s, peak));
}
