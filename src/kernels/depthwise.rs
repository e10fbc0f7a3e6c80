//! Depthwise convolution of one image: every channel has a kernel of its own.
//!
//! With a depth multiplier m the copy of the image repeats each channel m times; after that
//! channel, filter and output stand in the same place, and everything is a product of equally
//! long rows of channels, which are contiguous and so make full vectors.

use std::ops::Range;

use crate::kernels::axis::Axis;

/// Sizes of a depthwise convolution: image `[rows, columns, inputs]`, kernel
/// `[rows, columns, inputs * multiplier]`, output channels in the kernel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub rows: Axis,
    pub columns: Axis,
    pub inputs: usize,
    pub multiplier: usize,
}

/// `y[p][c] (+)= sum over both taps of x[p * x_step + t1 + t2 + c] * w[t1 + t2 + c]`.
struct Weighted {
    pixels: usize,
    channels: usize,
    x_step: usize,
    y_step: usize,
    /// Two nested loops: count, stride in x, stride in w.
    taps: [(usize, usize, usize); 2],
    /// What y holds is added to; else it begins with the bias, or with 0 where that is empty.
    add: bool,
}

simd! {
    fn weighted(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32], s: &Weighted) {
        for p in 0..s.pixels {
            let (x, y) = (&x[p * s.x_step..], &mut y[p * s.y_step..][..s.channels]);
            let mut c = 0;
            while c + 64 <= s.channels {
                block::<64>(&x[c..], &w[c..], tail(bias, c), &mut y[c..], s);
                c += 64;
            }
            while c + 16 <= s.channels {
                block::<16>(&x[c..], &w[c..], tail(bias, c), &mut y[c..], s);
                c += 16;
            }
            while c < s.channels {
                block::<1>(&x[c..], &w[c..], tail(bias, c), &mut y[c..], s);
                c += 1;
            }
        }
    }
}

#[inline(always)]
fn tail(bias: &[f32], from: usize) -> &[f32] {
    if bias.is_empty() { bias } else { &bias[from..] }
}

/// N channels of one pixel, in registers over all taps.
#[inline(always)]
fn block<const N: usize>(x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32], s: &Weighted) {
    let mut sums = [0.0f32; N];
    if s.add {
        sums.copy_from_slice(&y[..N]);
    } else if !bias.is_empty() {
        sums.copy_from_slice(&bias[..N]);
    }
    let [(n1, x1, w1), (n2, x2, w2)] = s.taps;
    for t1 in 0..n1 {
        for t2 in 0..n2 {
            let x = &x[t1 * x1 + t2 * x2..][..N];
            let w = &w[t1 * w1 + t2 * w2..][..N];
            for i in 0..N {
                sums[i] += x[i] * w[i];
            }
        }
    }
    y[..N].copy_from_slice(&sums);
}

impl Geometry {
    /// Output channels.
    pub fn channels(&self) -> usize {
        self.inputs * self.multiplier
    }

    pub fn output_row(&self) -> usize {
        self.columns.output * self.channels()
    }

    pub fn output_len(&self) -> usize {
        self.rows.output * self.output_row()
    }

    pub fn image_len(&self) -> usize {
        self.rows.input * self.columns.input * self.inputs
    }

    pub fn kernel_len(&self) -> usize {
        self.rows.kernel * self.columns.kernel * self.channels()
    }

    /// Multiplications of one image.
    pub fn work(&self) -> usize {
        self.output_len() * self.rows.kernel * self.columns.kernel
    }

    /// Numbers of the image with border and repeated channels; 0 if it is used as it is.
    pub fn padded_len(&self) -> usize {
        let len = self.rows.padded() * self.line();
        if len == self.image_len() { 0 } else { len }
    }

    /// Numbers of the output's gradient with its border, and of one row of the input's gradient
    /// before the repeated channels are summed.
    pub fn gradient_scratch(&self) -> usize {
        let row = if self.multiplier > 1 { self.columns.input * self.channels() } else { 0 };
        self.bordered_len() + row
    }

    fn bordered_len(&self) -> usize {
        self.rows.bordered() * self.columns.bordered() * self.channels()
    }

    fn line(&self) -> usize {
        self.columns.padded() * self.channels()
    }

    /// The image as the products need it; only the rows that the given output rows read.
    pub fn padded<'a>(&self, image: &'a [f32], outputs: Range<usize>, scratch: &'a mut [f32]) -> &'a [f32] {
        let (first, count) = (outputs.start * self.rows.stride, self.rows.span(outputs.len()));
        let line = self.line();
        if self.padded_len() == 0 {
            return &image[first * line..(first + count) * line];
        }
        let row = self.columns.input * self.inputs;
        let left = self.columns.before * self.channels();
        for (r, out) in scratch.chunks_exact_mut(line).take(count).enumerate() {
            out.fill(0.0);
            if let Some(r) = (first + r).checked_sub(self.rows.before).filter(|r| *r < self.rows.input) {
                let out = &mut out[left..left + row * self.multiplier];
                let image = &image[r * row..(r + 1) * row];
                match self.multiplier {
                    1 => out.copy_from_slice(image),
                    m => out.chunks_exact_mut(m).zip(image).for_each(|(out, x)| out.fill(*x)),
                }
            }
        }
        &scratch[..count * line]
    }

