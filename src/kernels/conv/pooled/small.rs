//! Convolutions with little to sum for an output, pooled 2 x 2: the first ones of a network, whose
//! images have few channels.
//!
//! There, filters are the lanes. Forward, the four outputs of a window are held in registers from
//! the bias to the maximum. For the kernel's gradient each lane needs the pixel that its own
//! maximum reads through a tap: the four that come into question are kept side by side (a quad),
//! and the place picks one of them in a register. So all lanes work, and a quarter of the
//! multiplications is done.

use std::ops::Range;

use super::Pooled;
use super::lanes::{Lanes, on_lanes};
use super::maximum::{bytes_of, notes_of, places_of};
use super::walk::{Part, walks_of};
use crate::kernels::isa::Isa;

/// Most numbers of one filter, and of the kernel: it stays in the first cache.
const FILTER: usize = 48;
const KERNEL: usize = 1 << 12;

/// Numbers of quads that are made at once.
const QUADS: usize = 1 << 13;

/// Most registers of filters, and windows, that are held at once.
const HELD: usize = 2;

/// One pooled row of one image. Distances are in numbers.
struct Outputs {
    /// The first window's patch, and the distance to the next window's.
    x: *const f32,
    window: usize,
    /// From a window's first patch to those of its other outputs.
    cells: [usize; 3],
    /// Kernel rows, their distance in x, and numbers of one.
    runs: usize,
    run: usize,
    len: usize,
    kernel: *const f32,
    /// Null for none.
    bias: *const f32,
    filters: usize,
    windows: usize,
    y: *mut f32,
    /// Null where nobody wants to know.
    places: *mut u8,
}

/// # Safety
/// The machine has the instruction set, and the row's memory is valid.
#[inline(always)]
unsafe fn pool_outputs_of<V: Lanes>(o: &Outputs) {
    // SAFETY: the caller vouches for all that is read and written; W and G keep within bounds.
    unsafe {
        let mut window = 0;
        while window < o.windows {
            let windows = if V::COUNT >= 16 { (o.windows - window).min(HELD) } else { 1 };
            let mut f = 0;
            while f < o.filters {
                let registers = (o.filters - f).div_ceil(V::COUNT).min(HELD);
                match (windows, registers) {
                    (2, 2) => pool_windows::<V, 2, 2>(o, window, f),
                    (2, _) => pool_windows::<V, 2, 1>(o, window, f),
                    (_, 2) => pool_windows::<V, 1, 2>(o, window, f),
                    _ => pool_windows::<V, 1, 1>(o, window, f),
                }
                f += registers * V::COUNT;
            }
            window += windows;
        }
    }
}

/// W windows for G registers of filters, of which only the last may be partial.
///
/// # Safety
/// As `pool_outputs_of`.
#[inline(always)]
unsafe fn pool_windows<V: Lanes, const W: usize, const G: usize>(o: &Outputs, window: usize, f: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        let last = (o.filters - f - (G - 1) * V::COUNT).min(V::COUNT);
        let some = V::first(last);
        let load = |p: *const f32, g: usize| {
            let p = p.add(f + g * V::COUNT);
            if g + 1 == G { V::load_some(p, some) } else { V::load(p) }
        };
        let mut sums = [[[V::zero(); G]; 4]; W];
        if !o.bias.is_null() {
            for sums in sums.as_flattened_mut() {
                *sums = std::array::from_fn(|g| load(o.bias, g));
            }
        }
        let mut kernel = o.kernel;
        for run in 0..o.runs {
            let mut x = o.x.add(window * o.window + run * o.run);
            for _ in 0..o.len {
                let weights: [V; G] = std::array::from_fn(|g| load(kernel, g));
                for (w, sums) in sums.iter_mut().enumerate() {
                    let x = x.add(w * o.window);
                    let cells = [x, x.add(o.cells[0]), x.add(o.cells[1]), x.add(o.cells[2])];
                    for (sums, x) in sums.iter_mut().zip(cells) {
                        let x = V::splat(x);
                        for (sum, weight) in sums.iter_mut().zip(&weights) {
                            *sum = sum.plus_product(x, *weight);
                        }
                    }
                }
                x = x.add(1);
                kernel = kernel.add(o.filters);
            }
        }
        for (w, sums) in sums.iter().enumerate() {
            for g in 0..G {
                let (mut best, mut places) = (sums[0][g], V::first_place());
                for (cell, sums) in sums.iter().enumerate().skip(1) {
                    (best, places) = best.larger(sums[g], places, cell as u8);
                }
                let at = (window + w) * o.filters + f + g * V::COUNT;
                let count = if g + 1 == G { last } else { V::COUNT };
                best.store_some(o.y.add(at), V::first(count));
                if !o.places.is_null() {
                    V::store_places(places, o.places.add(at), count);
                }
            }
        }
    }
}

