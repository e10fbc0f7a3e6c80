//! The gradient of images of few channels: a generator's last layer, or what a critic gives back to it.
//!
//! A product that has the channels as columns leaves most lanes of its registers empty. Here the columns are the
//! channels of all taps: one product gives each output pixel a block of `[rows, columns, channels]`, which is
//! added to the place of the image that the pixel's window covers.

use std::ops::Range;

use super::{Geometry, begin};
use crate::kernels::gemm::{Product, Start};

/// Images of this many channels and more fill their lanes well enough.
const FILLED: usize = 5;

/// Kernels of fewer taps have too short blocks.
const FEWEST_TAPS: usize = 4;

impl Geometry {
    /// Whether the image's gradient is made of blocks.
    pub(super) fn scatters(&self) -> bool {
        self.groups == 1 && self.columns.dilation == 1 && self.channels < FILLED && self.taps() >= FEWEST_TAPS
    }

    /// Numbers of the blocks of one row of outputs.
    pub(super) fn blocks_len(&self) -> usize {
        self.columns.output * self.taps() * self.channels
    }

    /// As `input_gradient_rows`, with the kernel as `[filters, taps, channels]`.
    pub(super) fn scatter_rows(
        &self,
        dy: &[f32],
        weights: &[f32],
        start: Start<'_>,
        inputs: Range<usize>,
        (dx, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let row = self.columns.input * self.channels;
        let blocks = &mut scratch[..self.blocks_len()];
        let product = Product::dense(self.columns.output, self.taps() * self.channels, self.filters);
        begin(dx, start, self.channels);
        for (o, dy) in dy.chunks_exact(self.output_row()).enumerate() {
            let place = |tap: usize| o * self.rows.stride + tap * self.rows.dilation - self.rows.before;
            let mut reached = self.rows.inner(o).filter(|tap| inputs.contains(&place(*tap))).peekable();
            if reached.peek().is_some() {
                product.run(dy, weights, blocks, Start::Zero);
            }
            for tap in reached {
                add_blocks(self, tap, blocks, &mut dx[(place(tap) - inputs.start) * row..][..row]);
            }
        }
        dx.chunks_exact_mut(row).for_each(finish);
    }
}

simd! {
    /// Adds one kernel row of each block to a row of the image.
    fn add_blocks(g: &Geometry, tap: usize, blocks: &[f32], dx: &mut [f32]) {
        let run = g.columns.kernel * g.channels;
        let (step, before) = (g.columns.stride * g.channels, g.columns.before * g.channels);
        for (p, block) in blocks.chunks_exact(g.taps() * g.channels).enumerate() {
            let (from, outside) = ((p * step).saturating_sub(before), before.saturating_sub(p * step));
            let block = &block[tap * run..][outside.min(run)..run];
            // What lies behind the row's end is left out.
            let from = from.min(dx.len());
            for (dx, b) in dx[from..].iter_mut().zip(block) {
                *dx += b;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;
    use crate::shape::{Padding, Window};

    #[test]
    fn images_of_few_channels_are_made_of_blocks() {
        for padding in [Padding::Valid, Padding::Same] {
            for (kernel, stride) in [(2, 2), (3, 1), (4, 2), (5, 2), (2, 3), (7, 1)] {
                let window = Window { kernel, stride, dilation: 1, padding };
                for channels in 1..FILLED {
                    let g = Geometry::new(&[window; 2], [9, 8], channels, 19, 1);
                    assert!(g.scatters());
                    check(&g);
                }
                assert!(!Geometry::new(&[window; 2], [9, 8], FILLED, 19, 1).scatters());
                assert!(!Geometry::new(&[window; 2], [9, 8], 2, 4, 2).scatters());
            }
        }
        let dilated = Window { kernel: 3, stride: 1, dilation: 2, padding: Padding::Same };
        let plain = Window { dilation: 1, ..dilated };
        check(&Geometry::new(&[dilated, plain], [9, 8], 1, 19, 1));
        assert!(!Geometry::new(&[plain, dilated], [9, 8], 1, 19, 1).scatters());
    }
}
