//! Windows over images, as the pooling ops walk them. One dimension is an image of one row.
//!
//! Numbers are taken in blocks of channels that fit vector registers; a window's cells are read
//! in row-major order.

use std::ops::Range;

use crate::kernels::number::Number;
use crate::kernels::par::{Pool, for_chunks};
use crate::shape::{Shape, Window};

/// Numbers of input per task, in whole output rows or images.
const CHUNK: usize = 1 << 14;

/// Windows over `[H, W, C]`.
#[derive(Clone, Debug)]
pub struct Pooling {
    rows: Axis,
    columns: Axis,
    channels: usize,
}

/// Windows along one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    window: Window,
    size: usize,
    output: usize,
    pad: usize,
}

/// How windows share out an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// One after another, from the start up to here.
    Tiles(usize),
    Gaps,
    Overlaps,
}

/// The cells of one window that lie inside the image.
#[derive(Clone, Debug)]
pub struct Cells {
    /// Where the first one begins, in numbers from the image's start.
    pub start: usize,
    pub rows: usize,
    pub columns: usize,
    /// From a cell to the one below, and to the next one.
    pub down: usize,
    pub right: usize,
}

impl Axis {
    fn new(window: Window, size: usize) -> Axis {
        Axis { window, size, output: window.output(size), pad: window.pads(size).0 }
    }

    /// Positions of window `o` inside the input.
    fn positions(&self, o: usize) -> Range<usize> {
        let start = o * self.window.stride;
        start.saturating_sub(self.pad)..(start + self.window.kernel - self.pad).min(self.size)
    }

    fn cover(&self) -> Cover {
        if self.output == 1 || self.window.stride == self.window.kernel {
            Cover::Tiles(self.positions(self.output - 1).end)
        } else if self.window.stride > self.window.kernel {
            Cover::Gaps
        } else {
            Cover::Overlaps
        }
    }

    /// Positions of a window, where windows lie one after another from the first position on; the
    /// last may be cut off.
    fn tile(&self) -> Option<usize> {
        let whole = self.pad == 0 || self.output == 1;
        (whole && matches!(self.cover(), Cover::Tiles(_))).then(|| self.positions(0).len())
    }
}

impl Pooling {
    /// For images of `[H, W, C]` and windows along rows and columns that fit at least once.
    pub fn new(dims: [usize; 3], windows: [Window; 2]) -> Pooling {
        Pooling {
            rows: Axis::new(windows[0], dims[0]),
            columns: Axis::new(windows[1], dims[1]),
            channels: dims[2],
        }
    }

    pub fn input(&self) -> [usize; 3] {
        [self.rows.size, self.columns.size, self.channels]
    }

    pub fn output(&self) -> Shape {
        Shape::batch([self.rows.output, self.columns.output, self.channels])
    }

    /// Windows along rows and columns.
    pub fn output_size(&self) -> [usize; 2] {
        [self.rows.output, self.columns.output]
    }

