//! Convolution of one image as sums of matrix products over the kernel's taps.
//!
//! Channels are last, so the numbers that one output pixel reads along a kernel row are contiguous,
//! and neighbouring pixels read at a regular distance: a row of outputs is a `Product` straight on
//! the image, without the copies of im2col (Georganas et al., Anatomy of High-Performance Deep
//! Learning Convolutions, 2018). Taps that fall outside of the image are left out: those above and
//! below always, those left and right where they are few columns and many channels; else the image is
//! copied once with a border of zeros.

mod forward;
mod input_gradient;
mod kernel_gradient;
pub mod pooled;
mod scatter;
pub mod volume;

use std::ops::Range;

use crate::kernels::axis::Axis;
use crate::kernels::gemm::{Product, Start};
use crate::shape::Window;

/// Sizes of a convolution: image `[rows, columns, channels]`, kernel
/// `[rows, columns, channels / groups, filters]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub rows: Axis,
    pub columns: Axis,
    pub channels: usize,
    pub filters: usize,
    pub groups: usize,
}

/// Kernels of more numbers than this (512 KiB) do not stay in the second-level cache: the products
/// then go over the whole image for one part of the kernel after the other.
const CACHED: usize = 1 << 17;

/// Columns of one pass over the image with a large kernel.
const PASS_COLUMNS: usize = 64;

/// Images narrower than this are one long row to a kernel of 1 x 1.
const NARROW: usize = 32;

/// From so many channels on, columns outside of the image are left out of the sums. With fewer, the
/// runs along k would be too short, and a copy of the image is cheap.
const MANY: usize = 8;

/// How a kernel is cut for the cache: columns of one pass, and whether kernel rows go one by one.
#[derive(Clone, Copy)]
struct Passes {
    columns: usize,
    single_rows: bool,
}

impl Geometry {
    /// For an image of `size` rows and columns.
    pub fn new(
        windows: &[Window; 2],
        size: [usize; 2],
        channels: usize,
        filters: usize,
        groups: usize,
    ) -> Geometry {
        let pointwise = windows.iter().all(|w| w.kernel == 1 && w.stride == 1);
        let [h, w] = if pointwise && size[1] < NARROW { [1, size[0] * size[1]] } else { size };
        let (rows, columns) = (Axis::new(&windows[0], h), Axis::new(&windows[1], w));
        Geometry { rows, columns, channels, filters, groups }
    }

    pub fn image_len(&self) -> usize {
        self.rows.input * self.columns.input * self.channels
    }

    pub fn output_len(&self) -> usize {
        self.rows.output * self.output_row()
    }

    /// Numbers of one row of outputs.
    pub fn output_row(&self) -> usize {
        self.columns.output * self.filters
    }

    pub fn kernel_len(&self) -> usize {
        self.taps() * self.group_channels() * self.filters
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// Multiplications of one image.
    pub fn work(&self) -> usize {
        self.rows.output * self.columns.output * self.kernel_len()
    }

    /// Numbers of the image with its border; 0 if it needs none.
    pub fn padded_len(&self) -> usize {
        if self.line() == self.columns.input * self.channels { 0 } else { self.rows.input * self.line() }
    }

    /// Whether taps left and right of the image are left out of the sums, and no border is needed.
    fn skips_columns(&self) -> bool {
        let Axis { before, after, kernel, stride, dilation, .. } = self.columns;
        before + after > 0
            && dilation == 1
            && (stride == 1 || before.max(after) == 1)
            && Product::leaves_out([before, after], kernel)
            && self.group_channels() >= MANY
    }

    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    fn group_filters(&self) -> usize {
        self.filters / self.groups
    }

    /// Zeros left and right of each row of the image.
    fn border(&self) -> [usize; 2] {
        let border = [self.columns.before, self.columns.after];
        if self.skips_columns() { [0; 2] } else { border.map(|columns| columns * self.channels) }
    }

    /// Numbers of one row of the image with all that its windows reach.
    fn padded_line(&self) -> usize {
        self.columns.padded() * self.channels
    }

    /// Numbers of one row of the image with its border.
    fn line(&self) -> usize {
        self.columns.input * self.channels + self.border().iter().sum::<usize>()
    }

    /// Rows of the image with their border, in `scratch` where that needs a copy.
    fn padded<'a>(&self, image: &'a [f32], rows: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        let row = self.columns.input * self.channels;
        bordered(&image[rows.start * row..rows.end * row], row, self.border(), scratch)
    }

