//! What the machine has, and what it could do at most.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::kernels::aligned::Aligned;
use crate::kernels::isa::isa;
use crate::kernels::par::{Pool, for_chunks};
use crate::kernels::peak::{multiply_adds, scaled_copy};

/// Bytes of main memory, where the system tells (Linux).
pub fn memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The processor's name, where the system tells (Linux); else the architecture's.
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH.to_string(), |(_, name)| name.trim().to_string())
}

/// Bytes of the last cache before main memory, where the system tells (Linux).
fn last_cache() -> Option<usize> {
    let size = |level: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{level}/size");
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().strip_suffix('K')?.parse().ok().map(|kilobytes: usize| kilobytes * 1024)
    };
    (0..8).filter_map(size).max()
}

/// Rates that no kernel can be faster than.
#[derive(Clone, Debug, PartialEq)]
pub struct Peaks {
    /// Additions and multiplications a second: of all threads, and of one alone.
    pub fma: f64,
    pub fma_one_thread: f64,
    /// Bytes of memory, and the bytes a second (read and written ones) that all threads copy from one
    /// half of them to the other, again and again: the rate for what was touched so many bytes ago. From
    /// few bytes to many.
    pub copy: Vec<(usize, f64)>,
}

/// Which peak work is up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Fma,
    Copy,
}

/// Slices of time of which the best one counts: whatever disturbs the machine makes it slower.
const SLICES: usize = 5;
const SLICE: Duration = Duration::from_millis(10);

/// Rounds of multiply-adds, and numbers that are copied, between two looks at the clock: well under a
/// slice.
const ROUNDS: usize = 1 << 13;
const PIECE: usize = 1 << 15;

/// The least memory that a copy is measured in, for each thread.
const LEAST_COPIED: usize = 1 << 15;

impl Peaks {
    /// Measures on all threads of a pool, with copies in up to `working_set` bytes; beyond twice the last
    /// cache more of them change nothing. Takes up to half a second.
    pub fn measure(pool: &Pool, working_set: usize) -> Peaks {
        let arithmetic = |_, _: &mut ()| multiply_adds(isa(), ROUNDS);
        let fma = best_rate(pool, &mut vec![(); pool.threads()], arithmetic);
        let fma_one_thread = best_rate(&Pool::new(1), &mut [()], arithmetic);
        let most = 2 * last_cache().unwrap_or(1 << 25).max(1 << 25);
        Peaks { fma, fma_one_thread, copy: copy_rates(pool, working_set.min(most)) }
    }

    /// The better figures of two measurements: a machine that has been idle may need a while.
    pub fn better(&self, other: &Peaks) -> Peaks {
        let rates = self.copy.iter().zip(&other.copy);
        Peaks {
            fma: self.fma.max(other.fma),
            fma_one_thread: self.fma_one_thread.max(other.fma_one_thread),
            copy: rates.map(|(a, b)| (a.0, a.1.max(b.1))).collect(),
        }
    }

    /// Bytes a second that are copied in so much memory; between two measurements along the line through
    /// both, over the bytes' logarithm.
    pub fn copy_within(&self, bytes: usize) -> f64 {
        let after = self.copy.partition_point(|(measured, _)| *measured < bytes);
        match (after.checked_sub(1).map(|i| self.copy[i]), self.copy.get(after)) {
            (Some(below), Some(above)) => {
                let log = |bytes: usize| (bytes as f64).ln();
                let way = (log(bytes) - log(below.0)) / (log(above.0) - log(below.0));
                below.1 + way * (above.1 - below.1)
            }
            (Some((_, rate)), None) | (None, Some(&(_, rate))) => rate,
            (None, None) => unreachable!("at least one copy is measured"),
        }
    }
}

