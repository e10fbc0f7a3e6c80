//! The gradient of the image.

use super::{Convolution, bordered};
use crate::kernels::axis::Taps;
use crate::kernels::bf16::product::{Product, panel_width, slides};
use crate::kernels::bf16::{Operand, Pair, pairs_of};
use crate::kernels::gemm::Start;

impl Convolution {
    /// Pairs of working space that `input_gradient` needs.
    pub fn input_gradient_scratch(&self) -> usize {
        self.rows.output * self.gradient_line()
    }

    /// Pairs of one row of the output's gradient with its border.
    fn gradient_line(&self) -> usize {
        self.columns.bordered() * self.groups * pairs_of(self.filters)
    }

    /// Numbers that `input_gradient` needs where its rows are not wanted in their place.
    pub fn gradient_rows_scratch(&self) -> usize {
        let rows = if self.by_row(self.channels) { 1 } else { self.rows.input };
        rows * self.columns.input * self.all_channels()
    }

    /// The input's gradient of one image, from its output's gradient and the reversed kernel; `finish` gets
    /// each finished row, in order. `dx` has all rows, or room for
    /// [`Convolution::gradient_rows_scratch`]. Inputs that differ in phase (position modulo stride) meet
    /// different taps: each phase is a product of its own, so that a stride multiplies no zeros.
    pub fn input_gradient<T: Operand>(
        &self,
        dy: &[T],
        reversed: &[Pair],
        (dx, scratch): (&mut [f32], &mut [Pair]),
        start: Start<'_>,
        finish: &mut dyn FnMut(&mut [f32]),
    ) {
        let border = (self.columns.grad_before, self.columns.grad_after);
        let d = &mut scratch[..self.input_gradient_scratch()];
        bordered(dy, self.columns.output, (self.groups, self.filters), border, d);
        let dx_row = self.columns.input * self.all_channels();
        let last = (self.groups - 1, self.channels);
        for (group, column, width, kernel) in self.panels(reversed, (self.filters, self.channels)) {
            let d = &d[group * pairs_of(self.filters)..];
            for row in 0..self.rows.input {
                let taps = self.rows.inner_taps(row);
                let dx = if dx.len() == dx_row { &mut *dx } else { &mut dx[row * dx_row..][..dx_row] };
                self.gradient_row(d, kernel, &mut dx[group * self.channels + column..], (taps, width, start));
                if (group, column + width) == last {
                    finish(dx);
                }
            }
        }
    }

    /// One row of the input's gradient, for `width` channels of a group.
    fn gradient_row(
        &self,
        d: &[Pair],
        kernel: &[Pair],
        dx: &mut [f32],
        (rows, width, start): (Taps, usize, Start<'_>),
    ) {
        let (filters, stride) = (pairs_of(self.filters), self.columns.stride);
        let (pixel, line) = (self.groups * filters, self.gradient_line());
        let tap_len = Self::tap_panel(self.filters, width);
        let tap_row = self.columns.kernel * tap_len;
        // A kernel row is one run of pairs where its outputs are contiguous.
        let contiguous = stride == 1 && self.columns.dilation == 1 && self.groups == 1;
        let joined = contiguous && !slides(self.columns.kernel, width);
        for phase in 0..stride.min(self.columns.input) {
            let columns = self.columns.taps(phase);
            let product = Product {
                m: (self.columns.input - phase).div_ceil(stride),
                n: width,
                k: if joined { self.columns.kernel * filters } else { filters },
                a_row: pixel,
                a_k: 1,
                b_k: panel_width(width),
                c_row: stride * self.all_channels(),
                taps: [
                    (rows.count, rows.step * line, rows.tap_step * tap_row),
                    match joined {
                        true => (1, 0, 0),
                        false => (columns.count, columns.step * pixel, columns.tap_step * tap_len),
                    },
                ],
            };
            product.run(
                &d[rows.first * line + columns.first * pixel..],
                &kernel[rows.tap * tap_row + columns.tap * tap_len..],
                &mut dx[phase * self.all_channels()..],
                start,
            );
        }
    }
}
