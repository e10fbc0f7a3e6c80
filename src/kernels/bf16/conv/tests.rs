use super::*;
use crate::kernels::bf16::{Pair, as_pairs};
use crate::kernels::gemm::Start;
use crate::kernels::number::{Bf16, Number};
use crate::shape::{Padding, Window};

fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// The nearest bfloat16.
fn rounded(x: f32) -> f64 {
    f64::from(Bf16::nearest(x).get())
}

/// A sum in f64, and the sum of sizes, which bounds what rounding makes of it.
#[derive(Clone, Copy, Default)]
struct Sum(f64, f64);

impl Sum {
    fn add(&mut self, x: f32, y: f32) {
        let product = rounded(x) * rounded(y);
        *self = Sum(self.0 + product, self.1 + product.abs());
    }
}

fn close(ours: &[f32], expected: &[Sum], what: &str) {
    for (i, (o, Sum(e, size))) in ours.iter().zip(expected).enumerate() {
        assert!((f64::from(*o) - e).abs() <= 1e-5 * size, "{what} [{i}]: {o} for {e}");
    }
}

/// Calls `f(input, kernel, output)` with the positions of all numbers that are multiplied.
fn for_products(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let position = |axis: &Axis, o: usize, tap: usize| {
        (o * axis.stride + tap * axis.dilation).checked_sub(axis.before).filter(|i| *i < axis.input)
    };
    let (channels, filters) = (g.channels / g.groups, g.filters / g.groups);
    for o in 0..g.rows.output * g.columns.output {
        for tap in 0..g.taps() {
            let row = position(&g.rows, o / g.columns.output, tap / g.columns.kernel);
            let column = position(&g.columns, o % g.columns.output, tap % g.columns.kernel);
            let (Some(row), Some(column)) = (row, column) else { continue };
            for filter in 0..g.filters {
                for c in 0..channels {
                    let channel = filter / filters * channels + c;
                    let pixel = (row * g.columns.input + column) * g.channels;
                    f(pixel + channel, (tap * channels + c) * g.filters + filter, o * g.filters + filter);
                }
            }
        }
    }
}

fn check(g: &Geometry, images: usize) {
    let c = Convolution::new(g);
    let images = images.min(c.chunk());
    let (image, output, kernel) = (c.image_len(), c.output_len(), c.kernel_len());
    let (x, w, dy) = (numbers(images * image, 1), numbers(kernel, 2), numbers(images * output, 3));
    let bias = numbers(c.all_filters(), 4);
    let mut y_twin = vec![Sum::default(); dy.len()];
    let (mut dx_twin, mut dw_twin) = (vec![Sum::default(); x.len()], vec![Sum::default(); kernel]);
    for n in 0..images {
        for_products(g, |i, k, o| {
            let (i, o) = (n * image + i, n * output + o);
            y_twin[o].add(x[i], w[k]);
            dx_twin[i].add(dy[o], w[k]);
            dw_twin[k].add(dy[o], x[i]);
        });
    }
    for (i, sum) in y_twin.iter_mut().enumerate() {
        let bias = f64::from(bias[i % bias.len()]);
        *sum = Sum(sum.0 + bias, sum.1 + bias.abs());
    }
    let room = c.forward_scratch().max(c.input_gradient_scratch()).max(c.kernel_gradient_scratch());
    let mut room = vec![f32::NAN; room];
    let scratch = as_pairs(&mut room);
    let pool = Pool::new(2);

    let mut packed = vec![Pair::new(f32::NAN, f32::NAN); c.packed_len()];
    c.pack_kernel(&pool, &w, &mut packed);
    let mut y = vec![f32::NAN; dy.len()];
    for (x, y) in x.chunks(image).zip(y.chunks_mut(output)) {
        for (row, y) in y.chunks_mut(output / g.rows.output).enumerate() {
            c.forward(x, &packed, Some(&bias), row..row + 1, (y, scratch), &mut |_| {});
        }
    }
    close(&y, &y_twin, &format!("rows of {g:?}"));
    let mut whole = vec![f32::NAN; output];
    let mut plus_one = |row: &mut [f32]| row.iter_mut().for_each(|y| *y += 1.0);
    c.forward(&x[..image], &packed, Some(&bias), 0..g.rows.output, (&mut whole, scratch), &mut plus_one);
    assert!(whole.iter().zip(&y).all(|(whole, y)| *whole == y + 1.0), "every row is finished once: {g:?}");

    let mut reversed = vec![Pair::new(f32::NAN, f32::NAN); c.reversed_len()];
    c.reverse_kernel(&pool, &w, &mut reversed);
    let mut dx = vec![f32::NAN; x.len()];
    for (dy, dx) in dy.chunks(output).zip(dx.chunks_mut(image)) {
        c.input_gradient(dy, &reversed, (dx, scratch), Start::Zero, &mut |_| {});
    }
    close(&dx, &dx_twin, &format!("input gradient of {g:?}"));
    for (dy, dx) in dy.chunks(output).zip(dx.chunks_mut(image)) {
        c.input_gradient(dy, &reversed, (dx, scratch), Start::Add, &mut |_| {});
    }
    dx_twin.iter_mut().for_each(|sum| *sum = Sum(2.0 * sum.0, 2.0 * sum.1));
    close(&dx, &dx_twin, &format!("added input gradient of {g:?}"));

    let mut dw = vec![f32::NAN; kernel];
    c.kernel_gradient(&x, &dy, (0, &mut dw), Start::Zero, scratch);
    close(&dw, &dw_twin, &format!("kernel gradient of {g:?}, {images} images"));
    for (row, expected) in dw.chunks(kernel / g.rows.kernel).enumerate() {
        let mut one = vec![f32::NAN; expected.len()];
        c.kernel_gradient(&x, &dy, (row, &mut one), Start::Zero, scratch);
        assert_eq!(one, expected, "kernel row {row} of {g:?} alone");
    }
    c.kernel_gradient(&x, &dy, (0, &mut dw), Start::Add, scratch);
    dw_twin.iter_mut().for_each(|sum| *sum = Sum(2.0 * sum.0, 2.0 * sum.1));
    close(&dw, &dw_twin, &format!("added kernel gradient of {g:?}"));
}

