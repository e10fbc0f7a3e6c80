use super::*;
use crate::kernels::gemm::as_is;
use crate::kernels::guarded::{Guarded, Tight};
use crate::kernels::isa::Isa;
use crate::kernels::par::Pool;
use crate::rng::Stream;
use crate::shape::{Padding, Window};

fn geometry(size: [usize; 2], channels: usize, filters: usize, padding: Padding) -> Geometry {
    let window = Window { kernel: 3, stride: 1, dilation: 1, padding };
    Geometry::new(&[window; 2], size, channels, filters, 1)
}

fn winograd(g: &Geometry) -> [Winograd; 2] {
    [Winograd::outputs(g), Winograd::input_gradient(g)]
}

/// Realistic numbers: activations that are at least 0, a Glorot kernel, gradients around 0.
struct Numbers {
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
    bias: Vec<f32>,
}

fn numbers(g: &Geometry, images: usize) -> Numbers {
    let normal = |name: &str, len: usize| -> Vec<f32> {
        let stream = Stream::new(7, name);
        (0..len).map(|i| stream.normal(0, i as u64) as f32).collect()
    };
    let limit = (6.0 / (9 * (g.channels + g.filters)) as f32).sqrt();
    let uniform = Stream::new(7, "kernel");
    Numbers {
        x: normal("x", images * g.image_len()).iter().map(|v| v.max(0.0)).collect(),
        w: (0..g.kernel_len()).map(|i| limit * (2.0 * uniform.uniform(0, i as u64) - 1.0)).collect(),
        dy: normal("dy", images * g.output_len()),
        bias: normal("bias", g.filters),
    }
}

/// Outputs and both gradients by their definition, in f64; the kernel's gradient over all images.
fn twin(g: &Geometry, n: &Numbers) -> [Vec<f64>; 3] {
    let wide = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (x, w, dy) = (wide(&n.x), wide(&n.w), wide(&n.dy));
    let mut y: Vec<f64> = (0..dy.len()).map(|i| f64::from(n.bias[i % g.filters])).collect();
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    let (h, width) = (g.rows.input, g.columns.input);
    for o in 0..dy.len() / g.filters {
        let (image, row, column) = (
            o / (g.rows.output * g.columns.output),
            o / g.columns.output % g.rows.output,
            o % g.columns.output,
        );
        for tap in 0..9 {
            let at = (row + tap / 3).wrapping_sub(g.rows.before);
            let beside = (column + tap % 3).wrapping_sub(g.columns.before);
            if at >= h || beside >= width {
                continue;
            }
            for c in 0..g.channels {
                let i = ((image * h + at) * width + beside) * g.channels + c;
                let k = (tap * g.channels + c) * g.filters;
                for f in 0..g.filters {
                    y[o * g.filters + f] += x[i] * w[k + f];
                    dx[i] += dy[o * g.filters + f] * w[k + f];
                    dw[k + f] += x[i] * dy[o * g.filters + f];
                }
            }
        }
    }
    [y, dx, dw]
}

/// Outputs and both gradients by this module, in buffers that touch guard pages; garbage in the
/// scratch must not matter.
fn by_tiles(g: &Geometry, n: &Numbers, isa: Isa, tight: Tight) -> [Vec<f32>; 3] {
    let kernels = kernels_of(isa);
    let [forward, backward] = winograd(g);
    let holding = |numbers: &[f32]| Guarded::holding(numbers, tight);
    let garbage = |len: usize| holding(&vec![f32::NAN; len]);
    let run = |w: &Winograd, x: &[f32], kernel: &[f32], start: Start<'_>, len: usize| {
        let (mut x, mut kernel, mut u) = (holding(x), holding(kernel), garbage(w.kernel_len()));
        w.transform_kernel_with(&kernels, &Pool::new(2), kernel.part(0), u.part(0));
        let (mut scratch, mut y) = (garbage(w.scratch_len()), garbage(len));
        let out = (y.part(0), scratch.part(0));
        let rows = 0..len / w.output_row();
        w.run_by(isa, (x.part(0), u.part(0)), start, rows, out, &as_is);
        y.part(0).to_vec()
    };
    let mut bias = holding(&n.bias);
    let y = run(&forward, &n.x, &n.w, Start::Bias(bias.part(0)), n.dy.len());
    let mut reversed = vec![0.0; n.w.len()];
    g.reverse_kernel(&Pool::new(1), &n.w, &mut reversed);
    let dx = run(&backward, &n.dy, &reversed, Start::Zero, n.x.len());
    let gradient = WinogradGradient { outputs: forward };
    let (mut x, mut dy) = (holding(&n.x), holding(&n.dy));
    let (mut dw, mut scratch) = (garbage(n.w.len()), garbage(gradient.scratch_len()));
    gradient.run_with(&kernels, (x.part(0), dy.part(0)), dw.part(0), scratch.part(0));
    [y, dx, dw.part(0).to_vec()]
}

