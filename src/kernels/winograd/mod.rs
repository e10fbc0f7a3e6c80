//! Convolution with kernels of 3 x 3 by Winograd's minimal filtering.
//!
//! F(4 x 4, 3 x 3) of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015: a tile
//! of 4 x 4 outputs reads a patch of 6 x 6 inputs. Patch and kernel are each mapped to 6 x 6
//! positions (`B^T d B` and `G w G^T`), multiplied there position by position and summed over the
//! channels, and mapped back (`A^T m A`): 36 multiplications instead of 144. Over many tiles and
//! channels the sums are 36 matrix products. The kernel's gradient goes the same way back,
//! `G^T (sum of (B^T d B) (A dy A^T)) G`.
//!
//! The maps evaluate polynomials at points that may be chosen; see `maps.rs`. Larger tiles would
//! multiply less still, but round worse.

mod kernel_gradient;
mod maps;
#[cfg(test)]
mod tests;
mod transform;

use std::ops::Range;

use crate::kernels::aligned::{LINE_FLOATS, round_up};
use crate::kernels::conv::Geometry;
use crate::kernels::gemm::{Product, Start};
use crate::kernels::isa::{Isa, isa};
use crate::kernels::par::{Pool, Split};
pub use kernel_gradient::WinogradGradient;
use maps::PATCH;
pub use maps::TILE;
use transform::{Inputs, Kernels, Line, Outputs, POSITIONS, WIDEST, kernels_of};

/// Tiles of one block at least, over several images if they are small: the kernel is read once for
/// so many.
const TILES: usize = 16;

/// Channels times filters beyond which the transformed kernel (9 MiB) would be read from memory again
/// for every block.
const MOST_PAIRS: usize = 1 << 16;

/// Numbers of each tap that one task transforms.
const KERNEL_PART: usize = 1 << 12;

/// A convolution with a kernel of 3 x 3 and stride 1: image `[rows, columns, channels]`, output
/// `[rows, columns, filters]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winograd {
    input: [usize; 2],
    output: [usize; 2],
    /// Zeros above and left of the image; those below and right follow from the sizes.
    before: [usize; 2],
    channels: usize,
    filters: usize,
}

impl Winograd {
    /// For the outputs of a convolution, where this is the faster way.
    pub fn of_outputs(g: &Geometry) -> Option<Winograd> {
        Some(Winograd::outputs(g)).filter(|w| w.wins(g))
    }

    /// For the gradient of a convolution's image, where this is the faster way: a convolution of the
    /// output's gradient with the reversed kernel.
    pub fn of_input_gradient(g: &Geometry) -> Option<Winograd> {
        Some(Winograd::input_gradient(g)).filter(|w| w.wins(g))
    }

    fn outputs(g: &Geometry) -> Winograd {
        let axes = [&g.rows, &g.columns];
        Winograd {
            input: axes.map(|a| a.input),
            output: axes.map(|a| a.output),
            before: axes.map(|a| a.before),
            channels: g.channels,
            filters: g.filters,
        }
    }

    fn input_gradient(g: &Geometry) -> Winograd {
        let axes = [&g.rows, &g.columns];
        Winograd {
            input: axes.map(|a| a.output),
            output: axes.map(|a| a.input),
            before: axes.map(|a| a.grad_before),
            channels: g.filters,
            filters: g.channels,
        }
    }

    /// Whether this is the faster way: kernels of 3 x 3 that move by one, whole vectors, and a quarter
    /// more multiplications directly. The maps count as so many as take as long (measured): those of
    /// a tile for each of its channels, those of the kernel for each number of a tap.
    fn wins(&self, g: &Geometry) -> bool {
        const TILE_MAPS: usize = 384;
        const KERNEL_MAPS: usize = 32;
        let axes = [&g.rows, &g.columns];
        let fits = axes.iter().all(|a| (a.kernel, a.stride, a.dilation) == (3, 1, 1))
            && g.groups == 1
            && g.channels.is_multiple_of(WIDEST)
            && g.filters.is_multiple_of(WIDEST);
        let pairs = self.channels * self.filters;
        if !fits || pairs > MOST_PAIRS {
            return false;
        }
        let taps = axes.map(|a| (0..a.kernel).map(|tap| a.outputs_through(tap).len()).sum::<usize>());
        let [rows, columns] = self.tiles();
        let maps = rows * columns * TILE_MAPS * (self.channels + self.filters) + KERNEL_MAPS * pairs;
        let ours = rows * columns * POSITIONS * pairs + maps;
        4 * taps[0] * taps[1] * pairs >= 5 * ours
    }