fn window(kernel: usize, stride: usize, dilation: usize, padding: Padding) -> Window {
    Window { kernel, stride, dilation, padding }
}

#[test]
fn every_kind_of_window_equals_the_definition() {
    for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
        for (kernel, step) in [(1, 1), (1, 2), (2, 3), (3, 1), (4, 2), (3, 2), (5, 1)] {
            let strided = window(kernel, step, 1, padding);
            let dilated = window(kernel, 1, step, padding);
            for (channels, filters, groups) in [(2, 4, 1), (3, 5, 1), (2, 6, 2), (6, 2, 2)] {
                check(&Geometry::new(&[strided; 2], [12, 11], channels, filters, groups), 1);
                check(&Geometry::new(&[dilated, strided], [13, 7], channels, filters, groups), 3);
            }
        }
    }
}

/// Odd and even channels, tails of a vector and of a panel, one dimension, several panels, images of
/// one and of several pairs.
#[test]
fn every_width_equals_the_definition() {
    let same = window(3, 1, 1, Padding::Same);
    for filters in [1, 3, 15, 16, 17, 31, 32, 33, 40, 48, 70] {
        for channels in [1, 2, 3, 7] {
            check(&Geometry::new(&[same; 2], [4, 5], channels, filters, 1), 2);
            check(&Geometry::new(&[same; 2], [3, 4], filters, channels, 1), 5);
        }
    }
    for size in [1, 2, 3, 16, 17, 24, 25, 33, 50] {
        check(&Geometry::new(&[window(1, 1, 1, Padding::Valid), same], [1, size], 4, 16, 1), 9);
        check(&Geometry::new(&[same; 2], [3, size], 16, 20, 1), 4);
        check(&Geometry::new(&[window(3, 2, 1, Padding::Same); 2], [4, size], 16, 40, 1), 3);
    }
    check(&Geometry::new(&[same; 2], [5, 6], 66, 44, 2), 3);
    check(&Geometry::new(&[same; 2], [5, 6], 80, 80, 2), 3);
    check(&Geometry::new(&[same; 2], [9, 9], 51, 34, 17), 2);
}

/// A number that is not finite reaches the outputs that read it, and no other: neither through the
/// half empty pair of an odd count nor through the border.
#[test]
fn what_is_not_finite_stays_where_it_is_read() {
    for (channels, filters) in [(3, 5), (1, 20), (4, 16)] {
        let g = Geometry::new(&[window(3, 1, 1, Padding::Same); 2], [9, 9], channels, filters, 1);
        let c = Convolution::new(&g);
        let mut x = numbers(c.image_len(), 1);
        x[(4 * 9 + 4) * channels] = f32::NAN;
        x[(8 * 9 + 8) * channels] = 1e-39;
        let mut packed = vec![Pair::default(); c.packed_len()];
        c.pack_kernel(&Pool::new(1), &numbers(c.kernel_len(), 2), &mut packed);
        let (mut y, mut room) = (vec![0.0; c.output_len()], vec![f32::NAN; c.forward_scratch()]);
        c.forward(&x, &packed, None, 0..9, (&mut y, as_pairs(&mut room)), &mut |_| {});
        for (pixel, y) in y.chunks(filters).enumerate() {
            let near = (3..=5).contains(&(pixel / 9)) && (3..=5).contains(&(pixel % 9));
            assert!(y.iter().all(|v| v.is_nan() == near && v.is_finite() != near), "pixel {pixel}: {y:?}");
        }
    }
}