on_lanes! {
    /// # Safety
    /// As `pool_outputs_of`.
    unsafe fn pool_outputs = pool_outputs_of(o: &Outputs);
}

simd! {
    /// Quads of successive numbers: each with the one `right` of it, and the two `down` from there. What
    /// lies beyond the image is 0: no window reads it.
    fn quads_of(x: &[f32], right: usize, down: usize, quads: &mut [f32]) {
        let quads = quads.as_chunks_mut::<4>().0;
        let (inner, rest) = quads.split_at_mut(quads.len().min(x.len().saturating_sub(right + down)));
        let at = |from: usize| &x[from..from + inner.len()];
        let cells = at(0).iter().zip(at(right)).zip(at(down).iter().zip(at(down + right)));
        for (quad, ((a, b), (c, d))) in inner.iter_mut().zip(cells) {
            *quad = [*a, *b, *c, *d];
        }
        for (i, quad) in (inner.len()..).zip(rest) {
            *quad = [0, right, down, down + right].map(|cell| *x.get(i + cell).unwrap_or(&0.0));
        }
    }
}

/// What a walk over quads reads and adds to. Distances are in elements, those in quads in quads.
pub(super) struct QuadWalk {
    pub quads: *const f32,
    /// Between the first quads of windows below and beside each other.
    pub row: usize,
    pub window: usize,
    pub dy: *const f32,
    pub places: *const u8,
    pub places_row: usize,
    pub rows: usize,
    pub windows: usize,
    /// `[taps * channels, filters]`
    pub sums: *mut f32,
    pub filters: usize,
}

/// Adds to the sums of each filter, a lane each, the pixels that its maxima read, times their
/// gradients. A lane without a gradient adds zeros.
///
/// # Safety
/// Quads, gradients, places and sums are valid memory, the sums ours alone.
#[inline(always)]
pub(super) unsafe fn walk_quads<V: Lanes, const R: usize, const C: usize>(part: &Part, walk: &QuadWalk) {
    // SAFETY: the caller vouches for all that is read and written.
    unsafe {
        for filter in (0..walk.filters).step_by(V::COUNT) {
            let count = (walk.filters - filter).min(V::COUNT);
            let some = V::first(count);
            let sums = |r: usize, c: usize| {
                walk.sums.add((part.weights + r * part.weights_run + c) * walk.filters + filter)
            };
            let mut held = [[V::zero(); C]; R];
            for (r, held) in held.iter_mut().enumerate() {
                for (c, held) in held.iter_mut().enumerate() {
                    *held = V::load_some(sums(r, c), some);
                }
            }
            for row in 0..walk.rows {
                let mut dy = walk.dy.add(row * walk.windows * walk.filters + filter);
                let mut places = walk.places.add(row * walk.places_row + filter);
                let mut quads = walk.quads.add(4 * (row * walk.row + part.patch));
                for _ in 0..walk.windows {
                    let (factor, place) = (V::load_some(dy, some), V::load_places(places, count));
                    for (r, held) in held.iter_mut().enumerate() {
                        for (c, held) in held.iter_mut().enumerate() {
                            let x = V::pick(quads.add(4 * (r * part.patch_run + c)), place);
                            *held = held.plus_product(x, factor);
                        }
                    }
                    dy = dy.add(walk.filters);
                    places = places.add(walk.filters);
                    quads = quads.wrapping_add(4 * walk.window);
                }
            }
            for (r, held) in held.iter().enumerate() {
                for (c, held) in held.iter().enumerate() {
                    held.store_some(sums(r, c), some);
                }
            }
        }
    }
}

impl Pooled {
    /// Whether this module's ways are taken.
    pub fn is_small(&self) -> bool {
        let conv = &self.conv;
        let whole = conv.rows.output == 2 * self.windows[0] && conv.columns.output == 2 * self.windows[1];
        let runs = conv.groups == 1 && conv.columns.dilation == 1;
        let small = self.filter_len() <= FILTER && self.kernel_len() <= KERNEL;
        self.cells == [2, 2] && whole && runs && small
    }

