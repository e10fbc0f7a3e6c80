//! The gradient of the image.

use std::ops::Range;

use super::{Geometry, MANY, blocks, bordered};
use crate::kernels::axis::{Axis, Taps};
use crate::kernels::gemm::{ONE, Product, Start, as_is, transpose};
use crate::kernels::par::{Pool, for_chunks};

impl Geometry {
    /// Numbers of the output's gradient with its border; 0 if it needs none.
    pub fn bordered_len(&self) -> usize {
        match self.gradient_border() {
            [0, 0] => 0,
            [before, after] => self.rows.output * (before + self.columns.output + after) * self.filters,
        }
    }

    /// Numbers of scratch that the input's gradient needs.
    pub fn input_gradient_scratch(&self) -> usize {
        if self.scatters() { self.blocks_len() } else { self.bordered_len() }
    }

    /// Zero columns left and right of the output's gradient.
    fn gradient_border(&self) -> [usize; 2] {
        let Axis { grad_before, grad_after, .. } = self.columns;
        if self.skips_gradient() { [0; 2] } else { [grad_before, grad_after] }
    }

    /// Whether outputs that do not exist left and right are left out of the sums.
    fn skips_gradient(&self) -> bool {
        let columns = &self.columns;
        columns.grad_before + columns.grad_after > 0
            && columns.dilation == 1
            && self.group_filters() >= MANY
            && (0..columns.stride.min(columns.input))
                .all(|phase| Product::leaves_out(self.missing(phase), columns.taps(phase).count))
    }

    /// How many of the first tap's outputs lie before the first, and of the last tap's after the
    /// last, for the inputs of a phase.
    fn missing(&self, phase: usize) -> [usize; 2] {
        let (columns, taps) = (&self.columns, self.columns.taps(phase));
        let inputs = (columns.input - phase).div_ceil(columns.stride);
        let end = taps.first + taps.count + inputs - 1;
        match taps.count {
            0 => [0; 2],
            _ => [
                columns.grad_before.saturating_sub(taps.first),
                end.saturating_sub(columns.grad_before + columns.output),
            ],
        }
    }

    /// The kernel as the input's gradient needs it: taps in reverse order, each transposed to
    /// `[filters, channels / groups]`; or, where there are few channels, `[filters, taps, channels]`.
    pub fn reverse_kernel(&self, pool: &Pool, kernel: &[f32], out: &mut [f32]) {
        const BLOCK: usize = 16;
        let (channels, filters) = (self.group_channels(), self.filters);
        if self.scatters() {
            return transpose(pool, kernel, self.taps() * channels, filters, out);
        }
        for_chunks(pool, out, channels * filters, |tap, out| {
            let from = &kernel[(self.taps() - 1 - tap) * channels * filters..];
            for c0 in (0..channels).step_by(BLOCK) {
                for f in 0..filters {
                    for c in c0..(c0 + BLOCK).min(channels) {
                        out[f * channels + c] = from[c * filters + f];
                    }
                }
            }
        });
    }

    /// The input's gradient of one image, from its output's gradient and the reversed kernel;
    /// `scratch` is [`Geometry::input_gradient_scratch`]. Inputs that differ in phase (position modulo
    /// stride) meet different taps: each phase is a product of its own, so that a stride
    /// multiplies no zeros.
    pub fn input_gradient(
        &self,
        dy: &[f32],
        reversed: &[f32],
        (dx, scratch): (&mut [f32], &mut [f32]),
        start: Start<'_>,
    ) {
        self.input_gradient_rows(dy, reversed, start, 0..self.rows.input, (dx, scratch), &as_is);
    }

    /// As [`Geometry::input_gradient`] for some rows of the image, into `dx`; `finish` gets each
    /// finished row.
    pub fn input_gradient_rows(
        &self,
        dy: &[f32],
        reversed: &[f32],
        start: Start<'_>,
        inputs: Range<usize>,
        (dx, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        if self.scatters() {
            return self.scatter_rows(dy, reversed, start, inputs, (dx, scratch), finish);
        }
        let border = self.gradient_border().map(|columns| columns * self.filters);
        let d = bordered(dy, self.output_row(), border, scratch);
        let (channels, filters) = (self.group_channels(), self.group_filters());
        let passes = self.passes(channels);
        let parts = if passes.single_rows { self.rows.kernel } else { 1 };
        for (group, column, width) in blocks(self.groups, channels, passes.columns) {
            let weights = &reversed[group * filters * channels + column..];
            let to = group * channels + column;
            let fresh = start.from_column(to);
            for part in 0..parts {
                let done = to + width == self.channels && part + 1 == parts;
                for (row, dx) in inputs.clone().zip(dx.chunks_exact_mut(self.columns.input * self.channels)) {
                    let mut taps = self.rows.inner_taps(row);
                    if part == 0 || part < taps.count {
                        if passes.single_rows {
                            taps = taps.one(part);
                        }
                        let start = if part > 0 { Start::Add } else { fresh };
                        self.gradient_row(
                            &d[group * filters..],
                            weights,
                            &mut dx[to..],
                            (taps, width, start),
                        );
                    }
                    if done {
                        finish(dx);
                    }
                }
            }
        }
    }

    /// One row of the input's gradient, for `width` channels of a group.
    fn gradient_row(
        &self,
        d: &[f32],
        reversed: &[f32],
        dx: &mut [f32],
        (rows, width, start): (Taps, usize, Start<'_>),
    ) {
        let (channels, filters, stride) = (self.group_channels(), self.group_filters(), self.columns.stride);
        let skips = self.skips_gradient();
        let [left, right] = self.gradient_border();
        let line = (left + self.columns.output + right) * self.filters;
        let tap_len = self.filters * channels;
        let tap_row = self.columns.kernel * tap_len;
        // A kernel row is one run of numbers where its outputs are contiguous.
        let joined = stride == 1 && self.columns.dilation == 1 && self.groups == 1 && !skips;
        for phase in 0..stride.min(self.columns.input) {
            let columns = self.columns.taps(phase);
            let edges = if skips { self.missing(phase) } else { [0; 2] };
            // Without a border the first output that exists is number 0.
            let first =
                if skips { columns.first.saturating_sub(self.columns.grad_before) } else { columns.first };
            let tap = (columns.count, columns.step * self.filters, columns.tap_step * tap_len);
            let product = Product {
                m: (self.columns.input - phase).div_ceil(stride),
                n: width,
                k: if joined { self.columns.kernel * filters } else { filters },
                a_row: self.filters,
                a_k: 1,
                b_k: channels,
                c_row: stride * self.channels,
                edges,
                batch: ONE,
                taps: [
                    (rows.count, rows.step * line, rows.tap_step * tap_row),
                    if joined { (1, 0, 0) } else { tap },
                ],
            };
            product.run(
                &d[rows.first * line + first * self.filters..],
                &reversed[rows.tap * tap_row + columns.tap * tap_len..],
                &mut dx[phase * self.channels..],
                start,
            );
        }
    }
}