/// What all threads together do in a second, at their best. `run(round, own)` says how much it did;
/// `own` is one thing for each thread.
fn best_rate<T: Send>(pool: &Pool, own: &mut [T], run: impl Fn(usize, &mut T) -> f64 + Sync) -> f64 {
    let done: Vec<Mutex<f64>> = (0..SLICES).map(|_| Mutex::new(0.0)).collect();
    let here = AtomicUsize::new(0);
    let threads = own.len();
    for_chunks(pool, own, 1, |_, own| {
        // A thread that sleeps takes a while to come; without it nothing is measured.
        here.fetch_add(1, Ordering::SeqCst);
        while here.load(Ordering::SeqCst) < threads {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        for round in 0.. {
            let amount = run(round, &mut own[0]);
            let slice = (begun.elapsed().as_nanos() / SLICE.as_nanos()) as usize;
            // The run that goes beyond the end still counts: there is one for certain.
            *done[slice.min(SLICES - 1)].lock().unwrap_or_else(|e| e.into_inner()) += amount;
            if slice >= SLICES {
                return;
            }
        }
    });
    let done = done.into_iter().map(|d| d.into_inner().unwrap_or_else(|e| e.into_inner()));
    done.fold(0.0, f64::max) / SLICE.as_secs_f64()
}

/// Copies in more and more memory, up to `most` bytes.
fn copy_rates(pool: &Pool, most: usize) -> Vec<(usize, f64)> {
    let threads = pool.threads();
    let least = LEAST_COPIED * threads;
    let sizes = std::iter::successors(Some(least), |bytes| Some(bytes * 4)).take_while(|bytes| *bytes < most);
    let sizes: Vec<usize> = sizes.chain([most.max(least)]).collect();
    let numbers = most.max(least) / (2 * size_of::<f32>());
    let (mut from, mut to) = (Aligned::zeroed(numbers), Aligned::zeroed(numbers));
    // Memory that was never written to is one page of zeros for all addresses.
    from.fill(1.0);
    to.fill(1.0);
    let rate = |bytes: usize| {
        let part = bytes / (2 * threads * size_of::<f32>());
        let own = from.chunks_exact(part).zip(to.chunks_exact_mut(part)).take(threads);
        let rate = best_rate(pool, &mut own.collect::<Vec<_>>(), |round, (from, to)| {
            let start = round % part.div_ceil(PIECE) * PIECE;
            let piece = start..(start + PIECE).min(part);
            scaled_copy(0.5, &from[piece.clone()], &mut to[piece.clone()]);
            (2 * piece.len() * size_of::<f32>()) as f64
        });
        (bytes, rate)
    };
    sizes.into_iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_between_the_measured_ones_lie_between() {
        let copy = vec![(1 << 10, 100.0), (1 << 12, 80.0), (1 << 13, 10.0)];
        let peaks = Peaks { fma: 1.0, fma_one_thread: 1.0, copy };
        let rates = [1, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 20].map(|bytes| peaks.copy_within(bytes));
        assert_eq!(rates, [100.0, 100.0, 90.0, 80.0, 10.0, 10.0]);
    }

    #[test]
    fn the_better_figures_count() {
        let a = Peaks { fma: 1.0, fma_one_thread: 4.0, copy: vec![(10, 5.0), (20, 1.0)] };
        let b = Peaks { fma: 2.0, fma_one_thread: 3.0, copy: vec![(10, 4.0), (20, 3.0)] };
        let better = Peaks { fma: 2.0, fma_one_thread: 4.0, copy: vec![(10, 5.0), (20, 3.0)] };
        assert_eq!(a.better(&b), better);
    }

    #[test]
    fn peaks_are_found_for_any_number_of_threads_and_bytes() {
        for (threads, bytes, copies) in [(1, 0, 1), (2, 1 << 20, 3), (3, 1_000_003, 3)] {
            let peaks = Peaks::measure(&Pool::new(threads), bytes);
            assert!(peaks.fma > 0.0 && peaks.fma_one_thread > 0.0, "{peaks:?}");
            assert!(peaks.copy.iter().all(|(_, rate)| *rate > 0.0), "{peaks:?}");
            assert!(peaks.copy.is_sorted_by_key(|c| c.0) && peaks.copy.len() == copies, "{peaks:?}");
        }
    }
}
