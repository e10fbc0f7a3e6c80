//! Tasks that each write some columns of shared matrices: the heads of attention lie side by side.

use crate::kernels::par::{Pool, Split};

/// Work of fewer multiplications is done by the caller alone: waking the others costs more.
const SERIAL: usize = 1 << 17;

/// Neighbouring groups of columns of a row-major matrix, one group for each part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strip {
    /// Which of the matrices.
    pub matrix: usize,
    /// Numbers of a row of that matrix.
    pub row: usize,
    /// Where the first part's columns begin.
    pub first: usize,
    /// Columns of each part.
    pub width: usize,
}

/// The rows of one sample, cut to one part's columns.
pub struct Rows<'a> {
    split: &'a Split<'a, f32>,
    start: usize,
    row: usize,
    width: usize,
    count: usize,
}

impl Rows<'_> {
    /// Whether there is such a matrix at all.
    pub fn is_wanted(&self) -> bool {
        self.count > 0
    }

    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.count, "row {i} of {}", self.count);
        let from = self.start + i * self.row;
        // SAFETY: the columns belong to this task alone, and `&mut self` lends one row at a time.
        unsafe { self.split.piece(from, from + self.width) }
    }

    /// Fills rows from `first` on with the rows of a dense matrix; nothing is wanted of a matrix that has
    /// no rows.
    pub fn store(&mut self, first: usize, x: &[f32]) {
        if self.is_wanted() {
            for (i, x) in x.chunks_exact(self.width).enumerate() {
                // Heads are often a vector or two wide: too short for a call of memcpy.
                let (blocks, rest) = self.row(first + i).as_chunks_mut::<16>();
                let (from, from_rest) = x.as_chunks::<16>();
                blocks.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                rest.copy_from_slice(from_rest);
            }
        }
    }
}

/// Runs `f(sample, part, its columns of every strip, scratch)` for every sample and part. Each matrix is cut
/// in `samples` equal stretches of rows (an empty one in empty stretches); `scratch` is `per_thread`
/// numbers that belong to the calling thread for the time of the call and hold garbage. `work` is the
/// number of multiplications in all.
///
/// # Panics
/// If a matrix cannot be cut evenly, strips leave their rows or meet, or scratch is too short.
pub fn for_strips_with<const M: usize, const S: usize>(
    pool: &Pool,
    (samples, parts, work): (usize, usize, usize),
    matrices: [&mut [f32]; M],
    strips: [Strip; S],
    (scratch, per_thread): (&mut [f32], usize),
    f: impl Fn(usize, usize, [Rows<'_>; S], &mut [f32]) + Sync,
) {
    if samples == 0 {
        return;
    }
    let ends = |s: &Strip| (s.first, s.first + parts * s.width);
    for (i, a) in strips.iter().enumerate() {
        assert!(ends(a).1 <= a.row, "{a:?} of {parts} parts leaves its rows");
        assert!(matrices[a.matrix].len().is_multiple_of(samples * a.row), "{a:?} of {samples} samples");
        for b in strips[..i].iter().filter(|b| b.matrix == a.matrix) {
            assert!(b.row == a.row && (ends(a).1 <= b.first || ends(b).1 <= a.first), "{a:?} meets {b:?}");
        }
    }
    let splits = matrices.map(Split::new);
    let scratch = Split::new(scratch);
    let run = |task: usize, thread: usize| {
        let (sample, part) = (task / parts, task % parts);
        let rows = strips.map(|s| {
            let split = &splits[s.matrix];
            let count = split.len() / (samples * s.row);
            let start = sample * count * s.row + s.first + part * s.width;
            Rows { split, start, row: s.row, width: s.width, count }
        });
        // SAFETY: a thread does one task at a time, and no two threads have the same number.
        let own = unsafe { scratch.piece(thread * per_thread, (thread + 1) * per_thread) };
        f(sample, part, rows, own);
    };
    if work < SERIAL {
        (0..samples * parts).for_each(|task| run(task, 0));
    } else {
        pool.run_on(samples * parts, run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_writes_its_columns() {
        let strips = [
            Strip { matrix: 0, row: 7, first: 0, width: 2 },
            Strip { matrix: 0, row: 7, first: 4, width: 1 },
            Strip { matrix: 1, row: 2, first: 0, width: 1 },
        ];
        for (threads, work) in [(1, SERIAL), (3, SERIAL), (3, 0)] {
            let (mut a, mut scratch) = (vec![-1.0; 3 * 2 * 7], vec![0.0; 3]);
            let matrices = [&mut a[..], &mut []];
            let run = |sample: usize,
                       part: usize,
                       [mut wide, mut thin, mut none]: [Rows<'_>; 3],
                       own: &mut [f32]| {
                own.fill((10 * sample + part) as f32);
                wide.store(0, &[own[0]; 4]);
                (0..2).for_each(|i| thin.row(i).copy_from_slice(&[own[0] + 100.0]));
                none.store(0, own);
            };
            for_strips_with(&Pool::new(threads), (3, 2, work), matrices, strips, (&mut scratch, 1), run);
            for (i, row) in a.chunks(7).enumerate() {
                let n = (i / 2 * 10) as f32;
                assert_eq!(row, [n, n, n + 1.0, n + 1.0, n + 100.0, n + 101.0, -1.0]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "meets")]
    fn strips_that_meet_are_refused() {
        let strip = |first| Strip { matrix: 0, row: 4, first, width: 1 };
        let strips = [strip(0), strip(1)];
        for_strips_with(&Pool::new(1), (1, 2, 0), [&mut [0.0; 4][..]], strips, (&mut [], 0), |_, _, _, _| {});
    }
}