/// The same by the direct kernels.
fn directly(g: &Geometry, n: &Numbers) -> [Vec<f32>; 3] {
    let room = g.padded_len().max(g.bordered_len()).max(g.kernel_gradient_scratch());
    let mut scratch = vec![f32::NAN; room];
    let (mut y, mut dx, mut dw) = (vec![0.0; n.dy.len()], vec![0.0; n.x.len()], vec![0.0; n.w.len()]);
    for (x, y) in n.x.chunks(g.image_len()).zip(y.chunks_mut(g.output_len())) {
        g.forward(x, &n.w, Some(&n.bias), 0..g.rows.output, (y, &mut scratch), &as_is);
    }
    let mut reversed = vec![0.0; n.w.len()];
    g.reverse_kernel(&Pool::new(1), &n.w, &mut reversed);
    for (dy, dx) in n.dy.chunks(g.output_len()).zip(dx.chunks_mut(g.image_len())) {
        g.input_gradient(dy, &reversed, (dx, &mut scratch), Start::Zero);
    }
    g.kernel_gradient(&n.x, &n.dy, (0, 9), &mut dw, &mut scratch);
    [y, dx, dw]
}

const PASSES: [&str; 3] = ["outputs", "input gradient", "kernel gradient"];

#[test]
fn awkward_sizes_equal_the_definition_on_every_instruction_set() {
    for (size, channels, filters) in [
        ([3, 3], 16, 16),
        ([4, 5], 32, 16),
        ([5, 8], 16, 48),
        ([11, 7], 16, 16),
        ([3, 18], 48, 32),
        ([1, 2], 16, 16),
    ] {
        for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
            if padding == Padding::Valid && size[0] < 3 {
                continue;
            }
            let g = geometry(size, channels, filters, padding);
            let n = numbers(&g, 3);
            let expected = twin(&g, &n);
            let mut fused: Option<[Vec<f32>; 3]> = None;
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                let found = Tight::BOTH.map(|tight| by_tiles(&g, &n, isa, tight));
                assert_eq!(found[0], found[1], "{g:?}, {isa:?}: where memory lies must not matter");
                let [found, _] = found;
                for ((ours, expected), pass) in found.iter().zip(&expected).zip(PASSES) {
                    for (i, (o, e)) in ours.iter().zip(expected).enumerate() {
                        let off = (f64::from(*o) - e).abs();
                        assert!(off < 1e-4 * (1.0 + e.abs()), "{pass}[{i}] of {g:?}, {isa:?}: {o} for {e}");
                    }
                }
                if isa != Isa::Portable || cfg!(target_arch = "aarch64") {
                    let first = fused.get_or_insert_with(|| found.clone());
                    assert_eq!(*first, found, "{isa:?} gives other bits for {g:?}");
                }
            }
        }
    }
}