    /// Rows and columns of a window, where windows tile the image from the first cell on; the last
    /// ones may be cut off.
    pub fn tiles(&self) -> Option<[usize; 2]> {
        Some([self.rows.tile()?, self.columns.tile()?])
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Cells of a window, those in the padding included.
    pub fn window_size(&self) -> usize {
        self.rows.window.kernel * self.columns.window.kernel
    }

    /// Numbers of an image.
    fn image(&self) -> usize {
        self.rows.size * self.columns.size * self.channels
    }

    /// The windows of output row `row`, in order.
    pub fn windows(&self, row: usize) -> impl Iterator<Item = Cells> {
        let rows = self.rows.positions(row);
        let (axis, right) = (self.columns, self.channels);
        let down = axis.size * right;
        (0..axis.output).map(move |o| {
            let columns = axis.positions(o);
            let start = rows.start * down + columns.start * right;
            Cells { start, rows: rows.len(), columns: columns.len(), down, right }
        })
    }

    /// Runs `f(image of x, number of the output row in its image, output row)` for every output row.
    pub fn for_rows<T: Number>(
        &self,
        pool: &Pool,
        x: &[T],
        y: &mut [f32],
        f: impl Fn(&[T], usize, &mut [f32]) + Sync,
    ) {
        let (image, row) = (self.image(), self.columns.output * self.channels);
        let rows = (CHUNK / (image / self.rows.output).max(1)).max(1);
        for_chunks(pool, y, rows * row, |chunk, y| {
            for (r, y) in y.chunks_exact_mut(row).enumerate() {
                let (n, r) = ((chunk * rows + r) / self.rows.output, (chunk * rows + r) % self.rows.output);
                f(&x[n * image..][..image], r, y);
            }
        });
    }

    /// Runs `f(image number, gradient of the image, add)` for every image. With `add` windows add
    /// to what is there; else each number inside a window belongs to one window alone, which
    /// stores it. What no window covers is zero already.
    pub fn for_images<T: Number>(&self, pool: &Pool, dx: &mut [T], f: impl Fn(usize, &mut [T], bool) + Sync) {
        let image = self.image();
        let images = (CHUNK / image).max(1);
        for_chunks(pool, dx, images * image, |chunk, dx| {
            for (n, dx) in dx.chunks_exact_mut(image).enumerate() {
                let add = self.clear(dx);
                f(chunk * images + n, dx, add);
            }
        });
    }

    /// Zeroes what the windows do not store; whether they must add.
    fn clear<T: Number>(&self, dx: &mut [T]) -> bool {
        let (rows, columns) = (self.rows.cover(), self.columns.cover());
        let (Cover::Tiles(rows), Cover::Tiles(columns)) = (rows, columns) else {
            dx.fill(T::default());
            return rows == Cover::Overlaps || columns == Cover::Overlaps;
        };
        let width = self.columns.size * self.channels;
        let (covered, rest) = dx.split_at_mut(rows * width);
        rest.fill(T::default());
        if columns < self.columns.size {
            for row in covered.chunks_exact_mut(width) {
                row[columns * self.channels..].fill(T::default());
            }
        }
        false
    }

    /// Where the output rows of an image begin in y.
    pub fn output_image(&self, n: usize) -> Range<usize> {
        let size = self.rows.output * self.columns.output * self.channels;
        n * size..(n + 1) * size
    }

    /// Numbers of an output row.
    pub fn output_row(&self) -> usize {
        self.columns.output * self.channels
    }
}

/// Runs a block function `f::<LANES>(args.., first channel)` over all channels, in the widest
/// blocks that fit: 16, then 4, then 1.
macro_rules! over_channels {
    ($channels:expr, $f:ident $(::<$flag:tt>)? ($($arg:expr),*)) => {{
        let channels = $channels;
        let mut at = 0;
        while at + 16 <= channels {
            $f::<16 $(, $flag)?>($($arg,)* at);
            at += 16;
        }
        while at + 4 <= channels {
            $f::<4 $(, $flag)?>($($arg,)* at);
            at += 4;
        }
        while at < channels {
            $f::<1 $(, $flag)?>($($arg,)* at);
            at += 1;
        }
    }};
}

pub(super) use over_channels;

/// A block of channels.
#[inline(always)]
pub fn load<const L: usize>(x: &[impl Number], at: usize) -> [f32; L] {
    x[at..].first_chunk::<L>().expect("a block lies inside its image").map(Number::get)
}

#[inline(always)]
pub fn store<const L: usize>(y: &mut [impl Number], at: usize, block: [f32; L]) {
    *y[at..].first_chunk_mut().expect("a block lies inside its image") = block.map(Number::nearest);
}

/// The definition: `f` of the cells of every window, from the window's place counted anew.
#[cfg(test)]
pub fn twin(pooling: &Pooling, x: &ndarray::ArrayD<f64>, f: impl Fn(&[f64]) -> f64) -> ndarray::ArrayD<f64> {
    let (n, output) = (x.shape()[0], pooling.output());
    let inside = |axis: &Axis, o: usize, k: usize| {
        let at = (o * axis.window.stride + k).checked_sub(axis.pad)?;
        (at < axis.size).then_some(at)
    };
    ndarray::ArrayD::from_shape_fn(output.full(n), |i| {
        let mut cells = vec![];
        for row in (0..pooling.rows.window.kernel).filter_map(|k| inside(&pooling.rows, i[1], k)) {
            for column in (0..pooling.columns.window.kernel).filter_map(|k| inside(&pooling.columns, i[2], k))
            {
                cells.push(x[[i[0], row, column, i[3]]]);
            }
        }
        f(&cells)
    })
}
