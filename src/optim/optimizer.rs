//! An optimizer at work: its state over one flat block of weights, and the step.
//!
//! Order of a step, as in Keras: average the accumulated gradients, clip, decay the weights, apply
//! the rule, move the average of the weights. All but the norms is one pass over chunks that fit a
//! core's cache, and every entry is computed by itself: threads do not change a bit.

use std::ops::Range;
use std::sync::Arc;

use super::clip::Clipper;
use super::{Factors, LearningRate, MAX_SLOTS, OptimizerSpec, Rule};
use crate::kernels::par::Pool;
use crate::kernels::pieces::for_equal_chunks;

/// Weights that one task updates: with Adam's four arrays 64 KiB, and few enough that the threads'
/// shares come out even.
pub(super) const CHUNK: usize = 4 * 1024;

/// A block of no more than this is updated by the caller alone.
pub(super) const ALONE: usize = 16 * 1024;

#[derive(Debug)]
pub struct Optimizer {
    spec: Arc<OptimizerSpec>,
    block_len: usize,
    iterations: u64,
    /// The rate in force where it is a number; callbacks change it.
    learning_rate: f64,
    scalars: Vec<f64>,
    slots: Vec<Array>,
    average: Option<Array>,
    accumulator: Option<Array>,
    clipper: Option<Clipper>,
}

/// One number per weight of the block.
#[derive(Debug)]
struct Array {
    name: &'static str,
    data: Vec<f32>,
}

impl Array {
    fn zeros(name: &'static str, len: usize) -> Array {
        Array { name, data: vec![0.0; len] }
    }
}

impl Optimizer {
    /// An optimizer of a block of `block_len` weights. `tensors` are the places of the trainable
    /// tensors, in increasing order; between them may lie padding, whose gradients must be 0, and
    /// nothing else: decay and averages go over the whole block.
    pub fn new(spec: impl Into<Arc<OptimizerSpec>>, tensors: &[Range<usize>], block_len: usize) -> Optimizer {
        let spec = spec.into();
        assert!(
            tensors.windows(2).all(|pair| pair[0].end <= pair[1].start)
                && tensors.last().is_none_or(|last| last.end <= block_len),
            "tensors lie in the block, one after another"
        );
        let slots = spec.rule.slots();
        assert!(slots.len() <= MAX_SLOTS, "a rule has at most {MAX_SLOTS} slots");
        Optimizer {
            block_len,
            iterations: 0,
            learning_rate: match spec.learning_rate {
                LearningRate::Constant(rate) => rate,
                LearningRate::Scheduled(_) => 0.0,
            },
            scalars: spec.rule.scalars(),
            slots: slots.iter().map(|s| Array { name: s.name, data: vec![s.initial; block_len] }).collect(),
            average: spec.ema.map(|_| Array::zeros("average", block_len)),
            accumulator: spec
                .gradient_accumulation_steps
                .map(|_| Array::zeros("gradient_accumulator", block_len)),
            clipper: spec.clip.map(|clip| Clipper::new(clip, tensors)),
            spec,
        }
    }

    /// Takes one step with these gradients, which it may overwrite. Allocates nothing.
    pub fn step(&mut self, pool: &Pool, weights: &mut [f32], gradients: &mut [f32]) {
        assert_eq!(weights.len(), self.block_len, "the block of weights");
        assert_eq!(gradients.len(), self.block_len, "the block of gradients");
        let every = self.spec.gradient_accumulation_steps.unwrap_or(1);
        let (updates, is_update) = (self.iterations / every, (self.iterations + 1).is_multiple_of(every));
        if let Some(accumulator) = &mut self.accumulator {
            accumulate(pool, &mut accumulator.data, gradients, is_update.then_some(every));
        }
        // Keras counts updates here, yet averages in every step, also in those that only accumulate.
        let average = self.spec.ema.map(|ema| {
            let momentum = if updates == 0 { 0.0 } else { ema.momentum };
            Average {
                momentum: momentum as f32,
                rest: (1.0 - momentum) as f32,
                overwrite: ema.overwrite_frequency.is_some_and(|n| (updates + 1).is_multiple_of(n)),
            }
        });
        let learning_rate = self.learning_rate();
        if let (true, Some(clipper)) = (is_update, &mut self.clipper) {
            clipper.measure(pool, gradients);
        }
        let update = is_update.then(|| Update {
            rule: &*self.spec.rule,
            factors: self.spec.rule.factors(updates + 1, learning_rate, &mut self.scalars),
            decay: self.spec.weight_decay.map_or(0.0, |decay| decay * learning_rate) as f32,
            clipper: self.clipper.as_ref(),
            slots: self.slots.len(),
        });
        let pass = Pass { update, average };
        let average = self.average.as_mut().map_or(&mut [][..], |a| &mut a.data);
        let mut slots = self.slots.iter_mut();
        let mut slot = || slots.next().map_or(&mut [][..], |array| &mut array.data);
        let arrays = [weights, gradients, average, slot(), slot(), slot()];
        in_chunks(pool, arrays, |at, [weights, gradients, average, slots @ ..]| {
            pass.run(at, weights, gradients, slots, average);
        });
        self.iterations += 1;
    }

