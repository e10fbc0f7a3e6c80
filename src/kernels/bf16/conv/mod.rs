//! Convolution of images in pairs of bfloat16, with the f32 kernels' geometry.
//!
//! Output and input gradient sum over channels: the image (or the output's gradient) is rounded once,
//! row by row with zeros left and right, to pairs of channels. The kernel's gradient sums over pixels:
//! there two images are interleaved, so that every tap, stride and dilation finds its pairs ready.

mod forward;
mod input_gradient;
mod kernel_gradient;

use super::product::{PANEL, panel_width};
use super::{Operand, Pair, across, pairs_of, transposed};
use crate::kernels::axis::Axis;
use crate::kernels::conv::Geometry;
use crate::kernels::par::{Pool, Split};

/// Sizes of a convolution; channels and filters are those of one group.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    rows: Axis,
    columns: Axis,
    channels: usize,
    filters: usize,
    groups: usize,
}

impl Convolution {
    pub fn new(g: &Geometry) -> Convolution {
        let &Geometry { rows, columns, groups, .. } = g;
        Convolution { rows, columns, channels: g.channels / groups, filters: g.filters / groups, groups }
    }

    fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    pub fn all_filters(&self) -> usize {
        self.groups * self.filters
    }

    fn all_channels(&self) -> usize {
        self.groups * self.channels
    }

    pub fn image_len(&self) -> usize {
        self.rows.input * self.columns.input * self.all_channels()
    }

    pub fn output_len(&self) -> usize {
        self.rows.output * self.columns.output * self.all_filters()
    }

    pub fn kernel_len(&self) -> usize {
        self.taps() * self.channels * self.all_filters()
    }

    /// Whether products make whole rows of what has so many columns for each group: then one row after the
    /// other is finished.
    fn by_row(&self, columns: usize) -> bool {
        self.groups == 1 && columns <= PANEL
    }

    /// Pairs of one tap's panel of `columns` columns, the sum going over `k` numbers.
    fn tap_panel(k: usize, columns: usize) -> usize {
        pairs_of(k) * panel_width(columns)
    }

    /// Pairs of the packed kernel.
    pub fn packed_len(&self) -> usize {
        self.groups * self.taps() * pairs_of(self.channels) * self.filters.next_multiple_of(16)
    }

    /// Pairs of the reversed kernel.
    pub fn reversed_len(&self) -> usize {
        self.groups * self.taps() * pairs_of(self.filters) * self.channels.next_multiple_of(16)
    }

    /// The kernel for outputs: by group, panel and tap, pairs of channels by filters.
    pub fn pack_kernel(&self, pool: &Pool, kernel: &[f32], out: &mut [Pair]) {
        let (channels, filters, row) = (self.channels, self.filters, self.all_filters());
        self.for_panels(pool, out, (channels, filters), |group, (from, width), tap, out| {
            let at = |c: usize| &kernel[(tap * channels + c) * row + group * filters + from..][..width];
            for (q, out) in out.chunks_exact_mut(panel_width(width)).enumerate() {
                across(at(2 * q), if 2 * q + 1 < channels { at(2 * q + 1) } else { &[] }, out);
            }
        });
    }

    /// The kernel for the input's gradient: taps in reverse order, by group, panel and tap, pairs of
    /// filters by channels.
    pub fn reverse_kernel(&self, pool: &Pool, kernel: &[f32], out: &mut [Pair]) {
        let (channels, filters, row) = (self.channels, self.filters, self.all_filters());
        self.for_panels(pool, out, (filters, channels), |group, (from, width), tap, out| {
            let from = ((self.taps() - 1 - tap) * channels + from) * row + group * filters;
            transposed(&kernel[from..], (width, filters, row), panel_width(width), out);
        });
    }

    /// Runs `f(group, (first column, columns), tap, its pairs)` for every tap of every panel of a
    /// kernel whose sums go over `k` numbers.
    fn for_panels(
        &self,
        pool: &Pool,
        out: &mut [Pair],
        (k, columns): (usize, usize),
        f: impl Fn(usize, (usize, usize), usize, &mut [Pair]) + Sync,
    ) {
        let (taps, panels) = (self.taps(), columns.div_ceil(PANEL));
        let group_len = taps * pairs_of(k) * columns.next_multiple_of(16);
        let split = Split::new(out);
        pool.run(self.groups * panels * taps, |task| {
            let (group, panel, tap) = (task / taps / panels, task / taps % panels, task % taps);
            let from = panel * PANEL;
            let width = PANEL.min(columns - from);
            let len = Self::tap_panel(k, width);
            let start = group * group_len + taps * pairs_of(k) * from + tap * len;
            // SAFETY: each task has a tap of a panel of its own, and they follow one another.
            let piece = unsafe { split.piece(start, start + len) };
            f(group, (from, width), tap, piece);
        });
    }

    /// Runs `f(group, first column, columns, pairs of the panel)` for every panel of a packed kernel.
    fn panels<'a>(
        &self,
        packed: &'a [Pair],
        (k, columns): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize, usize, &'a [Pair])> {
        let pairs = self.taps() * pairs_of(k);
        let group_len = pairs * columns.next_multiple_of(16);
        (0..self.groups).flat_map(move |group| {
            (0..columns).step_by(PANEL).map(move |from| {
                let width = PANEL.min(columns - from);
                let start = group * group_len + pairs * from;
                (group, from, width, &packed[start..start + pairs * panel_width(width)])
            })
        })
    }
}

/// Rounds rows of `groups` runs of `k` numbers per pixel to pairs, with zeros before and after each
/// row; `border` counts pixels. Runs of odd length end in a half empty pair.
fn bordered<T: Operand>(
    x: &[T],
    pixels: usize,
    (groups, k): (usize, usize),
    (before, after): (usize, usize),
    out: &mut [Pair],
) {
    let pixel = groups * pairs_of(k);
    let rows = x.chunks_exact(pixels * groups * k);
    for (out, x) in out.chunks_exact_mut((before + pixels + after) * pixel).zip(rows) {
        let (first, out) = out.split_at_mut(before * pixel);
        let (out, last) = out.split_at_mut(pixels * pixel);
        first.fill(Pair::default());
        last.fill(Pair::default());
        if k.is_multiple_of(2) {
            super::along(x, out);
        } else if k == 1 {
            across(x, &[], out);
        } else {
            x.chunks_exact(k)
                .zip(out.chunks_exact_mut(pairs_of(k)))
                .for_each(|(x, out)| super::along(x, out));
        }
    }
}

#[cfg(test)]
mod tests;
