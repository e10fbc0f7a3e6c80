//! Tasks that write to two slices: a gradient, and sums that go with it.

use crate::kernels::par::{Pool, Split};

/// Cuts `a` in chunks of `a_chunk` and `b` in chunks of `b_chunk` numbers, equally many, and runs
/// `f(chunk number, chunk of a, chunk of b)` for each pair. The last chunks may be shorter.
///
/// # Panics
/// If the numbers of chunks differ.
pub fn for_chunk_pairs<T: Send, U: Send>(
    pool: &Pool,
    (a, a_chunk): (&mut [T], usize),
    (b, b_chunk): (&mut [U], usize),
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let chunks = a.len().div_ceil(a_chunk);
    assert_eq!(chunks, b.len().div_ceil(b_chunk), "as many chunks of one slice as of the other");
    let (a, b) = (Split::new(a), Split::new(b));
    pool.run(chunks, |task| {
        // SAFETY: chunks of different tasks do not overlap, and each task runs once.
        let a = unsafe { a.piece(task * a_chunk, ((task + 1) * a_chunk).min(a.len())) };
        // SAFETY: as above.
        let b = unsafe { b.piece(task * b_chunk, ((task + 1) * b_chunk).min(b.len())) };
        f(task, a, b);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_cover_both_slices() {
        let (mut a, mut b) = (vec![0; 103], vec![0; 21]);
        for_chunk_pairs(&Pool::new(2), (&mut a, 10), (&mut b, 2), |task, a, b| {
            a.fill(task);
            b.fill(task);
        });
        assert!(a.iter().enumerate().all(|(i, v)| *v == i / 10));
        assert!(b.iter().enumerate().all(|(i, v)| *v == i / 2));
    }

    #[test]
    #[should_panic(expected = "as many chunks")]
    fn unequal_numbers_of_chunks_are_refused() {
        for_chunk_pairs(&Pool::new(1), (&mut [0; 5], 2), (&mut [0; 5], 3), |_, _, _| ());
    }
}