    /// How the kernel is cut for products of `columns` columns.
    fn passes(&self, columns: usize) -> Passes {
        let long = self.kernel_len() / columns.max(1) * PASS_COLUMNS > CACHED;
        match self.kernel_len() > CACHED && self.groups == 1 {
            true => Passes { columns: PASS_COLUMNS.min(columns), single_rows: long },
            false => Passes { columns, single_rows: false },
        }
    }
}

/// Rows with zeros before and after each; the rows themselves where there are none to add.
fn bordered<'a>(x: &'a [f32], row: usize, [before, after]: [usize; 2], scratch: &'a mut [f32]) -> &'a [f32] {
    if before + after == 0 {
        return x;
    }
    let line = before + row + after;
    let out = &mut scratch[..x.len() / row * line];
    for (out, x) in out.chunks_exact_mut(line).zip(x.chunks_exact(row)) {
        out[..before].fill(0.0);
        out[before..before + row].copy_from_slice(x);
        out[before + row..].fill(0.0);
    }
    out
}

/// What sums begin with, where there is nothing to add; `width` numbers make a pixel.
fn begin(out: &mut [f32], start: Start<'_>, width: usize) {
    match start {
        Start::Zero => out.fill(0.0),
        Start::Bias(bias) => out.chunks_exact_mut(width).for_each(|out| out.copy_from_slice(&bias[..width])),
        Start::Add => {}
    }
}