    /// Numbers of an image and of its output.
    fn image_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn output_len(&self) -> usize {
        self.output[0] * self.output_row()
    }

    /// Numbers of one row of outputs.
    pub fn output_row(&self) -> usize {
        self.output[1] * self.filters
    }

    /// Numbers of the transformed kernel.
    pub fn kernel_len(&self) -> usize {
        POSITIONS * self.channels * self.filters
    }

    /// Transforms a kernel `[3, 3, channels, filters]`.
    pub fn transform_kernel(&self, pool: &Pool, kernel: &[f32], out: &mut [f32]) {
        self.transform_kernel_with(&kernels_of(isa()), pool, kernel, out);
    }

    fn transform_kernel_with(&self, kernels: &Kernels, pool: &Pool, kernel: &[f32], out: &mut [f32]) {
        let len = self.channels * self.filters;
        assert!(kernel.len() == 9 * len && out.len() == POSITIONS * len, "a kernel for {self:?}");
        let out = Split::new(out);
        pool.run(len.div_ceil(KERNEL_PART), |part| {
            let range = part * KERNEL_PART..len.min((part + 1) * KERNEL_PART);
            // SAFETY: as long as asserted, in whole vectors; parts write different numbers.
            unsafe { (kernels.kernel)(kernel.as_ptr(), out.pointer(0), len, range) };
        });
    }

    /// Rows and columns of tiles.
    fn tiles(&self) -> [usize; 2] {
        self.output.map(|outputs| outputs.div_ceil(TILE))
    }

    /// Rows of tiles that are done together.
    pub fn block(&self) -> usize {
        TILES.div_ceil(self.tiles()[1])
    }

    /// Whole images that a block has room for.
    pub fn images_in_block(&self) -> usize {
        self.block() / self.tiles()[0]
    }

    /// Images of one task, so that a block is full, where so many leave enough tasks for all threads.
    pub fn images_per_task(&self, images: usize, threads: usize) -> usize {
        self.images_in_block().min(images / (4 * threads)).max(1)
    }

    /// Equal parts that an image's rows of outputs can be cut in without cutting tiles.
    pub fn parts(&self) -> usize {
        if self.output[0].is_multiple_of(TILE) { self.tiles()[0] } else { 1 }
    }

    /// Numbers from one position of a block to the next: off the powers of two, on which the
    /// positions would drive each other from the cache.
    fn position(&self, width: usize) -> usize {
        self.block() * self.tiles()[1] * width + LINE_FLOATS
    }

    /// Numbers of scratch that `run` needs.
    pub fn scratch_len(&self) -> usize {
        round_up(POSITIONS * (self.position(self.channels) + self.position(self.filters)))
    }

