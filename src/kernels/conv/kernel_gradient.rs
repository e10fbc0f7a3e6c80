//! The gradient of the kernel.

use super::Geometry;
use crate::kernels::gemm::{ONE, Product, Start};

/// Outputs of fewer pixels than this are too short a sum for one product: several images are
/// then gathered, tap by tap, to at least `GATHERED` pixels.
const SMALL: usize = 32;
const GATHERED: usize = 256;

impl Geometry {
    /// Images that are gathered to one product; `None` where each is long enough by itself.
    fn gathered(&self) -> Option<usize> {
        let pixels = self.rows.output * self.columns.output;
        (pixels < SMALL).then(|| GATHERED.div_ceil(pixels))
    }

    /// Numbers of scratch that `kernel_gradient` needs.
    pub fn kernel_gradient_scratch(&self) -> usize {
        let pixels = self.rows.output * self.columns.output;
        self.gathered().map_or(self.padded_len(), |images| images * pixels * self.channels)
    }

    /// The kernel's gradient for `count` taps from `first` on, summed over the given images in
    /// order, into `out`.
    pub fn kernel_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        (first, count): (usize, usize),
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.kernel_gradient_onto((x, self.image_len()), dy, (first, count), Start::Zero, (out, scratch));
    }

    /// As [`Geometry::kernel_gradient`] for images that begin `step` numbers apart; the sums begin
    /// with `start`.
    pub fn kernel_gradient_onto(
        &self,
        (x, step): (&[f32], usize),
        dy: &[f32],
        (first, count): (usize, usize),
        start: Start<'_>,
        (out, scratch): (&mut [f32], &mut [f32]),
    ) {
        let images = self.gathered().unwrap_or(1);
        let tap_len = self.group_channels() * self.filters;
        let parts = x.chunks(images * step).zip(dy.chunks(images * self.output_len()));
        for (i, (x, dy)) in parts.enumerate() {
            let start = if i == 0 { start } else { Start::Add };
            if self.gathered().is_none() {
                let x = self.padded(x, 0..self.rows.input, scratch);
                self.image_gradient(x, dy, (first, count), out, start);
                continue;
            }
            for (tap, out) in (first..first + count).zip(out.chunks_exact_mut(tap_len)) {
                self.gather(x.chunks(step).take(dy.len() / self.output_len()), tap, scratch);
                self.tap_gradient(scratch, dy, out, start);
            }
        }
    }

    /// Adds what one padded image gives.
    fn image_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        (first, count): (usize, usize),
        out: &mut [f32],
        start: Start<'_>,
    ) {
        let (channels, filters) = (self.group_channels(), self.group_filters());
        let (rows, columns, line) = (&self.rows, &self.columns, self.line());
        let skips = self.skips_columns();
        // Neighbouring taps of a kernel row are one longer product where their inputs are contiguous.
        let joined = columns.dilation == 1 && self.groups == 1 && !skips;
        let mut tap = first;
        while tap < first + count {
            let (row, column) = (tap / columns.kernel, tap % columns.kernel);
            let taps = if joined { (columns.kernel - column).min(first + count - tap) } else { 1 };
            let outputs = rows.outputs_through(row);
            let from = (outputs.start * rows.stride + row * rows.dilation).saturating_sub(rows.before);
            let across = if skips { columns.outputs_through(column) } else { 0..columns.output };
            let pixel = across.start * columns.stride + column * columns.dilation;
            let pixel = if skips { pixel.saturating_sub(columns.before) } else { pixel };
            let product = Product {
                m: taps * channels,
                n: filters,
                k: across.len(),
                a_row: 1,
                a_k: columns.stride * self.channels,
                b_k: self.filters,
                c_row: self.filters,
                taps: [(outputs.len(), rows.stride * line, self.output_row()), (1, 0, 0)],
                edges: [0; 2],
                batch: ONE,
            };
            let x = &x[from.min(rows.input - 1) * line + pixel * self.channels..];
            let dy = &dy[outputs.start * self.output_row() + across.start * self.filters..];
            let out = &mut out[(tap - first) * channels * self.filters..];
            for group in 0..self.groups {
                let to = group * filters;
                product.run(&x[group * channels..], &dy[to..], &mut out[to..], start);
            }
            tap += taps;
        }
    }

    /// Copies what one tap reads for every output pixel of some images: `[pixels, channels]`.
    fn gather<'a>(&self, images: impl Iterator<Item = &'a [f32]>, tap: usize, out: &mut [f32]) {
        let (row, column) = (tap / self.columns.kernel, tap % self.columns.kernel);
        let inside = self.columns.outputs_through(column);
        let mut lines = out.chunks_exact_mut(self.columns.output * self.channels);
        for image in images {
            for (o, out) in (0..self.rows.output).zip(&mut lines) {
                if !self.rows.outputs_through(row).contains(&o) {
                    out.fill(0.0);
                    continue;
                }
                let from = o * self.rows.stride + row * self.rows.dilation - self.rows.before;
                for (p, out) in out.chunks_exact_mut(self.channels).enumerate() {
                    if inside.contains(&p) {
                        let at =
                            p * self.columns.stride + column * self.columns.dilation - self.columns.before;
                        let pixel = (from * self.columns.input + at) * self.channels;
                        out.copy_from_slice(&image[pixel..pixel + self.channels]);
                    } else {
                        out.fill(0.0);
                    }
                }
            }
        }
    }

    /// Adds what the gathered pixels give to one tap.
    fn tap_gradient(&self, x: &[f32], dy: &[f32], out: &mut [f32], start: Start<'_>) {
        let (channels, filters) = (self.group_channels(), self.group_filters());
        let dense = Product::transposed_a(channels, filters, dy.len() / self.filters);
        let product = Product { a_k: self.channels, b_k: self.filters, c_row: self.filters, ..dense };
        for group in 0..self.groups {
            let to = group * filters;
            product.run(&x[group * channels..], &dy[to..], &mut out[to..], start);
        }
    }
}