/// What is stored begins with what is there, and every row is finished once, however rows are cut.
#[test]
fn parts_of_an_image_have_the_bits_of_the_whole() {
    for size in [[8, 8], [7, 9]] {
        let g = geometry(size, 16, 32, Padding::Same);
        let n = numbers(&g, 2);
        let [w, _] = winograd(&g);
        let mut u = vec![0.0; w.kernel_len()];
        w.transform_kernel(&Pool::new(1), &n.w, &mut u);
        let mut scratch = vec![f32::NAN; w.scratch_len()];
        let mut whole = vec![f32::NAN; n.dy.len()];
        w.run(&n.x, &u, Start::Bias(&n.bias), 0..2 * size[0], (&mut whole, &mut scratch), &as_is);
        for rows in 1..2 * size[0] {
            let mut parts = vec![f32::NAN; n.dy.len()];
            for (i, y) in parts.chunks_mut(rows * g.output_row()).enumerate() {
                let outputs = i * rows..i * rows + y.len() / g.output_row();
                let start = Start::Bias(&n.bias);
                w.run(&n.x, &u, start, outputs, (y, &mut scratch), &|row| {
                    row.iter_mut().for_each(|v| *v += 1.0)
                });
            }
            assert!(parts.iter().zip(&whole).all(|(p, w)| *p == w + 1.0), "parts of {rows} rows of {size:?}");
        }
        let mut twice = whole.clone();
        w.run(&n.x, &u, Start::Add, 0..2 * size[0], (&mut twice, &mut scratch), &as_is);
        let bias = |i: usize| n.bias[i % g.filters];
        assert!(twice.iter().enumerate().all(|(i, t)| (t - 2.0 * whole[i] + bias(i)).abs() < 1e-4));
    }
}

/// The largest error, and the root of the mean square, of ours and of the direct kernels.
#[test]
fn errors_stay_within_four_times_the_direct_kernels() {
    for (size, channels, filters) in
        [([16, 16], 16, 16), ([16, 16], 32, 32), ([8, 8], 64, 64), ([11, 11], 32, 64)]
    {
        let g = geometry(size, channels, filters, Padding::Same);
        let n = numbers(&g, 4);
        let expected = twin(&g, &n);
        let (ours, direct) = (by_tiles(&g, &n, isa(), Tight::After), directly(&g, &n));
        for (pass, name) in PASSES.iter().enumerate() {
            let errors = |found: &[f32]| {
                let each = found.iter().zip(&expected[pass]).map(|(f, e)| (f64::from(*f) - e).abs());
                let (largest, squares) = each.fold((0.0f64, 0.0), |(m, s), e| (m.max(e), s + e * e));
                [largest, (squares / found.len() as f64).sqrt()]
            };
            let (ours, direct) = (errors(&ours[pass]), errors(&direct[pass]));
            println!(
                "{size:?} {channels}-{filters} {name}: {:.2} {:.2}",
                ours[0] / direct[0],
                ours[1] / direct[1]
            );
            for (ours, direct) in ours.into_iter().zip(direct) {
                assert!(ours <= 4.0 * direct, "{name} of {g:?} is off by {ours:e}, directly by {direct:e}");
            }
        }
    }
}

/// Which sizes go by tiles: outputs, input gradient.
fn by_tiles_are(g: &Geometry) -> [bool; 2] {
    [Winograd::of_outputs(g).is_some(), Winograd::of_input_gradient(g).is_some()]
}

#[test]
fn only_where_it_is_faster() {
    let same = |size: usize, channels, filters| geometry([size; 2], channels, filters, Padding::Same);
    for (size, channels) in [(32, 16), (16, 32), (8, 64), (7, 64), (32, 64), (8, 256), (4, 256)] {
        assert_eq!(by_tiles_are(&same(size, channels, channels)), [true; 2], "{size} {channels}");
        assert!(WinogradGradient::new(&same(size, channels, channels)).is_some(), "{size} {channels}");
    }
    // Tiles half empty, parts of vectors, kernels that no cache holds.
    for g in [same(5, 64, 64), same(6, 64, 64), same(10, 16, 16), same(32, 3, 16), same(4, 512, 512)] {
        assert_eq!(by_tiles_are(&g), [false; 2], "{g:?}");
        assert!(WinogradGradient::new(&g).is_none(), "{g:?}");
    }
    // Without padding there are fewer outputs than inputs.
    assert_eq!(by_tiles_are(&geometry([13, 13], 32, 64, Padding::Valid)), [true, false]);
    let window = Window { kernel: 3, stride: 1, dilation: 1, padding: Padding::Same };
    for other in
        [Window { stride: 2, ..window }, Window { dilation: 2, ..window }, Window { kernel: 5, ..window }]
    {
        assert_eq!(
            by_tiles_are(&Geometry::new(&[other, window], [16, 16], 32, 32, 1)),
            [false; 2],
            "{other:?}"
        );
    }
    assert_eq!(by_tiles_are(&Geometry::new(&[window; 2], [16, 16], 32, 32, 2)), [false; 2]);
}