/// Blocks of at most `most` columns in each group: group, first column, width.
fn blocks(groups: usize, columns: usize, most: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..groups).flat_map(move |group| {
        (0..columns).step_by(most).map(move |column| (group, column, most.min(columns - column)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::par::Pool;
    use crate::shape::Padding;

    pub(super) fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// Calls `f(input, kernel, output)` with the positions of all numbers that are multiplied.
    pub(super) fn for_products(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
        let position = |axis: &Axis, o: usize, tap: usize| {
            (o * axis.stride + tap * axis.dilation).checked_sub(axis.before).filter(|i| *i < axis.input)
        };
        for (oh, ow) in
            (0..g.rows.output * g.columns.output).map(|o| (o / g.columns.output, o % g.columns.output))
        {
            for (kh, kw) in (0..g.taps()).map(|t| (t / g.columns.kernel, t % g.columns.kernel)) {
                let (Some(h), Some(w)) = (position(&g.rows, oh, kh), position(&g.columns, ow, kw)) else {
                    continue;
                };
                for filter in 0..g.filters {
                    for c in 0..g.group_channels() {
                        let channel = filter / g.group_filters() * g.group_channels() + c;
                        f(
                            (h * g.columns.input + w) * g.channels + channel,
                            ((kh * g.columns.kernel + kw) * g.group_channels() + c) * g.filters + filter,
                            (oh * g.columns.output + ow) * g.filters + filter,
                        );
                    }
                }
            }
        }
    }

    pub(super) fn close(ours: &[f32], expected: &[f64], what: &str) {
        for (i, (o, e)) in ours.iter().zip(expected).enumerate() {
            assert!((f64::from(*o) - e).abs() < 1e-3, "{what} [{i}]: {o} for {e}");
        }
    }

    pub(super) fn check(g: &Geometry) {
        let (x, w, dy) = (numbers(g.image_len(), 1), numbers(g.kernel_len(), 2), numbers(g.output_len(), 3));
        let bias = numbers(g.filters, 4);
        let mut y_twin: Vec<f64> = (0..dy.len()).map(|i| f64::from(bias[i % g.filters])).collect();
        let (mut dx_twin, mut dw_twin) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        for_products(g, |i, k, o| {
            y_twin[o] += f64::from(x[i]) * f64::from(w[k]);
            dx_twin[i] += f64::from(dy[o]) * f64::from(w[k]);
            dw_twin[k] += f64::from(dy[o]) * f64::from(x[i]);
        });
        let room = g.padded_len().max(g.input_gradient_scratch()).max(g.kernel_gradient_scratch());
        let mut scratch = vec![f32::NAN; room];

        let mut y = vec![f32::NAN; y_twin.len()];
        for (row, y) in y.chunks_mut(g.output_row()).enumerate() {
            g.forward(&x, &w, Some(&bias), row..row + 1, (y, &mut scratch), &|_| {});
        }
        close(&y, &y_twin, &format!("rows of {g:?}"));
        let mut whole = vec![f32::NAN; y_twin.len()];
        let out = (&mut whole[..], &mut scratch[..]);
        g.forward(&x, &w, Some(&bias), 0..g.rows.output, out, &|row| row.iter_mut().for_each(|y| *y += 1.0));
        assert!(whole.iter().zip(&y).all(|(whole, y)| *whole == y + 1.0), "every row is finished once");

        let (mut reversed, mut dx) = (vec![0.0; w.len()], vec![f32::NAN; x.len()]);
        g.reverse_kernel(&Pool::new(2), &w, &mut reversed);
        g.input_gradient(&dy, &reversed, (&mut dx, &mut scratch), Start::Zero);
        close(&dx, &dx_twin, &format!("input gradient of {g:?}"));
        g.input_gradient(&dy, &reversed, (&mut dx, &mut scratch), Start::Add);
        dx_twin.iter_mut().for_each(|v| *v *= 2.0);
        close(&dx, &dx_twin, &format!("added input gradient of {g:?}"));

        let mut dw = vec![f32::NAN; w.len()];
        g.kernel_gradient(&x, &dy, (0, g.taps()), &mut dw, &mut scratch);
        close(&dw, &dw_twin, &format!("kernel gradient of {g:?}"));
        for (tap, expected) in dw.chunks(w.len() / g.taps()).enumerate() {
            let mut one = vec![f32::NAN; expected.len()];
            g.kernel_gradient(&x, &dy, (tap, 1), &mut one, &mut scratch);
            assert_eq!(one, expected, "tap {tap} alone");
        }
    }

    /// Borders are not copied where the runs along k are long enough.
    #[test]
    fn wide_layers_need_no_border() {
        let window = Window { kernel: 3, stride: 1, dilation: 1, padding: Padding::Same };
        let strided = Window { stride: 2, ..window };
        let valid = Window { padding: Padding::Valid, ..window };
        for window in [window, strided, valid, Window { kernel: 2, ..window }, Window { kernel: 5, ..window }]
        {
            let g = Geometry::new(&[window; 2], [16, 16], 16, 32, 1);
            assert_eq!((g.padded_len(), g.bordered_len()), (0, 0), "{window:?}");
        }
        let first = Geometry::new(&[window; 2], [16, 16], 3, 32, 1);
        assert_eq!((first.padded_len(), first.bordered_len()), (16 * 18 * 3, 0));
        let wide = Geometry::new(&[Window { kernel: 7, ..window }; 2], [16, 16], 16, 16, 1);
        assert_eq!((wide.padded_len(), wide.bordered_len()), (16 * 22 * 16, 16 * 22 * 16));
    }

    #[test]
    fn large_kernels_go_part_by_part() {
        let window = Window { kernel: 3, stride: 1, dilation: 1, padding: Padding::Same };
        for (channels, filters) in [(256, 130), (130, 256)] {
            check(&Geometry::new(&[window; 2], [3, 2], channels, filters, 1));
        }
        let strided = Window { stride: 2, ..window };
        check(&Geometry::new(&[strided, window], [3, 2], 200, 200, 1));
    }

    #[test]
    fn every_kind_of_window_equals_the_definition() {
        for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
            for (kernel, step) in [(1, 1), (1, 2), (2, 3), (3, 1), (4, 2), (5, 1)] {
                let strided = Window { kernel, stride: step, dilation: 1, padding };
                let dilated = Window { kernel, stride: 1, dilation: step, padding };
                for groups in [1, 2] {
                    check(&Geometry::new(&[strided; 2], [12, 11], 2, 4, groups));
                    check(&Geometry::new(&[dilated, strided], [11, 5], 4, 2, groups));
                }
                check(&Geometry::new(&[strided; 2], [6, 7], 9, 11, 1));
                check(&Geometry::new(&[strided; 2], [5, 6], 16, 16, 2));
                check(&Geometry::new(&[strided; 2], [7, 7], 70, 5, 1));
            }
        }
    }
}
