//! The gradient of the kernel.

use super::Convolution;
use crate::kernels::bf16::product::{PANEL, Product};
use crate::kernels::bf16::{Operand, Pair, across};
use crate::kernels::gemm::Start;

/// Pixels that one sum should at least go over: loading and storing its tile then costs little.
const LONG: usize = 256;

impl Convolution {
    /// Interleaved images that are summed in one go.
    fn together(&self) -> usize {
        LONG.div_ceil(self.rows.output * self.columns.output)
    }

    /// Most images that `kernel_gradient` takes.
    pub fn chunk(&self) -> usize {
        2 * self.together()
    }

    /// Pairs of one row of two interleaved images, with its border.
    fn pair_line(&self) -> usize {
        self.columns.padded() * self.all_channels()
    }

    /// Pairs of one pixel of two interleaved outputs: whole vectors.
    fn pair_pixel(&self) -> usize {
        self.all_filters().next_multiple_of(16)
    }

    /// Pairs that two interleaved images and output gradients take.
    fn pair_lens(&self) -> (usize, usize) {
        let outputs = self.rows.output * self.columns.output * self.pair_pixel();
        (self.rows.input * self.pair_line(), outputs)
    }

    /// Pairs of working space that `kernel_gradient` needs.
    pub fn kernel_gradient_scratch(&self) -> usize {
        let (x, dy) = self.pair_lens();
        // A group's last vector may reach beyond the last pixel.
        self.together() * (x + dy) + 16
    }

    /// Kernel rows of `out`, from `first` on, of what `chunk` images or fewer give to the kernel's
    /// gradient.
    pub fn kernel_gradient<X: Operand, Y: Operand>(
        &self,
        x: &[X],
        dy: &[Y],
        (first, out): (usize, &mut [f32]),
        start: Start<'_>,
        scratch: &mut [Pair],
    ) {
        let (x_len, dy_len) = self.pair_lens();
        let (xs, dys) = scratch.split_at_mut(self.together() * x_len);
        let images = x.chunks(2 * self.image_len()).zip(dy.chunks(2 * self.output_len()));
        let spaces = xs.chunks_exact_mut(x_len).zip(dys.chunks_exact_mut(dy_len));
        for ((x, dy), (xs, dys)) in images.clone().zip(spaces) {
            self.interleave_images(x.split_at(self.image_len()), xs);
            self.interleave_outputs(dy.split_at(self.output_len()), dys);
        }
        let (rows, columns) = (&self.rows, &self.columns);
        // The taps of a kernel row are one longer product where their inputs are contiguous.
        let joined = columns.dilation == 1 && self.groups == 1;
        let runs = if joined { 1 } else { columns.kernel };
        let run_len = columns.kernel / runs * self.channels * self.all_filters();
        for (i, out) in out.chunks_exact_mut(run_len).enumerate() {
            let (row, column) = (first + i / runs, i % runs);
            let outputs = rows.outputs_through(row);
            let from = (outputs.start * rows.stride + row * rows.dilation).saturating_sub(rows.before);
            let product = Product {
                m: run_len / self.all_filters(),
                n: PANEL,
                k: columns.output,
                a_row: 1,
                a_k: columns.stride * self.all_channels(),
                b_k: self.pair_pixel(),
                c_row: self.all_filters(),
                taps: [
                    (images.len(), x_len, dy_len),
                    (outputs.len(), rows.stride * self.pair_line(), columns.output * self.pair_pixel()),
                ],
            };
            let column = column * columns.dilation * self.all_channels();
            let x = &xs[from.min(rows.input - 1) * self.pair_line() + column..];
            let dy = &dys[outputs.start * columns.output * self.pair_pixel()..];
            self.run_gradient(product, x, dy, out, start);
        }
    }

    /// One product for each panel of each group.
    fn run_gradient(&self, product: Product, x: &[Pair], dy: &[Pair], out: &mut [f32], start: Start<'_>) {
        for group in 0..self.groups {
            for from in (0..self.filters).step_by(PANEL) {
                let product = Product { n: PANEL.min(self.filters - from), ..product };
                let to = group * self.filters + from;
                product.run(&x[group * self.channels..], &dy[to..], &mut out[to..], start);
            }
        }
    }

    fn interleave_images<T: Operand>(&self, (a, b): (&[T], &[T]), out: &mut [Pair]) {
        let row = self.columns.input * self.all_channels();
        let mut b = b.chunks_exact(row);
        let before = self.columns.before * self.all_channels();
        for (a, out) in a.chunks_exact(row).zip(out.chunks_exact_mut(self.pair_line())) {
            let (first, out) = out.split_at_mut(before);
            first.fill(Pair::default());
            across(a, b.next().unwrap_or(&[]), out);
        }
    }

    fn interleave_outputs<T: Operand>(&self, (a, b): (&[T], &[T]), out: &mut [Pair]) {
        let filters = self.all_filters();
        if filters == self.pair_pixel() {
            return across(a, b, out);
        }
        let mut b = b.chunks_exact(filters);
        for (a, out) in a.chunks_exact(filters).zip(out.chunks_exact_mut(self.pair_pixel())) {
            across(a, b.next().unwrap_or(&[]), out);
        }
    }
}
