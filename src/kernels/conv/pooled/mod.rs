//! A convolution whose outputs are pooled: each window of outputs gives its maximum and no more.
//!
//! Forward, a band of outputs is computed into scratch that stays in the cache and reduced there;
//! the outputs as a whole never exist. Backward, of each window one output at most has a gradient:
//! its place was noted down, and only those places are visited (the idea of Gong et al.,
//! SparseTrain, 2020, with pooling's zeros in addition to those of relu). A place reads a patch
//! of the image: the kernel's gradient is patches times gradients, the image's gradient is
//! kernels times gradients added to patches.

mod gradients;
mod lanes;
mod live;
mod maximum;
mod small;
#[cfg(test)]
mod tests;
mod tiles;
mod walk;

use std::ops::Range;

use super::Geometry;
pub use gradients::Images;
pub use live::words_in;
pub use tiles::ByTiles;

/// Most outputs of a window: a place in it is one byte.
pub const MOST_CELLS: usize = 256;

/// Numbers of a forward band: 32 KiB, so that it stays in the first or second cache.
const BAND: usize = 1 << 13;

/// Sizes of a convolution followed by windows that tile its outputs from the first on.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// The convolution, without outputs that no window covers.
    conv: Geometry,
    /// Outputs of a window along rows and columns.
    cells: [usize; 2],
    /// Windows along rows and columns.
    pub windows: [usize; 2],
    /// For every output, window by window: where its patch begins in the padded image, and where
    /// its window's numbers begin in the pooled image.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    patch: u32,
    window: u32,
}

impl Pooled {
    /// Windows of `cells` outputs tile the outputs from the first row and column on; the last
    /// windows may be cut off. `None` where places would not fit their bytes.
    pub fn new(conv: &Geometry, cells: [usize; 2], windows: [usize; 2]) -> Option<Pooled> {
        let mut conv = *conv;
        conv.rows = conv.rows.first_outputs(cells[0] * windows[0]);
        conv.columns = conv.columns.first_outputs(cells[1] * windows[1]);
        let covered = |i: usize, outputs: usize| windows[i] <= outputs.div_ceil(cells[i]);
        assert!(covered(0, conv.rows.output) && covered(1, conv.columns.output), "a window has an output");
        let most = |a: usize, b: usize| u32::try_from(a.checked_mul(b)?).ok();
        most(conv.rows.padded(), conv.padded_line())?;
        most(windows[0] * windows[1], conv.filters)?;
        let mut pooled = Pooled { conv, cells, windows, places: vec![] };
        (pooled.window_size() <= MOST_CELLS).then_some(())?;
        pooled.places = pooled.all_places();
        Some(pooled)
    }

    fn all_places(&self) -> Vec<Place> {
        let (conv, [kh, kw]) = (&self.conv, self.cells);
        let blocks = self.outputs().next_multiple_of(live::BITS);
        let mut places = vec![Place::default(); blocks];
        for window in 0..self.windows[0] * self.windows[1] {
            for cell in 0..self.window_size() {
                let row = window / self.windows[1] * kh + cell / kw;
                let column = window % self.windows[1] * kw + cell % kw;
                let patch = row * conv.rows.stride * conv.padded_line()
                    + column * conv.columns.stride * conv.channels;
                // A cell that was cut off is no maximum, so its place is never visited.
                if row < conv.rows.output && column < conv.columns.output {
                    places[window * self.window_size() + cell] =
                        Place { patch: patch as u32, window: (window * conv.filters) as u32 };
                }
            }
        }
        places
    }

    fn window_size(&self) -> usize {
        self.cells[0] * self.cells[1]
    }

    /// Outputs of the convolution in windows, those cut off counted in.
    fn outputs(&self) -> usize {
        self.windows[0] * self.windows[1] * self.window_size()
    }

    /// Numbers of the pooled image, and of one of its rows.
    pub fn pooled_len(&self) -> usize {
        self.windows[0] * self.pooled_row()
    }

    pub fn pooled_row(&self) -> usize {
        self.windows[1] * self.conv.filters
    }

    /// Numbers that hold the places of one row's maxima, a byte each.
    pub fn notes_row(&self) -> usize {
        self.pooled_row().div_ceil(size_of::<f32>())
    }

    /// Multiplications of one image's forward pass.
    pub fn work(&self) -> usize {
        self.conv.work()
    }

    /// The kernel's numbers, and of those the ones of one filter.
    pub fn kernel_len(&self) -> usize {
        self.conv.kernel_len()
    }

    fn filter_len(&self) -> usize {
        self.conv.taps() * self.conv.group_channels()
    }

    /// Whether patches reach beyond the image.
    fn has_border(&self) -> bool {
        let (rows, columns) = (&self.conv.rows, &self.conv.columns);
        rows.padded() != rows.input || columns.padded() != columns.input
    }

    /// Numbers of the image with its border.
    fn padded_image(&self) -> usize {
        self.conv.rows.padded() * self.conv.padded_line()
    }

    /// Where the image's rows lie in the padded image.
    fn inner_rows(&self) -> impl Iterator<Item = Range<usize>> {
        let conv = &self.conv;
        let (line, first, row) =
            (conv.padded_line(), conv.columns.before * conv.channels, conv.columns.input * conv.channels);
        (conv.rows.before..conv.rows.before + conv.rows.input)
            .map(move |r| r * line + first..r * line + first + row)
    }
}
