//! Forward: bands of outputs, reduced to the maxima of their windows.

use std::ops::Range;

use super::lanes::{Lanes, on_lanes};
use super::{BAND, Pooled};
use crate::kernels::gemm::as_is;
use crate::kernels::isa::{Isa, isa};

/// The windows of one pooled row, over a band of outputs.
struct Row {
    x: *const f32,
    /// Numbers of one row of outputs.
    line: usize,
    filters: usize,
    /// Rows and columns of outputs: the last windows may be cut off.
    rows: usize,
    columns: usize,
    /// Columns of a whole window, and windows.
    width: usize,
    windows: usize,
    y: *mut f32,
    /// Null where nobody wants to know.
    places: *mut u8,
}

/// # Safety
/// The machine has the instruction set, and the row's memory is valid.
#[inline(always)]
unsafe fn pool_row_of<V: Lanes>(row: &Row) {
    // SAFETY: the caller vouches for all that is read and written.
    unsafe {
        for window in 0..row.windows {
            let columns = row.width.min(row.columns - window * row.width);
            for f in (0..row.filters).step_by(V::COUNT) {
                let count = (row.filters - f).min(V::COUNT);
                let some = V::first(count);
                let x = row.x.add(window * row.width * row.filters + f);
                let (mut best, mut places) = (V::load_some(x, some), V::first_place());
                for r in 0..row.rows {
                    for c in 0..columns {
                        let x = V::load_some(x.add(r * row.line + c * row.filters), some);
                        (best, places) = best.larger(x, places, (r * row.width + c) as u8);
                    }
                }
                let at = window * row.filters + f;
                best.store_some(row.y.add(at), some);
                if !row.places.is_null() {
                    V::store_places(places, row.places.add(at), count);
                }
            }
        }
    }
}

on_lanes! {
    /// # Safety
    /// As `pool_row_of`.
    unsafe fn pool_row = pool_row_of(row: &Row);
}

impl Pooled {
    /// Pooled rows of a band.
    fn band(&self) -> usize {
        (BAND / (self.cells[0] * self.conv.output_row()).max(1)).clamp(1, self.windows[0])
    }

    /// Numbers of scratch that `forward` needs.
    pub fn forward_scratch(&self) -> usize {
        match self.is_small() {
            true => self.border_scratch(),
            false => self.conv.padded_len() + self.band() * self.cells[0] * self.conv.output_row(),
        }
    }

    /// Computes the pooled rows `rows` of one image into `y`, and into `notes`, unless it is empty,
    /// where in its window each maximum lies. `finish` gets each piece of `y` when it is done.
    pub fn forward(
        &self,
        image: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        rows: Range<usize>,
        (y, notes, scratch): (&mut [f32], &mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        self.forward_by(isa(), image, (kernel, bias), rows, (y, notes, scratch), finish);
    }

    pub(super) fn forward_by(
        &self,
        isa: Isa,
        image: &[f32],
        (kernel, bias): (&[f32], Option<&[f32]>),
        rows: Range<usize>,
        (y, notes, scratch): (&mut [f32], &mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        if self.is_small() {
            self.forward_small(isa, image, (kernel, bias), rows, (y, notes, scratch));
            finish(y);
            return;
        }
        let (conv, high) = (&self.conv, self.cells[0]);
        let (padded, band) = scratch.split_at_mut(conv.padded_len());
        let mut row = rows.start;
        while row < rows.end {
            let end = (row + self.band()).min(rows.end);
            let outputs = row * high..(end * high).min(conv.rows.output);
            let band = &mut band[..outputs.len() * conv.output_row()];
            conv.forward(image, kernel, bias, outputs, (band, padded), &as_is);
            let pieces = row - rows.start..end - rows.start;
            let y = &mut y[pieces.start * self.pooled_row()..pieces.end * self.pooled_row()];
            let notes = notes_of(notes, &pieces, self.notes_row());
            self.pool_band(isa, band, y, notes);
            finish(y);
            row = end;
        }
    }

    /// Reduces a band of outputs to whole pooled rows.
    pub(super) fn pool_band(&self, isa: Isa, band: &[f32], y: &mut [f32], notes: &mut [f32]) {
        let line = self.conv.output_row();
        let rows = band.chunks(self.cells[0] * line).zip(y.chunks_exact_mut(self.pooled_row()));
        for (r, (band, y)) in rows.enumerate() {
            let row = Row {
                x: band.as_ptr(),
                line,
                filters: self.conv.filters,
                rows: band.len() / line,
                columns: self.conv.columns.output,
                width: self.cells[1],
                windows: self.windows[1],
                y: y.as_mut_ptr(),
                places: places_of(notes_of(notes, &(r..r + 1), self.notes_row())),
            };
            // SAFETY: the windows' cells lie inside the band, their maxima inside y and notes.
            unsafe { pool_row(isa, &row) }
        }
    }
}

/// The notes of some pooled rows; none where there are none.
pub(super) fn notes_of<'a>(notes: &'a mut [f32], rows: &Range<usize>, row: usize) -> &'a mut [f32] {
    if notes.is_empty() { notes } else { &mut notes[rows.start * row..rows.end * row] }
}

/// Where places are noted: null if nobody wants them.
pub(super) fn places_of(notes: &mut [f32]) -> *mut u8 {
    if notes.is_empty() { std::ptr::null_mut() } else { notes.as_mut_ptr().cast() }
}

/// Notes as the bytes that they are.
pub(super) fn bytes_of(notes: &[f32]) -> &[u8] {
    // SAFETY: the same memory; any number is bytes.
    unsafe { std::slice::from_raw_parts(notes.as_ptr().cast(), size_of_val(notes)) }
}