    /// Computes the rows `outputs`, counted through all images, into `y`, from the transformed kernel;
    /// `finish` gets each finished row.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn run(
        &self,
        images: &[f32],
        kernel: &[f32],
        start: Start<'_>,
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        self.run_by(isa(), (images, kernel), start, outputs, (y, scratch), finish);
    }

    pub fn run_by(
        &self,
        isa: Isa,
        (images, kernel): (&[f32], &[f32]),
        start: Start<'_>,
        outputs: Range<usize>,
        (y, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let (kernels, row) = (&kernels_of(isa), self.output_row());
        assert!(y.len() == outputs.len() * row, "{} rows of {self:?}", outputs.len());
        let (v_position, m_position) = (self.position(self.channels), self.position(self.filters));
        let (v, m) = scratch.split_at_mut(POSITIONS * v_position);
        let columns = self.tiles()[1];
        let mut rest = y;
        let all = self.tile_rows(&outputs);
        for first in all.clone().step_by(self.block()) {
            let rows = first..(first + self.block()).min(all.end);
            for (i, tile_row) in rows.clone().enumerate() {
                let to = &mut v[i * columns * self.channels..];
                self.transform_image(kernels, images, tile_row, (to, v_position));
            }
            self.multiply(kernels, v, kernel, m, rows.len() * columns);
            for (i, tile_row) in rows.enumerate() {
                let wanted = self.rows_of(tile_row).map(|o| o.is_some_and(|o| outputs.contains(&o)));
                let count = wanted.into_iter().filter(|w| *w).count();
                let (y, behind) = rest.split_at_mut(count * row);
                rest = behind;
                let from = &m[i * columns * self.filters..];
                self.transform_outputs(kernels, (from, m_position), start, wanted, y);
                y.chunks_exact_mut(row).for_each(finish);
            }
        }
    }

    /// The rows of tiles that some rows of outputs lie in, both counted through all images.
    fn tile_rows(&self, outputs: &Range<usize>) -> Range<usize> {
        let tile_row = |o: usize| o / self.output[0] * self.tiles()[0] + o % self.output[0] / TILE;
        if outputs.is_empty() { 0..0 } else { tile_row(outputs.start)..tile_row(outputs.end - 1) + 1 }
    }

    /// The rows of outputs of a row of tiles.
    fn rows_of(&self, tile_row: usize) -> [Option<usize>; TILE] {
        let (image, row) = (tile_row / self.tiles()[0], tile_row % self.tiles()[0]);
        std::array::from_fn(|i| {
            let row = TILE * row + i;
            (row < self.output[0]).then_some(image * self.output[0] + row)
        })
    }

    /// One row of tiles of the images, to `v`, whose positions lie at a distance.
    fn transform_image(
        &self,
        kernels: &Kernels,
        images: &[f32],
        tile_row: usize,
        (v, position): (&mut [f32], usize),
    ) {
        let ([height, width], [tile_rows, tiles]) = (self.input, self.tiles());
        let image = &images[tile_row / tile_rows * self.image_len()..][..self.image_len()];
        let row = width * self.channels;
        let lines: [Line; PATCH] = std::array::from_fn(|i| {
            let at = (TILE * (tile_row % tile_rows) + i).checked_sub(self.before[0]);
            let at = at.filter(|at| *at < height);
            Line::new(at.map(|at| &image[at * row..(at + 1) * row]), self.channels)
        });
        assert!(v.len() >= (POSITIONS - 1) * position + tiles * self.channels, "room for {self:?}");
        let inputs = Inputs {
            lines: &lines,
            width,
            before: self.before[1],
            channels: self.channels,
            tiles,
            to: v.as_mut_ptr(),
            position,
        };
        // SAFETY: lines are whole rows, there is room as asserted, channels are whole vectors.
        unsafe { (kernels.image)(&inputs) };
    }

    /// The products at all positions for the first `tiles` tiles of a block.
    fn multiply(&self, kernels: &Kernels, v: &[f32], kernel: &[f32], m: &mut [f32], tiles: usize) {
        let (channels, filters) = (self.channels, self.filters);
        let steps = [self.position(channels), channels * filters, self.position(filters)];
        each_position(kernels, Product::dense(tiles, filters, channels), steps, (v, kernel, m), Start::Zero);
    }

    /// The wanted ones of a tile row's rows of outputs, from products at `position` distance.
    fn transform_outputs(
        &self,
        kernels: &Kernels,
        (m, position): (&[f32], usize),
        start: Start<'_>,
        wanted: [bool; TILE],
        y: &mut [f32],
    ) {
        let (tiles, width) = (self.tiles()[1], self.output[1]);
        assert!(m.len() >= (POSITIONS - 1) * position + tiles * self.filters, "products of {self:?}");
        let mut rest = y.chunks_exact_mut(width * self.filters);
        let rows = wanted.map(|wanted| {
            let row = if wanted { rest.next() } else { None };
            row.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr)
        });
        let bias = match start {
            Start::Bias(bias) => {
                assert!(bias.len() >= self.filters, "a bias of {self:?}");
                bias.as_ptr()
            }
            _ => std::ptr::null(),
        };
        let outputs = Outputs {
            from: m.as_ptr(),
            position,
            filters: self.filters,
            tiles,
            rows,
            width,
            bias,
            add: matches!(start, Start::Add),
        };
        // SAFETY: products and rows are as long as asserted, filters are whole vectors.
        unsafe { (kernels.outputs)(&outputs) };
    }
}

/// Products of at most so many numbers in A and B are so short that calls would cost time: one call
/// does them at all positions.
const SMALL: usize = 1 << 10;

/// The same product at all positions, `steps` numbers apart in A, B and C.
fn each_position(
    kernels: &Kernels,
    product: Product,
    [a_step, b_step, c_step]: [usize; 3],
    (a, b, c): (&[f32], &[f32], &mut [f32]),
    start: Start<'_>,
) {
    if product.k * (product.m + product.n) <= SMALL {
        let product = Product { batch: (POSITIONS, a_step, b_step, c_step), ..product };
        product.run_with(kernels.tiles, a, b, c, start);
        return;
    }
    for p in 0..POSITIONS {
        product.run_with(kernels.tiles, &a[p * a_step..], &b[p * b_step..], &mut c[p * c_step..], start);
    }
}
