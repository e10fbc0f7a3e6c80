//! How batches are learnt from: one step, and what an epoch of them adds up to.

use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::Sums;
use crate::data::Part;
use crate::exec::Session;
use crate::graph::ParamDecl;
use crate::kernels::aligned::round_up;
use crate::model::lower::TRAIN;
use crate::optim::{Optimizer, OptimizerSpec};
use crate::train::duel::Duel;
use crate::train::judge::Judge;
use crate::train::setup::fill;
use crate::train::states::States;

/// The parts of a training step, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The batch is put into its place.
    Data,
    /// A step of the program, by its number; one number more: the gradients of the regularizers.
    Program(usize),
    /// Loss and metrics are taken in. The regularizers' part of the loss comes before the program.
    Metrics,
    /// The weights are updated.
    Optimizer,
}

/// An optimizer, and the weights that it trains: a range of the parameter block.
pub struct Learner {
    pub optimizer: Optimizer,
    pub range: Range<usize>,
}

impl Learner {
    /// Of the trainable parameters whose paths begin with `prefix`, which lie side by side.
    pub fn new(spec: Arc<OptimizerSpec>, session: &Session, prefix: &str) -> Learner {
        let places = session.params().decls.iter().zip(&session.layout().ranges);
        let own = places.filter(|(decl, _)| decl.trainable && decl.path.starts_with(prefix));
        let mut ranges: Vec<Range<usize>> = own.map(|(_, range)| range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let start = ranges.first().map_or(0, |first| first.start);
        let end = ranges.last().map_or(start, |last| round_up(last.end));
        ranges.iter_mut().for_each(|range| *range = range.start - start..range.end - start);
        Learner { optimizer: Optimizer::new(spec, &ranges, end - start), range: start..end }
    }

    /// A range of the parameter block in the optimizer's arrays, if it trains it.
    pub fn within(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let own = self.range.start <= range.start && range.end <= self.range.end;
        own.then(|| range.start - self.range.start..range.end - self.range.start)
    }

    /// Its parameters, each with its range in the optimizer's arrays.
    pub fn trained<'s>(&self, session: &'s Session) -> impl Iterator<Item = (&'s ParamDecl, Range<usize>)> {
        let places = session.params().decls.iter().zip(&session.layout().ranges);
        let trainable = places.filter(|(decl, _)| decl.trainable);
        trainable.filter_map(|(decl, range)| Some((decl, self.within(range)?)))
    }

    /// Updates the weights by their gradients.
    pub fn learn(&mut self, session: &mut Session) {
        let pool = session.pool().clone();
        let (weights, grads) = session.weights_and_grads();
        self.optimizer.step(&pool, &mut weights[self.range.clone()], &mut grads[self.range.clone()]);
    }
}

/// How batches are learnt from.
pub enum Course {
    Supervised(Lesson),
    Adversarial(Duel),
}

/// Learning from targets.
pub struct Lesson {
    pub judge: Judge,
    pub class_weights: Option<Vec<f32>>,
    pub states: States,
}

/// Why a step was not taken: a program gave a loss that is not finite.
pub struct Stuck {
    pub program: usize,
    pub loss: f64,
}

impl Course {
    /// Learns from the samples `rows` of a part; the loss.
    pub fn step(
        &mut self,
        session: &mut Session,
        learners: &mut [Learner],
        batch: (&Part, &[u32]),
        step: u64,
        done: &mut impl FnMut(Stage),
    ) -> Result<f64, Stuck> {
        match self {
            Course::Supervised(lesson) => lesson.step(session, &mut learners[0], batch, step as u32, done),
            Course::Adversarial(duel) => duel.step(session, learners, batch, step, done),
        }
    }

    /// Fills a program's inputs as the step did.
    pub fn fill(&self, session: &mut Session, program: usize, (part, rows): (&Part, &[u32]), step: u64) {
        match self {
            Course::Supervised(lesson) => lesson.fill(session, program, (part, rows)),
            Course::Adversarial(duel) => duel.fill(session, program, (part, rows), step),
        }
    }

    /// Forgets what was measured, and what samples go on from.
    pub fn reset(&mut self) {
        match self {
            Course::Supervised(lesson) => {
                lesson.judge.reset();
                lesson.states.reset();
            }
            Course::Adversarial(duel) => duel.reset(),
        }
    }

    /// What the epoch has measured so far, by the columns of `Task::measured`.
    pub fn values(&self) -> Vec<f64> {
        match self {
            Course::Supervised(lesson) => lesson.judge.values(),
            Course::Adversarial(duel) => duel.values(),
        }
    }

    /// What [`Self::restore`] needs to go on inside an epoch.
    pub fn sums(&self) -> Sums {
        match self {
            Course::Supervised(lesson) => Sums { states: lesson.states.bits(), ..lesson.judge.state() },
            Course::Adversarial(duel) => duel.state(),
        }
    }

    pub fn restore(&mut self, sums: &Sums) -> Result<(), String> {
        match self {
            Course::Supervised(lesson) => {
                lesson.states.restore(&sums.states)?;
                lesson.judge.restore(sums)
            }
            Course::Adversarial(duel) => duel.restore(sums),
        }
    }
}

impl Lesson {
    fn fill(&self, session: &mut Session, program: usize, (part, rows): (&Part, &[u32])) {
        fill(session, program, part, rows, self.class_weights.as_deref());
        if program == TRAIN {
            self.states.put(session, rows.len());
        }
    }

    fn step(
        &mut self,
        session: &mut Session,
        learner: &mut Learner,
        batch: (&Part, &[u32]),
        step: u32,
        done: &mut impl FnMut(Stage),
    ) -> Result<f64, Stuck> {
        let n = batch.1.len();
        self.fill(session, TRAIN, batch);
        done(Stage::Data);
        let penalty = session.penalty();
        done(Stage::Metrics);
        session.run_watched(TRAIN, n, step, |index| done(Stage::Program(index)));
        let loss = self.judge.take(session, TRAIN, n, penalty);
        done(Stage::Metrics);
        if !loss.is_finite() {
            return Err(Stuck { program: TRAIN, loss });
        }
        self.states.take(session, n);
        learner.learn(session);
        done(Stage::Optimizer);
        Ok(loss)
    }
}
