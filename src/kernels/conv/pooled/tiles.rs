//! Forward by Winograd's tiles: bands of outputs as ever, but computed by tiles.

use std::ops::Range;

use super::Pooled;
use super::maximum::notes_of;
use crate::kernels::aligned::round_up;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::isa::{Isa, isa};
use crate::kernels::winograd::{TILE, Winograd};

/// Pooled convolutions whose outputs are computed by tiles. Pooled rows are counted through all
/// images.
#[derive(Clone, Copy)]
pub struct ByTiles<'a> {
    pooled: &'a Pooled,
    pub winograd: Winograd,
}

impl Pooled {
    /// Where tiles are the faster way.
    pub fn by_tiles(&self) -> Option<ByTiles<'_>> {
        let winograd = Winograd::of_outputs(&self.conv).filter(|_| !self.is_small())?;
        Some(ByTiles { pooled: self, winograd })
    }
}

impl ByTiles<'_> {
    /// Fewest pooled rows after which both a tile and a window end.
    fn step(&self) -> usize {
        let high = self.pooled.cells[0];
        (1..=TILE).find(|rows| (rows * high).is_multiple_of(TILE)).unwrap_or(TILE)
    }

    /// Equal parts of an image's pooled rows that cut no tile.
    pub fn parts(&self) -> usize {
        let (rows, step) = (self.pooled.windows[0], self.step());
        if rows.is_multiple_of(step) { rows / step } else { 1 }
    }

    /// Pooled rows that are done at a time, from the first row of an image on: as many whole images
    /// as fill a block of tiles, or as much of one image.
    fn band(&self) -> usize {
        let rows = self.pooled.windows[0];
        let block = self.winograd.block() * TILE / self.pooled.cells[0];
        match self.winograd.images_in_block() {
            0 => (block / self.step() * self.step()).clamp(self.step(), rows),
            images => images * rows,
        }
    }

    /// Rows of outputs before a pooled row.
    fn outputs_before(&self, row: usize) -> usize {
        let (pooled, rows) = (self.pooled, self.pooled.windows[0]);
        row / rows * pooled.conv.rows.output + row % rows * pooled.cells[0]
    }

    /// Numbers of scratch that `forward` needs.
    pub fn scratch_len(&self) -> usize {
        let outputs = self.band() * self.pooled.cells[0] * self.pooled.conv.output_row();
        self.winograd.scratch_len() + round_up(outputs)
    }

    /// Computes the pooled rows `rows` of all `images` into `y`, from the transformed kernel; otherwise
    /// as [`Pooled::forward`].
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(
        &self,
        data: (&[f32], &[f32]),
        start: Start<'_>,
        rows: Range<usize>,
        out: (&mut [f32], &mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        self.forward_by(isa(), data, start, rows, out, finish);
    }

    fn forward_by(
        &self,
        isa: Isa,
        (images, kernel): (&[f32], &[f32]),
        start: Start<'_>,
        rows: Range<usize>,
        (y, notes, scratch): (&mut [f32], &mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let (pooled, all) = (self.pooled, self.pooled.windows[0]);
        let (line, y_row, notes_row) = (pooled.conv.output_row(), pooled.pooled_row(), pooled.notes_row());
        let (own, scratch) = scratch.split_at_mut(self.winograd.scratch_len());
        let mut row = rows.start;
        while row < rows.end {
            // A band that is part of an image ends with it.
            let most = if self.band() < all { all - row % all } else { usize::MAX };
            let band_end = (row + self.band().min(most)).min(rows.end);
            let outputs = self.outputs_before(row)..self.outputs_before(band_end);
            let band = &mut scratch[..outputs.len() * line];
            self.winograd.run_by(isa, (images, kernel), start, outputs.clone(), (band, own), &as_is);
            while row < band_end {
                // The last windows of each image may be cut off.
                let end = (row + all - row % all).min(band_end);
                let [from, to] = [row, end].map(|row| (self.outputs_before(row) - outputs.start) * line);
                let pieces = row - rows.start..end - rows.start;
                let y = &mut y[pieces.start * y_row..pieces.end * y_row];
                let notes = notes_of(notes, &pieces, notes_row);
                pooled.pool_band(isa, &band[from..to], y, notes);
                finish(y);
                row = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Case, PLAIN, numbers, window};
    use crate::kernels::gemm::{Start, as_is};
    use crate::kernels::guarded::{Guarded, Tight};
    use crate::kernels::isa::Isa;
    use crate::kernels::par::Pool;
    use crate::shape::Padding;

    const IMAGES: usize = 3;

    /// Maxima and places of all images, by the direct kernels.
    fn directly(case: &Case, x: &[f32], w: &[f32], bias: &[f32]) -> [Vec<f32>; 2] {
        let (conv, pooled) = case.build();
        let mut y = vec![0.0; IMAGES * pooled.pooled_len()];
        let mut notes = vec![0.0; IMAGES * pooled.windows[0] * pooled.notes_row()];
        let mut scratch = vec![f32::NAN; pooled.forward_scratch()];
        let per_image = notes.len() / IMAGES;
        let out = y.chunks_mut(pooled.pooled_len()).zip(notes.chunks_mut(per_image));
        for (x, (y, notes)) in x.chunks(conv.image_len()).zip(out) {
            let all = 0..pooled.windows[0];
            pooled.forward(x, w, Some(bias), all, (y, notes, &mut scratch), &as_is);
        }
        [y, notes]
    }

    /// By tiles, all rows in pieces of `rows`, in buffers that touch guard pages.
    fn check(case: &Case, rows: usize) {
        let (conv, pooled) = case.build();
        let tiles = pooled.by_tiles().unwrap_or_else(|| panic!("{case:?} goes by tiles"));
        let (x, w) = (numbers(IMAGES * conv.image_len(), 1), numbers(conv.kernel_len(), 2));
        let bias = numbers(conv.filters, 3);
        let [expected, places] = directly(case, &x, &w, &bias);
        let mut kernel = vec![0.0; tiles.winograd.kernel_len()];
        tiles.winograd.transform_kernel(&Pool::new(1), &w, &mut kernel);
        let all = IMAGES * pooled.windows[0];
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for tight in Tight::BOTH {
                let mut given = [&x, &kernel, &bias].map(|data| Guarded::holding(data, tight));
                let [x, kernel, bias] = given.each_mut().map(|g| &*g.part(0));
                let garbage = vec![f32::NAN; tiles.scratch_len()];
                let mut own = Guarded::holding(&garbage, tight);
                for first in (0..all).step_by(rows) {
                    let rows = first..(first + rows).min(all);
                    let lens = [pooled.pooled_row(), pooled.notes_row()];
                    let mut out = lens.map(|len| Guarded::new(&[rows.len() * len], tight));
                    let [y, notes] = out.each_mut().map(|g| g.part(0));
                    let to = (&mut *y, &mut *notes, &mut *own.part(0));
                    let add = |y: &mut [f32]| y.iter_mut().for_each(|y| *y += 1.0);
                    tiles.forward_by(isa, (x, kernel), Start::Bias(bias), rows.clone(), to, &add);
                    let expected = &expected[rows.start * lens[0]..rows.end * lens[0]];
                    for (y, expected) in y.iter().zip(expected) {
                        assert!(
                            (y - 1.0 - expected).abs() < 1e-4,
                            "{y} for 1 + {expected}: {case:?}, {isa:?}"
                        );
                    }
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
                    let places = &places[rows.start * lens[1]..rows.end * lens[1]];
                    assert!(notes.iter().zip(places).all(same), "places of {case:?}, {isa:?}");
                    let to = (&mut *y, &mut [][..], &mut *own.part(0));
                    tiles.forward_by(isa, (x, kernel), Start::Bias(bias), rows, to, &as_is);
                    assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-4), "without notes");
                }
            }
        }
    }

    #[test]
    fn equals_the_direct_way() {
        let same = [window(3, 1, 1, Padding::Same); 2];
        check(&PLAIN, 3 * 5);
        check(&PLAIN, 2 * 5);
        check(&PLAIN, 2);
        check(&Case { size: [12, 20], windows: same, filters: 32, ..PLAIN }, 2);
        check(&Case { size: [11, 13], windows: same, filters: 48, cut: true, ..PLAIN }, 6);
        check(&Case { size: [26, 14], windows: same, cells: [3, 2], cut: true, ..PLAIN }, 9);
    }

    /// More rows of tiles than one block has: a band is a part of an image.
    #[test]
    fn large_images_go_band_by_band() {
        let same = [window(3, 1, 1, Padding::Same); 2];
        for cells in [[2, 2], [3, 3], [1, 4], [5, 1]] {
            let case = Case { size: [38, 21], windows: same, cells, cut: true, ..PLAIN };
            check(&case, 38usize.div_ceil(cells[0]));
            check(&case, 4);
        }
    }

    #[test]
    fn narrow_or_other_convolutions_do_not_go_by_tiles() {
        for case in [
            Case { channels: 8, ..PLAIN },
            Case { windows: [window(3, 2, 1, Padding::Valid); 2], ..PLAIN },
            Case { windows: [window(5, 1, 1, Padding::Same); 2], ..PLAIN },
            Case { size: [4, 4], ..PLAIN },
        ] {
            assert!(case.build().1.by_tiles().is_none(), "{case:?}");
        }
    }
}
