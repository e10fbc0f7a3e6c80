//! The times of a training step's stages, taken in many steps.

use crate::kernels::clock::Reading;
use crate::train::course::Stage;

/// What the clocks show at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Nanoseconds since some start.
    pub nanos: u64,
    pub pool: Reading,
}

/// One stage of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lap {
    pub seconds: f64,
    /// Seconds that threads spent without work, summed over the threads.
    pub idle: f64,
}

impl Lap {
    fn between(from: Moment, to: Moment, threads: usize) -> Lap {
        let seconds = |from: u64, to: u64| (to - from) as f64 * 1e-9;
        let wall = seconds(from.nanos, to.nanos);
        let worked = seconds(from.pool.worked, to.pool.worked);
        let waited = seconds(from.pool.waited, to.pool.waited);
        // The caller is at work whenever it does not wait.
        Lap { seconds: wall, idle: (threads - 1) as f64 * wall + waited - worked }
    }

    fn add(&mut self, other: Lap) {
        self.seconds += other.seconds;
        self.idle += other.idle;
    }
}

/// Stages besides the program's steps.
const AROUND: usize = 3;

/// The place of a stage among all.
fn place(stage: Stage) -> usize {
    match stage {
        Stage::Data => 0,
        Stage::Metrics => 1,
        Stage::Optimizer => 2,
        Stage::Program(step) => AROUND + step,
    }
}

/// Laps of all stages, step by step.
#[derive(Debug)]
pub struct Laps {
    threads: usize,
    last: Moment,
    /// The step in hand.
    current: Vec<Lap>,
    /// The steps that are kept, one after another.
    kept: Vec<Lap>,
}

impl Laps {
    /// For a program of so many steps, and the regularizers' gradients behind it.
    pub fn new(program_steps: usize, threads: usize) -> Laps {
        let current = vec![Lap::default(); AROUND + program_steps + 1];
        Laps { threads, last: Moment::default(), current, kept: vec![] }
    }

    /// A step begins.
    pub fn begin(&mut self, now: Moment) {
        self.current.fill(Lap::default());
        self.last = now;
    }

    /// A stage ends: what has passed since the one before was its time.
    pub fn passed(&mut self, stage: Stage, now: Moment) {
        self.current[place(stage)].add(Lap::between(self.last, now, self.threads));
        self.last = now;
    }

    /// The step in hand counts.
    pub fn keep(&mut self) {
        self.kept.extend_from_slice(&self.current);
    }

    /// Steps that count.
    pub fn steps(&self) -> usize {
        self.kept.len() / self.current.len()
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The median over the steps of a stage's time, and of its threads' idle time.
    pub fn median(&self, stage: Stage) -> Lap {
        let laps = || self.kept[place(stage)..].iter().step_by(self.current.len());
        Lap {
            seconds: median(laps().map(|l| l.seconds).collect()),
            idle: median(laps().map(|l| l.idle).collect()),
        }
    }

    /// Seconds of a whole step, on average.
    pub fn mean(&self) -> f64 {
        self.kept.iter().map(|l| l.seconds).sum::<f64>() / self.steps().max(1) as f64
    }
}

/// The middle value, the lower one of two.
fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64, worked: u64, waited: u64) -> Moment {
        Moment { nanos, pool: Reading { worked, waited } }
    }

    fn close(lap: Lap, seconds: f64, idle: f64) {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(near(lap.seconds, seconds) && near(lap.idle, idle), "{lap:?} for {seconds} and {idle}");
    }

    #[test]
    fn stages_take_what_has_passed_and_threads_idle_when_they_neither_work_nor_wait() {
        let mut laps = Laps::new(1, 2);
        laps.begin(at(1000, 500, 70));
        // Alone: the other thread idles.
        laps.passed(Stage::Data, at(1100, 500, 70));
        // Both work, the other one 290 of 300, and the caller waits 10 for it at the end.
        laps.passed(Stage::Program(0), at(1400, 790, 80));
        laps.passed(Stage::Program(1), at(1400, 790, 80));
        // Metrics are taken twice.
        laps.passed(Stage::Metrics, at(1410, 790, 80));
        laps.passed(Stage::Optimizer, at(1460, 840, 80));
        laps.passed(Stage::Metrics, at(1465, 840, 80));
        laps.keep();
        close(laps.median(Stage::Data), 100e-9, 100e-9);
        close(laps.median(Stage::Program(0)), 300e-9, 20e-9);
        close(laps.median(Stage::Program(1)), 0.0, 0.0);
        close(laps.median(Stage::Metrics), 15e-9, 15e-9);
        close(laps.median(Stage::Optimizer), 50e-9, 0.0);
        assert!((laps.mean() - 465e-9).abs() < 1e-15);
    }

    #[test]
    fn only_kept_steps_count_and_the_middle_one_is_shown() {
        let mut laps = Laps::new(0, 1);
        for (nanos, kept) in [(70, true), (5, false), (10, true), (20, true)] {
            laps.begin(at(0, 0, 0));
            laps.passed(Stage::Data, at(nanos, 0, 0));
            if kept {
                laps.keep();
            }
        }
        assert_eq!(laps.steps(), 3);
        close(laps.median(Stage::Data), 20e-9, 0.0);
        assert!((laps.mean() - 100e-9 / 3.0).abs() < 1e-15);
    }
}
