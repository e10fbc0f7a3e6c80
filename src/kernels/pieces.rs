//! Tasks that each get a piece of several slices, and scratch space of their thread.

use crate::kernels::par::{Pool, Split};

/// Work of fewer multiplications is done by the caller alone: waking the others costs more.
const SERIAL: usize = 1 << 17;

/// Cuts each slice of `data` in `tasks` equal pieces (an empty slice in empty ones) and runs
/// `f(task, its pieces, scratch)` for every task; `scratch` is `per_thread` numbers that belong to
/// the calling thread for the time of the call and hold garbage. `work` is the number of
/// multiplications in all.
///
/// # Panics
/// If a slice cannot be cut evenly, or `scratch` is too short for the pool's threads.
pub fn for_pieces_with<const N: usize>(
    pool: &Pool,
    (tasks, work): (usize, usize),
    data: [&mut [f32]; N],
    scratch: &mut [f32],
    per_thread: usize,
    f: impl Fn(usize, [&mut [f32]; N], &mut [f32]) + Sync,
) {
    if tasks == 0 {
        return;
    }
    assert!(data.iter().all(|d| d.len() % tasks == 0), "slices are cut in {tasks} equal pieces");
    let data = data.map(|d| (d.len() / tasks, d));
    for_chunks_with(pool, (tasks, work), data, scratch, per_thread, f);
}

/// As [`for_pieces_with`], in pieces of the lengths that stand before the slices; the last piece of a
/// slice may be shorter.
pub fn for_chunks_with<const N: usize>(
    pool: &Pool,
    (tasks, work): (usize, usize),
    data: [(usize, &mut [f32]); N],
    scratch: &mut [f32],
    per_thread: usize,
    f: impl Fn(usize, [&mut [f32]; N], &mut [f32]) + Sync,
) {
    let data = data.map(|(len, slice)| (len, slice.len(), Split::new(slice)));
    let scratch = Split::new(scratch);
    let run = |task: usize, thread: usize| {
        let pieces = std::array::from_fn(|i| {
            let (len, end, slice) = &data[i];
            // SAFETY: pieces of different tasks do not overlap, and each task runs once.
            unsafe { slice.piece((task * len).min(*end), ((task + 1) * len).min(*end)) }
        });
        // SAFETY: a thread does one task at a time, and no two threads have the same number.
        let own = unsafe { scratch.piece(thread * per_thread, (thread + 1) * per_thread) };
        f(task, pieces, own);
    };
    if work < SERIAL {
        (0..tasks).for_each(|task| run(task, 0));
    } else {
        pool.run_on(tasks, run);
    }
}

/// Cuts several slices of one length in chunks and runs `f(chunk number, its chunks)` for each;
/// empty slices give empty chunks. The last chunks may be shorter.
///
/// # Panics
/// If a slice is neither empty nor as long as the first.
pub fn for_equal_chunks<const N: usize>(
    pool: &Pool,
    data: [&mut [f32]; N],
    chunk: usize,
    f: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    let len = data.first().map_or(0, |d| d.len());
    assert!(data.iter().all(|d| d.is_empty() || d.len() == len), "slices of one length, or empty");
    let splits = data.map(Split::new);
    pool.run(len.div_ceil(chunk), |task| {
        let chunks = std::array::from_fn(|i| {
            let whole = splits[i].len();
            // SAFETY: chunks of different tasks do not overlap, and each task runs once.
            unsafe { splits[i].piece((task * chunk).min(whole), ((task + 1) * chunk).min(whole)) }
        });
        f(task, chunks);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_chunks_cover_all_slices() {
        for threads in [1, 3] {
            let (mut a, mut b) = (vec![0.0; 103], vec![0.0; 103]);
            for_equal_chunks(&Pool::new(threads), [&mut a, &mut [], &mut b], 10, |task, [a, none, b]| {
                assert!(none.is_empty());
                a.fill(task as f32);
                b.fill(-(task as f32));
            });
            assert!((0..103).all(|i| a[i] == (i / 10) as f32 && b[i] == -a[i]));
        }
    }

    #[test]
    #[should_panic(expected = "one length")]
    fn chunks_of_unequal_slices_are_refused() {
        for_equal_chunks(&Pool::new(1), [&mut [0.0; 4][..], &mut [0.0; 3]], 2, |_, _| {});
    }

    #[test]
    fn every_task_gets_its_pieces_and_its_threads_scratch() {
        for (threads, work) in [(1, SERIAL), (3, SERIAL), (3, 0)] {
            let (mut a, mut b) = (vec![0.0; 40], vec![0.0; 20]);
            let mut scratch = vec![0.0; 3 * threads];
            let data = [&mut a[..], &mut b[..], &mut []];
            for_pieces_with(
                &Pool::new(threads),
                (20, work),
                data,
                &mut scratch,
                3,
                |task, [a, b, none], own| {
                    assert_eq!((a.len(), b.len(), none.len(), own.len()), (2, 1, 0, 3));
                    own.fill(task as f32);
                    a.fill(own[0]);
                    b.fill(own[2]);
                },
            );
            assert!((0..40).all(|i| a[i] == (i / 2) as f32 && b[i / 2] == (i / 2) as f32));
        }
    }

    #[test]
    fn the_last_chunk_may_be_shorter() {
        let (mut a, mut b) = (vec![0.0; 7], vec![0.0; 2]);
        let data = [(3, &mut a[..]), (1, &mut b[..])];
        for_chunks_with(&Pool::new(2), (3, SERIAL), data, &mut [], 0, |task, [a, b], _| {
            assert_eq!((a.len(), b.len()), [(3, 1), (3, 1), (1, 0)][task]);
            a.fill(task as f32);
        });
        assert_eq!(a, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "equal pieces")]
    fn uneven_slices_are_refused() {
        for_pieces_with(&Pool::new(1), (3, 0), [&mut [0.0; 4][..]], &mut [], 0, |_, _, _| {});
    }
}
