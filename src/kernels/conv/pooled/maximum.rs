//! Forward: bands of outputs, reduced to the maxima of their windows.

use std::ops::Range;

use super::{BAND, Pooled};
use crate::kernels::gemm::as_is;

/// Channels of a block: one register at most.
const BLOCK: usize = 16;

/// The windows of one pooled row, in a band of outputs.
struct Row {
    /// Numbers of one row of outputs.
    line: usize,
    filters: usize,
    /// Rows and columns of outputs: the last windows may be cut off.
    rows: usize,
    columns: usize,
    /// Columns of a whole window.
    width: usize,
}

/// The largest number of one window for L filters, and where it was first met. NaN counts as
/// largest: a maximum must not hide a divergence.
#[inline(always)]
fn window<const L: usize>(x: &[f32], row: &Row, columns: usize, y: &mut [f32], places: Option<&mut [u8]>) {
    let load = |at: usize| -> [f32; L] { *x[at..].first_chunk().expect("a window lies inside its band") };
    let (mut best, mut place) = (load(0), [0u32; L]);
    for r in 0..row.rows {
        for c in 0..columns {
            let (x, here) = (load(r * row.line + c * row.filters), (r * row.width + c) as u32);
            for i in 0..L {
                let larger = x[i] > best[i] || x[i].is_nan();
                best[i] = if larger { x[i] } else { best[i] };
                place[i] = if larger { here } else { place[i] };
            }
        }
    }
    y[..L].copy_from_slice(&best);
    if let Some(places) = places {
        places[..L].copy_from_slice(&place.map(|p| p as u8));
    }
}

simd! {
    /// One pooled row; `places` is empty where nobody wants them.
    fn pool_row(x: &[f32], row: &Row, y: &mut [f32], places: &mut [u8]) {
        let noted = !places.is_empty();
        for (w, y) in y.chunks_exact_mut(row.filters).enumerate() {
            let columns = row.width.min(row.columns - w * row.width);
            let from = w * row.width * row.filters;
            let mut f = 0;
            while f < row.filters {
                let x = &x[from + f..];
                let at = noted.then(|| &mut places[w * row.filters + f..]);
                if f + BLOCK <= row.filters {
                    window::<BLOCK>(x, row, columns, &mut y[f..], at);
                    f += BLOCK;
                } else {
                    window::<1>(x, row, columns, &mut y[f..], at);
                    f += 1;
                }
            }
        }
    }
}

impl Pooled {
    /// Pooled rows of a band.
    fn band(&self) -> usize {
        (BAND / (self.cells[0] * self.conv.output_row()).max(1)).clamp(1, self.windows[0])
    }

    /// Numbers of scratch that `forward` needs.
    pub fn forward_scratch(&self) -> usize {
        self.conv.padded_len() + self.band() * self.cells[0] * self.conv.output_row()
    }

    /// Computes the pooled rows `rows` of one image into `y`, and into `notes`, unless it is empty,
    /// where in its window each maximum lies. `finish` gets each band when it is done.
    pub fn forward(
        &self,
        image: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        rows: Range<usize>,
        (y, notes, scratch): (&mut [f32], &mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let (conv, high) = (&self.conv, self.cells[0]);
        let (band, padded) = scratch.split_at_mut(scratch.len() - conv.padded_len());
        let mut row = rows.start;
        while row < rows.end {
            let end = (row + self.band()).min(rows.end);
            let outputs = row * high..(end * high).min(conv.rows.output);
            let band = &mut band[..outputs.len() * conv.output_row()];
            conv.forward(image, kernel, bias, outputs, (band, padded), &as_is);
            let y = &mut y[(row - rows.start) * self.pooled_row()..(end - rows.start) * self.pooled_row()];
            let lines = band.chunks(high * conv.output_row()).zip(y.chunks_exact_mut(self.pooled_row()));
            for (r, (band, y)) in lines.enumerate() {
                let shape = Row {
                    line: conv.output_row(),
                    filters: conv.filters,
                    rows: band.len() / conv.output_row(),
                    columns: conv.columns.output,
                    width: self.cells[1],
                };
                let from = (row + r - rows.start) * self.notes_row();
                let places = match notes.is_empty() {
                    true => &mut [][..],
                    false => bytes(&mut notes[from..from + self.notes_row()]),
                };
                pool_row(band, &shape, y, places);
            }
            finish(y);
            row = end;
        }
    }
}

/// Notes as the bytes that they are.
fn bytes(notes: &mut [f32]) -> &mut [u8] {
    // SAFETY: the same memory; any bytes are a number and any number is bytes.
    unsafe { std::slice::from_raw_parts_mut(notes.as_mut_ptr().cast(), size_of_val(notes)) }
}

/// As `bytes`, for reading.
pub(super) fn bytes_of(notes: &[f32]) -> &[u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(notes.as_ptr().cast(), size_of_val(notes)) }
}