    /// Computes output rows of one image into `y`.
    pub fn forward(
        &self,
        image: &[f32],
        kernel: &[f32],
        bias: &[f32],
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [f32]),
    ) {
        let x = self.padded(image, outputs, scratch);
        let (channels, line) = (self.channels(), self.line());
        let shape = Weighted {
            pixels: self.columns.output,
            channels,
            x_step: self.columns.stride * channels,
            y_step: channels,
            taps: [
                (self.rows.kernel, self.rows.dilation * line, self.columns.kernel * channels),
                (self.columns.kernel, self.columns.dilation * channels, channels),
            ],
            add: false,
        };
        for (row, y) in y.chunks_exact_mut(self.output_row()).enumerate() {
            weighted(&x[row * self.rows.stride * line..], kernel, bias, y, &shape);
        }
    }

    /// The kernel with its taps in reverse order.
    pub fn reverse_kernel(&self, kernel: &[f32], out: &mut [f32]) {
        let channels = self.channels();
        for (out, tap) in out.chunks_exact_mut(channels).zip(kernel.chunks_exact(channels).rev()) {
            out.copy_from_slice(tap);
        }
    }

    /// The input's gradient of one image from its output's; stored, or added to `dx`.
    pub fn input_gradient(
        &self,
        dy: &[f32],
        reversed: &[f32],
        dx: &mut [f32],
        add: bool,
        scratch: &mut [f32],
    ) {
        let (d, sums) = scratch.split_at_mut(self.bordered_len());
        self.border(dy, d);
        for (row, dx) in dx.chunks_exact_mut(self.columns.input * self.inputs).enumerate() {
            if self.multiplier == 1 {
                self.gradient_row(d, reversed, row, dx, add);
                continue;
            }
            let sums = &mut sums[..self.columns.input * self.channels()];
            self.gradient_row(d, reversed, row, sums, false);
            for (dx, sums) in dx.iter_mut().zip(sums.chunks_exact(self.multiplier)) {
                let sum: f32 = sums.iter().sum();
                *dx = if add { *dx + sum } else { sum };
            }
        }
    }

    fn border(&self, dy: &[f32], d: &mut [f32]) {
        let line = self.columns.bordered() * self.channels();
        let (left, row) = (self.columns.grad_before * self.channels(), self.output_row());
        d.fill(0.0);
        let inside = d.chunks_exact_mut(line).skip(self.rows.grad_before);
        for (d, dy) in inside.zip(dy.chunks_exact(row)) {
            d[left..left + row].copy_from_slice(dy);
        }
    }

    fn gradient_row(&self, d: &[f32], reversed: &[f32], row: usize, out: &mut [f32], add: bool) {
        let channels = self.channels();
        let line = self.columns.bordered() * channels;
        let (rows, stride) = (self.rows.taps(row), self.columns.stride);
        for phase in 0..stride.min(self.columns.input) {
            let columns = self.columns.taps(phase);
            let shape = Weighted {
                pixels: (self.columns.input - phase).div_ceil(stride),
                channels,
                x_step: channels,
                y_step: stride * channels,
                taps: [
                    (rows.count, rows.step * line, rows.tap_step * self.columns.kernel * channels),
                    (columns.count, columns.step * channels, columns.tap_step * channels),
                ],
                add,
            };
            weighted(
                &d[rows.first * line + columns.first * channels..],
                &reversed[(rows.tap * self.columns.kernel + columns.tap) * channels..],
                &[],
                &mut out[phase * channels..],
                &shape,
            );
        }
    }

    /// The kernel's gradient that one image gives; stored, or added to `out`. `x` is the padded image.
    pub fn kernel_gradient(&self, x: &[f32], dy: &[f32], out: &mut [f32], add: bool) {
        let (channels, line) = (self.channels(), self.line());
        let shape = Weighted {
            pixels: 1,
            channels,
            x_step: 0,
            y_step: 0,
            taps: [
                (self.rows.output, self.rows.stride * line, self.output_row()),
                (self.columns.output, self.columns.stride * channels, channels),
            ],
            add,
        };
        for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (tap / self.columns.kernel, tap % self.columns.kernel);
            let from = row * self.rows.dilation * line + column * self.columns.dilation * channels;
            weighted(&x[from..], dy, &[], out, &shape);
        }
    }
}
