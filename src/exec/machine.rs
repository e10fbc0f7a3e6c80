//! What the machine has, and what it could do at most.

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Additions and multiplications a second: of all threads, and of one alone.
    pub fma: f64,
    pub fma_one_thread: f64,
    /// Bytes a second, read and written ones counted, of all threads copying `copied` bytes (both
    /// arrays together).
    pub copy: f64,
    pub copied: usize,
}

/// Which peak work is up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Fma,
    Copy,
}

/// Time for each of the three measurements.
const MEASURED: Duration = Duration::from_millis(100);

/// Rounds of multiply-adds, and bytes that are copied, in one run: well under a millisecond.
const ROUNDS: usize = 1 << 16;
const RUN_BYTES: usize = 1 << 24;

impl Peaks {
    /// Measures on all threads of a pool. The copy is among `working_set` bytes: small networks live in
    /// caches, which are several times faster than main memory, and their kernels are judged by that.
    /// Beyond four times the last cache more bytes change nothing. Takes about 0.3 s.
    pub fn measure(pool: &Pool, working_set: usize) -> Peaks {
        let run = || multiply_adds(isa(), ROUNDS);
        let (threads, flops) = (pool.threads(), run());
        let fma_one_thread = best_rate(run);
        let fma = best_rate(|| {
            pool.run(threads, |_| {
                run();
            });
            threads as f64 * flops
        });
        let largest = 4 * last_cache().unwrap_or(1 << 26);
        let (copy, copied) = copy_rate(pool, working_set.clamp(1 << 16, largest));
        Peaks { fma, fma_one_thread, copy, copied }
    }

    /// The larger share of a peak that so much work in so many seconds reaches, and of which peak.
    pub fn share(&self, flops: f64, bytes: f64, seconds: f64) -> (f64, Bound) {
        let (arithmetic, movement) = (flops / self.fma / seconds, bytes / self.copy / seconds);
        if arithmetic > movement { (arithmetic, Bound::Fma) } else { (movement, Bound::Copy) }
    }
}

/// The best rate of many runs, each of which says how much it did: whatever disturbs makes it slower.
fn best_rate(mut run: impl FnMut() -> f64) -> f64 {
    let begun = Instant::now();
    let mut best = 0.0f64;
    while begun.elapsed() < MEASURED {
        let started = Instant::now();
        let done = run();
        best = best.max(done / started.elapsed().as_secs_f64());
    }
    best
}

/// Bytes a second that all threads together copy, and the bytes of the arrays.
fn copy_rate(pool: &Pool, bytes: usize) -> (f64, usize) {
    let threads = pool.threads();
    let part = bytes / (2 * threads * size_of::<f32>());
    let (mut from, mut to) = (Aligned::zeroed(part * threads), Aligned::zeroed(part * threads));
    // Memory that was never written to is one page of zeros for all addresses.
    from.fill(1.0);
    let copied = 2 * part * threads * size_of::<f32>();
    let passes = RUN_BYTES.div_ceil(copied);
    let rate = best_rate(|| {
        for_chunks(pool, &mut to, part, |thread, to| {
            for _ in 0..passes {
                scaled_copy(0.5, &from[thread * part..][..part], to);
            }
        });
        (passes * copied) as f64
    });
    (rate, copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_peak_binds() {
        let peaks = Peaks { fma: 100.0, fma_one_thread: 50.0, copy: 10.0, copied: 1 };
        assert_eq!(peaks.share(300.0, 20.0, 4.0), (0.75, Bound::Fma));
        assert_eq!(peaks.share(300.0, 36.0, 4.0), (0.9, Bound::Copy));
        assert_eq!(peaks.share(0.0, 10.0, 1.0), (1.0, Bound::Copy));
    }

    #[test]
    fn peaks_are_found_for_any_number_of_threads_and_bytes() {
        for (threads, bytes) in [(1, 1), (2, 1 << 20), (3, 1_000_003)] {
            let peaks = Peaks::measure(&Pool::new(threads), bytes);
            assert!(peaks.fma > 0.0 && peaks.fma_one_thread > 0.0 && peaks.copy > 0.0, "{peaks:?}");
            assert!(peaks.copied > 0 && peaks.copied <= bytes.max(1 << 16), "{peaks:?}");
        }
    }
}
