//! The one thread pool.
//!
//! A job is a function of a task number. Each thread begins with a stretch of tasks of its own, so
//! that from job to job a core meets the same images, rows or weights in its cache; who is done
//! takes tasks from the far end of another's stretch. Which thread runs a task never changes a
//! result: tasks write to places of their own, and sums over tasks are taken afterwards in task
//! order. A worker that is not there in time (parked, or its core busy with something else) is not
//! waited for: the others do its tasks.
//!
//! Workers spin shortly for the next job, then yield, then park; while somebody holds [`Awake`],
//! as a training step does, they only yield: one wake-up serves all jobs of the step. After a step that
//! had no job for them, as those of small networks, they are left asleep until there is one.

use std::any::Any;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

use crate::kernels::clock::Clock;

/// `state` counts the workers inside the job in its low bits; above them is the job's number,
/// and between the two the bit that says whether workers may still enter.
const INSIDE: u64 = 0xFFFF;
const OPEN: u64 = 1 << 16;
const NEXT_JOB: u64 = 1 << 17;

/// Rounds of busy waiting before a worker yields, and of yielding before it parks: together about
/// 100 us, longer than the pauses inside a training step and far shorter than a batch of file work.
const SPINS: u32 = 4096;
const YIELDS: u32 = 64;

type Job = *const (dyn Fn(usize, usize) + Sync);

struct Shared {
    state: AtomicU64,
    /// What is left of each thread's stretch of tasks.
    stretches: Vec<Stretch>,
    job: UnsafeCell<Option<Job>>,
    quit: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// How many [`Awake`] there are: no worker parks meanwhile.
    awake: AtomicUsize,
    /// The last [`Awake`] saw no job, and none came since.
    idle: AtomicBool,
    parked: Vec<AtomicBool>,
    clock: Clock,
}

/// Tasks `front..back`: the front in the low half, the back in the high one. On a cache line, and
/// its neighbour, of its own.
#[repr(align(128))]
struct Stretch(AtomicU64);

impl Stretch {
    fn set(&self, front: usize, back: usize) {
        self.0.store((back as u64) << 32 | front as u64, Ordering::Relaxed);
    }

    /// Takes a task from the front, where its own thread works, or from the back.
    fn take(&self, own: bool) -> Option<usize> {
        let mut both = self.0.load(Ordering::Relaxed);
        loop {
            let (front, back) = (both & 0xFFFF_FFFF, both >> 32);
            if front >= back {
                return None;
            }
            let (left, task) = if own { (both + 1, front) } else { (both - (1 << 32), back - 1) };
            match self.0.compare_exchange_weak(both, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(task as usize),
                Err(now) => both = now,
            }
        }
    }
}

// SAFETY: `job` is written only by the thread that owns the pool's turn, while the job is closed
// and nobody is inside, and read only by workers that entered an open job; the pointer inside is
// to a `Sync` function.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for Shared {}

/// Worker threads, and the caller as one more.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(JoinHandle<()>, Thread)>,
    turn: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Pool {
    /// A pool of this many threads, the caller included; at least one.
    pub fn new(threads: usize) -> Pool {
        let workers = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            stretches: (0..=workers).map(|_| Stretch(AtomicU64::new(0))).collect(),
            job: UnsafeCell::new(None),
            quit: AtomicBool::new(false),
            panic: Mutex::new(None),
            awake: AtomicUsize::new(0),
            idle: AtomicBool::new(false),
            parked: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            clock: Clock::default(),
        });
        let workers = (0..workers)
            .map(|index| {
                let shared = shared.clone();
                let handle = std::thread::Builder::new()
                    .name(format!("nntrain-{}", index + 1))
                    .spawn(move || work(&shared, index))
                    .expect("the system can start a thread");
                let thread = handle.thread().clone();
                (handle, thread)
            })
            .collect();
        Pool { shared, workers, turn: Mutex::new(()) }
    }

    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Wakes the workers, and keeps them from parking until the guard is dropped; not if the guard before saw
    /// no job.
    pub fn awake(&self) -> Awake<'_> {
        let shared = &*self.shared;
        let waking = !shared.idle.swap(true, Ordering::SeqCst);
        if waking {
            shared.awake.fetch_add(1, Ordering::SeqCst);
            self.unpark();
        }
        Awake { shared, waking }
    }

    fn unpark(&self) {
        for (parked, (_, thread)) in self.shared.parked.iter().zip(&self.workers) {
            if parked.load(Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    /// What tells how long the threads work and wait.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Runs `f(task)` for every task below `tasks`; returns when all are done.
    pub fn run(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        self.run_on(tasks, |task, _| f(task));
    }

    /// As [`Pool::run`], and tells each call its thread's number, below [`Pool::threads`]: for
    /// scratch space of which each thread has its own.
    pub fn run_on(&self, tasks: usize, f: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| f(task, 0));
            return;
        }
        let turn = self.turn.lock().unwrap_or_else(|e| e.into_inner());
        let shared = &*self.shared;
        assert!(u32::try_from(tasks).is_ok(), "{tasks} tasks in one job");
        let threads = self.threads();
        let short: &(dyn Fn(usize, usize) + Sync) = &f;
        // SAFETY: the lifetime is erased, but `Closing` waits, also when `f` panics, until no
        // worker is inside before `f` goes out of scope; nobody enters a closed job.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Job>(short) };
        // SAFETY: the job is closed and nobody is inside; `turn` keeps other callers out.
        unsafe { *shared.job.get() = Some(job) };
        *shared.panic.lock().unwrap_or_else(|e| e.into_inner()) = None;
        for (thread, stretch) in shared.stretches.iter().enumerate() {
            stretch.set(tasks * thread / threads, tasks * (thread + 1) / threads);
        }
        shared.idle.store(false, Ordering::SeqCst);
        let number = (shared.state.load(Ordering::Relaxed) & !(OPEN | INSIDE)).wrapping_add(NEXT_JOB);
        shared.state.store(number | OPEN, Ordering::SeqCst);
        self.unpark();
        {
            let _closing = Closing(shared);
            take_tasks(shared, &f, 0);
        }
        let panicked = shared.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        drop(turn);
        if let Some(panic) = panicked {
            std::panic::resume_unwind(panic);
        }
    }
}