    /// Of the first patch of a row of windows.
    fn patch(&self, row: usize) -> usize {
        row * 2 * self.conv.rows.stride * self.conv.padded_line()
    }

    pub(super) fn forward_small(
        &self,
        isa: Isa,
        image: &[f32],
        (kernel, bias): (&[f32], Option<&[f32]>),
        rows: Range<usize>,
        (y, notes, scratch): (&mut [f32], &mut [f32], &mut [f32]),
    ) {
        let conv = &self.conv;
        assert_eq!((image.len(), kernel.len()), (conv.image_len(), conv.kernel_len()));
        assert!(bias.is_none_or(|bias| bias.len() == conv.filters));
        assert!(rows.end <= self.windows[0] && y.len() == rows.len() * self.pooled_row());
        let x = self.padded_images(image, scratch);
        let (right, down) = (conv.columns.stride * conv.channels, conv.rows.stride * conv.padded_line());
        for (r, y) in y.chunks_exact_mut(self.pooled_row()).enumerate() {
            let outputs = Outputs {
                x: x[self.patch(rows.start + r)..].as_ptr(),
                window: 2 * right,
                cells: [right, down, down + right],
                runs: conv.rows.kernel,
                run: conv.rows.dilation * conv.padded_line(),
                len: conv.columns.kernel * conv.channels,
                kernel: kernel.as_ptr(),
                bias: bias.map_or(std::ptr::null(), <[f32]>::as_ptr),
                filters: conv.filters,
                windows: self.windows[1],
                y: y.as_mut_ptr(),
                places: places_of(notes_of(notes, &(r..r + 1), self.notes_row())),
            };
            // SAFETY: patches of whole windows lie inside the padded image, whose length was checked.
            unsafe { pool_outputs(isa, &outputs) }
        }
    }

    /// Rows of windows whose quads are made at once, and the image's rows that these read.
    fn quad_rows(&self) -> (usize, usize) {
        let rows = &self.conv.rows;
        let reach = |windows: usize| (2 * windows - 2) * rows.stride + (rows.kernel - 1) * rows.dilation + 1;
        let most = |windows: &usize| 4 * reach(*windows) * self.conv.padded_line() <= QUADS;
        let windows = (1..=self.windows[0]).take_while(most).last().unwrap_or(1);
        (windows, reach(windows))
    }

    pub(super) fn quads_len(&self) -> usize {
        if self.is_small() { 4 * self.quad_rows().1 * self.conv.padded_line() } else { 0 }
    }

    /// Adds what one padded image gives to the kernel's gradient `[taps * channels, filters]`.
    pub(super) fn add_small_gradient(
        &self,
        isa: Isa,
        x: &[f32],
        (dy, notes): (&[f32], &[f32]),
        (sums, quads): (&mut [f32], &mut [f32]),
    ) {
        let (conv, (step, _)) = (&self.conv, self.quad_rows());
        let (line, stride) = (conv.padded_line(), conv.columns.stride * conv.channels);
        assert_eq!((x.len(), dy.len()), (self.padded_image(), self.pooled_len()));
        assert_eq!((notes.len(), sums.len()), (self.windows[0] * self.notes_row(), self.kernel_len()));
        for first in (0..self.windows[0]).step_by(step) {
            let rows = step.min(self.windows[0] - first);
            let from = self.patch(first) / line;
            let reach = self.patch(rows - 1) / line + (conv.rows.kernel - 1) * conv.rows.dilation + 1;
            let quads = &mut quads[..4 * reach * line];
            quads_of(&x[from * line..], stride, conv.rows.stride * line, quads);
            let walk = QuadWalk {
                quads: quads.as_ptr(),
                row: self.patch(1),
                window: 2 * stride,
                dy: dy[first * self.pooled_row()..].as_ptr(),
                places: bytes_of(&notes[first * self.notes_row()..]).as_ptr(),
                places_row: self.notes_row() * size_of::<f32>(),
                rows,
                windows: self.windows[1],
                sums: sums.as_mut_ptr(),
                filters: conv.filters,
            };
            let walks = walks_of(isa);
            let len = conv.columns.kernel * conv.channels;
            let at = Part { patch_run: conv.rows.dilation * line, weights_run: len, ..Part::default() };
            walks.quad_parts(conv.rows.kernel, len, at, &mut |part| {
                // SAFETY: lengths are checked above; quads of whole windows lie inside the rows made.
                unsafe { (walks.quad)(part, &walk) }
            });
        }
    }
}
