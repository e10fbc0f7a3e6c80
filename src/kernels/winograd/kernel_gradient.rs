//! The gradient of the kernel.

use super::transform::{Inputs, Kernels, Line, POSITIONS, kernels_of};
use super::{Winograd, each_position};
use crate::kernels::aligned::{LINE_FLOATS, round_up};
use crate::kernels::conv::Geometry;
use crate::kernels::gemm::{Product, Start};
use crate::kernels::isa::isa;

/// Tiles of one block at least, over several images if they are small: the sums of a block are
/// loaded and stored once for so many tiles.
const TILES: usize = 32;

/// The gradient of a kernel of 3 x 3, from images and their output's gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradGradient {
    pub(super) outputs: Winograd,
}

impl WinogradGradient {
    /// For the gradient of a convolution's kernel, where this is the faster way.
    pub fn new(g: &Geometry) -> Option<WinogradGradient> {
        Winograd::of_outputs(g).map(|outputs| WinogradGradient { outputs })
    }

    /// Rows of tiles that are done together.
    fn block(&self) -> usize {
        TILES.div_ceil(self.outputs.tiles()[1])
    }

    fn position(&self, width: usize) -> usize {
        self.block() * self.outputs.tiles()[1] * width + LINE_FLOATS
    }

    /// Numbers of scratch that `run` needs.
    pub fn scratch_len(&self) -> usize {
        let Winograd { channels, filters, .. } = self.outputs;
        let block = self.position(channels) + self.position(filters);
        round_up(POSITIONS * (channels * filters + block))
    }

    /// The kernel's gradient, summed over the given images in order, into `out`.
    pub fn run(&self, x: &[f32], dy: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        self.run_with(&kernels_of(isa()), (x, dy), out, scratch);
    }

    pub(super) fn run_with(
        &self,
        kernels: &Kernels,
        (x, dy): (&[f32], &[f32]),
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let w = &self.outputs;
        let (channels, filters) = (w.channels, w.filters);
        let len = channels * filters;
        let (image, output) = (w.image_len(), w.output_len());
        assert!(x.len() / image == dy.len() / output && out.len() == 9 * len, "a gradient of {self:?}");
        let (v_position, d_position) = (self.position(channels), self.position(filters));
        let (sums, rest) = scratch.split_at_mut(POSITIONS * len);
        let (v, d) = rest.split_at_mut(POSITIONS * v_position);
        let [rows, columns] = w.tiles();
        let all = x.len() / image * rows;
        for first in (0..all).step_by(self.block()) {
            let end = (first + self.block()).min(all);
            for (i, row) in (first..end).enumerate() {
                w.transform_image(kernels, x, row, (&mut v[i * columns * channels..], v_position));
                self.transform_gradient(kernels, dy, row, (&mut d[i * columns * filters..], d_position));
            }
            let product = Product::transposed_a(channels, filters, (end - first) * columns);
            let start = if first == 0 { Start::Zero } else { Start::Add };
            each_position(kernels, product, [v_position, d_position, len], (v, d, sums), start);
        }
        // SAFETY: 36 and 9 times `len` numbers, in whole vectors.
        unsafe { (kernels.kernel_gradient)(sums.as_ptr(), out.as_mut_ptr(), len) };
    }

    /// One row of tiles of the output's gradients, to `d`, whose positions lie at a distance.
    fn transform_gradient(
        &self,
        kernels: &Kernels,
        dy: &[f32],
        tile_row: usize,
        (d, position): (&mut [f32], usize),
    ) {
        let w = &self.outputs;
        let (width, tiles) = (w.output[1], w.tiles()[1]);
        let row = width * w.filters;
        let lines = w.rows_of(tile_row).map(|o| Line::new(o.map(|o| &dy[o * row..(o + 1) * row]), w.filters));
        assert!(d.len() >= (POSITIONS - 1) * position + tiles * w.filters, "room for {self:?}");
        let inputs = Inputs {
            lines: &lines,
            width,
            before: 0,
            channels: w.filters,
            tiles,
            to: d.as_mut_ptr(),
            position,
        };
        // SAFETY: lines are whole rows, there is room as asserted, filters are whole vectors.
        unsafe { (kernels.gradient)(&inputs) };
    }
}
