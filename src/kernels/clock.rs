//! How long the threads of a pool work and wait: counted only while somebody asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Counters that the pool's threads add to. Off, each job costs a look at a flag.
#[derive(Debug, Default)]
pub struct Clock {
    on: AtomicBool,
    worked: AtomicU64,
    waited: AtomicU64,
}

/// Nanoseconds since the pool was made, while its clock was on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// That workers were inside jobs, summed over the workers. The caller's own time is not in it.
    pub worked: u64,
    /// That the caller waited for workers at the ends of jobs.
    pub waited: u64,
}

impl Clock {
    /// Switches counting on or off, between jobs.
    pub fn count(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Exact between jobs: whoever was inside one has added its time before it left.
    pub fn read(&self) -> Reading {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading { worked: load(&self.worked), waited: load(&self.waited) }
    }

    /// Now, if the clock is on.
    pub(super) fn start(&self) -> Option<Instant> {
        self.on.load(Ordering::Relaxed).then(Instant::now)
    }

    /// A worker leaves a job that it entered at `start`.
    pub(super) fn worked(&self, start: Option<Instant>) {
        add(&self.worked, start);
    }

    /// The caller's wait, begun at `start`, is over.
    pub(super) fn waited(&self, start: Option<Instant>) {
        add(&self.waited, start);
    }
}

fn add(counter: &AtomicU64, start: Option<Instant>) {
    if let Some(start) = start {
        counter.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}