/// While it lives, no worker of the pool that is awake parks.
pub struct Awake<'a> {
    shared: &'a Shared,
    waking: bool,
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        if self.waking {
            self.shared.awake.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Closes the job and waits for the workers inside.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let started = self.0.clock.start();
        let mut rounds = 0u32;
        while self.0.state.load(Ordering::Acquire) & INSIDE != 0 {
            rounds += 1;
            if rounds < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        self.0.clock.waited(started);
    }
}

fn take_tasks(shared: &Shared, f: &(dyn Fn(usize, usize) + Sync), thread: usize) {
    let threads = shared.stretches.len();
    for other in 0..threads {
        let stretch = &shared.stretches[(thread + other) % threads];
        while let Some(task) = stretch.take(other == 0) {
            f(task, thread);
        }
    }
}

fn work(shared: &Shared, index: usize) {
    let mut done = 0;
    loop {
        let state = wait_for_job(shared, index, done);
        if shared.quit.load(Ordering::Acquire) {
            return;
        }
        if shared.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        done = state & !(OPEN | INSIDE);
        // SAFETY: we are inside an open job, so the caller keeps it alive and unchanged.
        let job = unsafe { (*shared.job.get()).expect("an open job is set") };
        // SAFETY: as above.
        let run = || take_tasks(shared, unsafe { &*job }, index + 1);
        let started = shared.clock.start();
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            *shared.panic.lock().unwrap_or_else(|e| e.into_inner()) = Some(panic);
        }
        shared.clock.worked(started);
        shared.state.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Returns a state in which a job other than `done` is open (or anything, at the end).
fn wait_for_job(shared: &Shared, index: usize, done: u64) -> u64 {
    let mut rounds = 0;
    loop {
        let state = shared.state.load(Ordering::SeqCst);
        let fresh = state & OPEN != 0 && state & !(OPEN | INSIDE) != done;
        if fresh || shared.quit.load(Ordering::SeqCst) {
            shared.parked[index].store(false, Ordering::Relaxed);
            return state;
        }
        rounds += 1;
        if rounds < SPINS {
            std::hint::spin_loop();
        } else if rounds < SPINS + YIELDS || shared.awake.load(Ordering::SeqCst) > 0 {
            rounds = rounds.min(SPINS + YIELDS);
            shared.parked[index].store(false, Ordering::Relaxed);
            std::thread::yield_now();
        } else if !shared.parked[index].swap(true, Ordering::SeqCst) {
            // Look once more now that the caller can see the flag; else its wake could be missed.
        } else {
            std::thread::park();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        for (handle, thread) in self.workers.drain(..) {
            thread.unpark();
            // A worker has no way to fail: panics of tasks are caught.
            let _ = handle.join();
        }
    }
}

/// A slice whose disjoint pieces are handed to tasks.
pub struct Split<'a, T> {
    start: *mut T,
    len: usize,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: pieces are handed out by `piece`, whose caller promises that they do not overlap.
unsafe impl<T: Send> Sync for Split<'_, T> {}

impl<'a, T> Split<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Split<'a, T> {
        Split { start: slice.as_mut_ptr(), len: slice.len(), slice: std::marker::PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A pointer into the slice; valid to its end, to be used as `piece` demands.
    pub fn pointer(&self, from: usize) -> *mut T {
        assert!(from <= self.len, "pointer to {from} of {}", self.len);
        // SAFETY: inside the slice, or one past its end.
        unsafe { self.start.add(from) }
    }

    /// The piece from `from` to `to`; panics if it lies outside.
    ///
    /// # Safety
    /// No two pieces that are alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn piece(&self, from: usize, to: usize) -> &'a mut [T] {
        assert!(from <= to && to <= self.len, "piece {from}..{to} of {}", self.len);
        // SAFETY: inside the slice (asserted), alive for 'a, disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), to - from) }
    }
}

/// Cuts `data` in chunks of `chunk` numbers and runs `f(chunk number, chunk)` for each.
pub fn for_chunks<T: Send>(pool: &Pool, data: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let (len, chunk) = (data.len(), chunk.max(1));
    let split = Split::new(data);
    pool.run(len.div_ceil(chunk), |task| {
        // SAFETY: chunks of different tasks do not overlap, and each task runs once.
        let piece = unsafe { split.piece(task * chunk, ((task + 1) * chunk).min(len)) };
        f(task, piece);
    });
}

/// Numbers per task of element-wise work: less is done by the caller alone.
const PIECE: usize = 1 << 14;

/// Element-wise work: cuts `out` in pieces and runs `f(range, piece)` for each.
pub fn for_pieces(pool: &Pool, out: &mut [f32], f: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync) {
    for_chunks(pool, out, PIECE, |c, piece| f(c * PIECE..c * PIECE + piece.len(), piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for _ in 0..50 {
                    pool.run_on(tasks, |task, thread| {
                        assert!(thread < threads);
                        counts[task].fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 50));
            }
        }
    }

    #[test]
    fn each_thread_begins_with_its_own_stretch() {
        let stretch = Stretch(AtomicU64::new(0));
        stretch.set(3, 7);
        let taken: Vec<_> = [true, true, false, true, false].map(|own| stretch.take(own)).into();
        assert_eq!(taken, [Some(3), Some(4), Some(6), Some(5), None]);
        // Alone, the caller does all stretches from its own on.
        let order = Mutex::new(vec![]);
        Pool::new(1).run(4, |task| order.lock().unwrap().push(task));
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn nobody_parks_while_a_step_goes_on() {
        let pool = Pool::new(3);
        let parked = || pool.shared.parked.iter().filter(|p| p.load(Ordering::SeqCst)).count();
        while parked() < 2 {
            std::thread::yield_now();
        }
        let awake = pool.awake();
        while parked() > 0 {
            std::thread::yield_now();
        }
        for _ in 0..10_000 {
            std::thread::yield_now();
            assert_eq!(parked(), 0);
        }
        drop(awake);
        while parked() < 2 {
            std::thread::yield_now();
        }
        pool.run(9, |_| {});
    }

    #[test]
    fn a_step_without_jobs_wakes_nobody_in_the_next() {
        let pool = Pool::new(2);
        assert!(pool.awake().waking, "the first may have jobs");
        assert!(!pool.awake().waking);
        assert!(!pool.awake().waking);
        // One task is the caller's own.
        pool.run(1, |_| {});
        assert!(!pool.awake().waking);
        pool.run(2, |_| {});
        assert!(pool.awake().waking);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(3);
        for _ in 0..20 {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.run(50, |task| assert!(task != 20, "task 20"));
            }));
            assert!(caught.is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.run(10, |task| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn the_clock_counts_only_while_it_is_on() {
        let pool = Pool::new(2);
        // Both tasks wait for each other, so that the worker is surely inside.
        let together = || {
            let inside = AtomicUsize::new(0);
            pool.run(2, |_| {
                inside.fetch_add(1, Ordering::SeqCst);
                while inside.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
            });
        };
        together();
        let before = pool.clock().read();
        assert_eq!((before.worked, before.waited), (0, 0));
        pool.clock().count(true);
        together();
        let counted = pool.clock().read();
        assert!(counted.worked > 0);
        pool.clock().count(false);
        together();
        assert_eq!(pool.clock().read(), counted);
    }

    #[test]
    fn chunks_cover_the_slice() {
        let pool = Pool::new(2);
        let mut data = vec![0usize; 103];
        for_chunks(&pool, &mut data, 10, |chunk, piece| piece.iter_mut().for_each(|v| *v = chunk));
        assert!(data.iter().enumerate().all(|(i, v)| *v == i / 10));
    }
}