    /// The learning rate that the next step takes.
    pub fn learning_rate(&self) -> f64 {
        match &self.spec.learning_rate {
            LearningRate::Constant(_) => self.learning_rate,
            LearningRate::Scheduled(schedule) => schedule.at(self.iterations),
        }
    }

    /// Whether a schedule sets the learning rate, so that nothing else may.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.spec.learning_rate, LearningRate::Scheduled(_))
    }

    /// Sets the learning rate from the next step on.
    ///
    /// # Panics
    /// If the rate is scheduled: a config that asks for both is refused earlier.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        assert!(!self.is_scheduled(), "a scheduled learning rate is not set by others");
        self.learning_rate = learning_rate;
    }

    /// Steps done, those that only accumulated gradients included: what schedules count.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// The moving average of the weights, as soon as there is one. Keras's `fit` puts it in the
    /// weights' place when training is over.
    pub fn ema(&self) -> Option<&[f32]> {
        self.average.as_ref().filter(|_| self.iterations > 0).map(|array| &*array.data)
    }

    /// State per weight, by Keras's variable names, each over the whole block.
    pub fn arrays(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let all = self.slots.iter().chain(&self.average).chain(&self.accumulator);
        all.map(|array| (array.name, &*array.data))
    }

    /// As [`Self::arrays`], to be filled from a checkpoint.
    pub fn arrays_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut [f32])> {
        let all = self.slots.iter_mut().chain(&mut self.average).chain(&mut self.accumulator);
        all.map(|array| (array.name, &mut *array.data))
    }

    /// State that is not per weight: the learning rate in force, and what the rule keeps.
    pub fn scalars(&self) -> Vec<f64> {
        std::iter::once(self.learning_rate).chain(self.scalars.iter().copied()).collect()
    }

    /// Goes on from what [`Self::iterations`] and [`Self::scalars`] once returned; the arrays are
    /// restored by [`Self::arrays_mut`].
    pub fn restore(&mut self, iterations: u64, scalars: &[f64]) -> Result<(), String> {
        let expected = 1 + self.scalars.len();
        let [learning_rate, of_rule @ ..] = scalars else {
            return Err(format!("the optimizer's state has no numbers, not {expected}"));
        };
        if scalars.len() != expected {
            return Err(format!("the optimizer's state has {} numbers, not {expected}", scalars.len()));
        }
        self.iterations = iterations;
        self.learning_rate = *learning_rate;
        self.scalars.copy_from_slice(of_rule);
        Ok(())
    }
}

/// What one step does to every chunk.
struct Pass<'a> {
    update: Option<Update<'a>>,
    average: Option<Average>,
}

struct Update<'a> {
    rule: &'a dyn Rule,
    factors: Factors,
    /// `weight_decay * learning_rate`.
    decay: f32,
    clipper: Option<&'a Clipper>,
    slots: usize,
}

struct Average {
    momentum: f32,
    rest: f32,
    overwrite: bool,
}

impl Pass<'_> {
    fn run(
        &self,
        offset: usize,
        weights: &mut [f32],
        gradients: &mut [f32],
        mut slots: [&mut [f32]; MAX_SLOTS],
        average: &mut [f32],
    ) {
        if let Some(update) = &self.update {
            if let Some(clipper) = update.clipper {
                clipper.apply(offset, gradients);
            }
            if update.decay != 0.0 {
                decay(weights, update.decay);
            }
            update.rule.update(&update.factors, weights, gradients, &mut slots[..update.slots]);
        }
        if let Some(Average { momentum, rest, overwrite }) = self.average {
            move_average(average, weights, momentum, rest);
            if overwrite {
                weights.copy_from_slice(average);
            }
        }
    }
}

simd! {
    fn decay(weights: &mut [f32], factor: f32) {
        weights.iter_mut().for_each(|w| *w -= *w * factor);
    }
}

simd! {
    fn move_average(average: &mut [f32], weights: &[f32], momentum: f32, rest: f32) {
        for (average, w) in average.iter_mut().zip(weights) {
            *average = momentum * *average + rest * w;
        }
    }
}

/// Adds to the accumulated gradients; on the last of `mean_of` steps puts their mean in
/// `gradients` and starts again from zero.
fn accumulate(pool: &Pool, accumulator: &mut [f32], gradients: &mut [f32], mean_of: Option<u64>) {
    in_chunks(pool, [accumulator, gradients], |_, [accumulator, gradients]| match mean_of {
        None => accumulator.iter_mut().zip(gradients).for_each(|(a, g)| *a += *g),
        Some(steps) => {
            let steps = steps as f32;
            for (a, g) in accumulator.iter_mut().zip(gradients) {
                *g = (*g + *a) / steps;
                *a = 0.0;
            }
        }
    });
}

/// Runs `f(first entry, chunks)` for all chunks of some arrays over the block.
fn in_chunks<const N: usize>(
    pool: &Pool,
    arrays: [&mut [f32]; N],
    f: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    if arrays[0].len() <= ALONE {
        f(0, arrays);
    } else {
        for_equal_chunks(pool, arrays, CHUNK, |chunk, arrays| f(chunk * CHUNK, arrays));
    }
}
