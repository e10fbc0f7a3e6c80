//! Outputs.

use std::ops::Range;

use super::{Convolution, bordered};
use crate::kernels::bf16::product::{Product, panel_width, slides};
use crate::kernels::bf16::{Operand, Pair, pairs_of};
use crate::kernels::gemm::Start;

impl Convolution {
    /// Pairs of one pixel.
    fn pixel(&self) -> usize {
        self.groups * pairs_of(self.channels)
    }

    /// Pairs of one row of the image with its border.
    fn line(&self) -> usize {
        self.columns.padded() * self.pixel()
    }

    /// Pairs of working space that `forward` needs.
    pub fn forward_scratch(&self) -> usize {
        self.rows.input * self.line()
    }

    /// Numbers that `forward` needs for so many output rows that are not wanted in their place: of one row, if
    /// each is finished before the next.
    pub fn rows_scratch(&self, rows: usize) -> usize {
        let rows = if self.by_row(self.filters) { rows.min(1) } else { rows };
        rows * self.columns.output * self.all_filters()
    }

    /// Computes the output rows `outputs` of one image into `y` with the packed kernel; `finish` gets
    /// each finished row, in order. `y` has all rows, or room for
    /// [`Convolution::rows_scratch`].
    pub fn forward<T: Operand>(
        &self,
        image: &[T],
        packed: &[Pair],
        bias: Option<&[f32]>,
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [Pair]),
        finish: &mut dyn FnMut(&mut [f32]),
    ) {
        let inputs = self.rows.inputs_of(&outputs);
        let row = self.columns.input * self.all_channels();
        let border = (self.columns.before, self.columns.after);
        let image = &image[inputs.start * row..inputs.end * row];
        let x = &mut scratch[..inputs.len() * self.line()];
        bordered(image, self.columns.input, (self.groups, self.channels), border, x);
        let out_row = self.columns.output * self.all_filters();
        let last = (self.groups - 1, self.filters);
        for (group, column, width, kernel) in self.panels(packed, (self.channels, self.filters)) {
            let product = self.row_product(width);
            let to = group * self.filters + column;
            let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[to..]));
            for (i, o) in outputs.clone().enumerate() {
                let y = if y.len() == out_row { &mut *y } else { &mut y[i * out_row..][..out_row] };
                let taps = self.rows.inner(o);
                // Without a tap this may be anywhere: the product reads nothing then.
                let from = (o * self.rows.stride + taps.start * self.rows.dilation)
                    .saturating_sub(self.rows.before + inputs.start);
                let from = from * self.line() + group * pairs_of(self.channels);
                let mut product = product;
                product.taps[0].0 = taps.len();
                let kernel = &kernel[taps.start * product.taps[0].2..];
                product.run(&x[from.min(x.len())..], kernel, &mut y[to..], start);
                if (group, column + width) == last {
                    finish(y);
                }
            }
        }
    }

    /// The product of one row of outputs, `width` filters of a group.
    fn row_product(&self, width: usize) -> Product {
        let (channels, columns, pixel) = (pairs_of(self.channels), &self.columns, self.pixel());
        let tap = Self::tap_panel(self.channels, width);
        // A kernel row is one run of pairs where its inputs are contiguous.
        let joined = columns.dilation == 1 && self.groups == 1 && !slides(columns.kernel, width);
        Product {
            m: columns.output,
            n: width,
            k: if joined { columns.kernel * channels } else { channels },
            a_row: columns.stride * pixel,
            a_k: 1,
            b_k: panel_width(width),
            c_row: self.all_filters(),
            taps: [
                (self.rows.kernel, self.rows.dilation * self.line(), columns.kernel * tap),
                if joined { (1, 0, 0) } else { (columns.kernel, columns.dilation * pixel, tap) },
            ],
        }
    }
}
