//! Outputs.

use std::ops::Range;

use super::{Geometry, blocks};
use crate::kernels::gemm::{ONE, Product, Start};

impl Geometry {
    /// Computes the output rows `outputs` of one image into `y`; `finish` gets each finished row.
    /// `scratch` has room for the padded image.
    pub fn forward(
        &self,
        image: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let start = bias.map_or(Start::Zero, Start::Bias);
        self.forward_onto(image, kernel, start, outputs, (y, scratch), finish);
    }

    /// As [`Geometry::forward`]; the sums begin with `start`.
    pub fn forward_onto(
        &self,
        image: &[f32],
        kernel: &[f32],
        start: Start<'_>,
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let inputs = self.rows.inputs_of(&outputs);
        let x = self.padded(image, inputs.clone(), scratch);
        let (line, out_row, tap_row) = (self.line(), self.output_row(), self.kernel_len() / self.rows.kernel);
        let passes = self.passes(self.group_filters());
        let parts = if passes.single_rows { self.rows.kernel } else { 1 };
        for (group, column, width) in blocks(self.groups, self.group_filters(), passes.columns) {
            let product = self.row_product(width);
            let to = group * self.group_filters() + column;
            let fresh = start.from_column(to);
            for part in 0..parts {
                let done = to + width == self.filters && part + 1 == parts;
                for (row, y) in outputs.clone().zip(y.chunks_exact_mut(out_row)) {
                    let mut taps = self.rows.inner(row);
                    let start = if part > taps.start { Start::Add } else { fresh };
                    if passes.single_rows && !taps.is_empty() {
                        taps = taps.start.max(part)..taps.end.min(part + 1);
                    }
                    if part == 0 || !taps.is_empty() {
                        // Without a tap this may be anywhere: the product reads nothing then.
                        let from = (row * self.rows.stride + taps.start * self.rows.dilation)
                            .saturating_sub(self.rows.before + inputs.start);
                        let mut product = product;
                        product.taps[0].0 = taps.len();
                        product.run(
                            &x[(from * line + group * self.group_channels()).min(x.len())..],
                            &kernel[taps.start * tap_row + to..],
                            &mut y[to..],
                            start,
                        );
                    }
                    if done {
                        finish(y);
                    }
                }
            }
        }
    }

    /// The product of one row of outputs, `width` filters of a group.
    fn row_product(&self, width: usize) -> Product {
        let (channels, columns) = (self.group_channels(), &self.columns);
        // A kernel row is one run of numbers where its inputs are contiguous.
        let skips = self.skips_columns();
        let joined = columns.dilation == 1 && self.groups == 1 && !skips;
        let tap = (columns.kernel, columns.dilation * self.channels, channels * self.filters);
        let tap_row = columns.kernel * channels * self.filters;
        Product {
            m: columns.output,
            n: width,
            k: if joined { columns.kernel * channels } else { channels },
            a_row: columns.stride * self.channels,
            a_k: 1,
            b_k: self.filters,
            c_row: self.filters,
            edges: if skips { [columns.before, columns.after] } else { [0; 2] },
            batch: ONE,
            taps: [
                (self.rows.kernel, self.rows.dilation * self.line(), tap_row),
                if joined { (1, 0, 0) } else { tap },
            ],
        }
    }
}
