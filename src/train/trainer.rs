//! The state of training and its steps: no files, no words to the user.

use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::Begun;
use crate::data::pictures::Picture;
use crate::data::{Dataset, Part};
use crate::diag::{Diag, Failure, Result};
use crate::exec::Session;
use crate::kernels::par::Pool;
use crate::model::lower::{Model, Purpose, Sampler};
use crate::model::task::Task;
use crate::report::forecast_svg::Forecast;
use crate::rng::Stream;
use crate::train::adapt;
use crate::train::course::{Course, Learner, Lesson, Stage, Stuck};
use crate::train::duel::Duel;
use crate::train::forecast;
use crate::train::judge::Judge;
use crate::train::samples;
use crate::train::setup::Prepared;
use crate::train::states::{States, in_stretches};

/// The optimizer's name for the moving average of the weights.
const AVERAGE: &str = "average";

/// What helps against divergence.
pub const DIVERGED: &str =
    "lower the learning rate, or add clipnorm = 1.0 to the optimizer; check the data for extreme values";

/// Training in progress.
pub struct Trainer {
    pub session: Session,
    pub learners: Vec<Learner>,
    pub course: Course,
    sampler: Option<Sampler>,
    seed: u64,
    shuffle: bool,
    /// States go on from batch to batch.
    carries: bool,
    batch: usize,
    /// Samples of the training part in this epoch's order.
    order: Vec<u32>,
    /// The order of parts that are judged, always the same.
    steady: Vec<u32>,
    /// Steps done in this epoch, and in all.
    pub steps_done: usize,
    pub step: u64,
}

impl Trainer {
    /// Compiles the model and draws first weights, or takes those that a file gives.
    pub fn new(prepared: &Prepared, model: &Model, pool: Arc<Pool>) -> Result<Trainer> {
        let experiment = &prepared.experiment;
        let batch = prepared.batch_size();
        let mut session = model.session(Purpose::Train, batch, pool)?;
        let course = match &experiment.task {
            Task::Supervised(task) => {
                let judge = Judge::new(task, &model.outputs, batch);
                let first = judge.slots().state(task.network.terms().len(), 0);
                let states = States::new(&session, first);
                let class_weights = prepared.class_weights.clone();
                Course::Supervised(Lesson { judge, class_weights, states })
            }
            Task::Gan(gan) => Course::Adversarial(Duel::new(gan, experiment.seed)),
        };
        let optimizers = experiment.task.optimizers().into_iter();
        let learners =
            optimizers.map(|(prefix, spec)| Learner::new(spec.clone(), &session, prefix)).collect();
        let judged = [&prepared.dataset.validation, &prepared.dataset.test];
        let longest = judged.into_iter().flatten().map(Part::len).max().unwrap_or(0);
        session.initialize(experiment.seed);
        adapt::adapt(experiment, &prepared.dataset.train, &mut session);
        prepared.initial.load(&mut session);
        Ok(Trainer {
            session,
            learners,
            course,
            sampler: model.sampler.clone(),
            seed: experiment.seed,
            shuffle: experiment.training.shuffle,
            carries: experiment.carries(),
            batch,
            order: (0..prepared.dataset.train.len() as u32).collect(),
            steady: (0..longest as u32).collect(),
            steps_done: 0,
            step: 0,
        })
    }

    pub fn steps_per_epoch(&self) -> usize {
        self.order.len().div_ceil(self.batch)
    }

    /// Starts an epoch (from 0): its order follows from seed and epoch alone.
    pub fn begin_epoch(&mut self, epoch: usize) {
        self.course.reset();
        self.steps_done = 0;
        self.order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
        if self.carries {
            in_stretches(&mut self.order, self.batch);
        }
        if self.shuffle {
            Stream::new(self.seed, "shuffle").shuffle(epoch as u32, &mut self.order);
        }
    }

    /// One step of the epoch; its loss. The weights change only if the loss is finite.
    pub fn train_step(&mut self, part: &Part) -> Result<f64, Failure> {
        self.train_step_watched(part, |_| {})
    }

    /// As [`Self::train_step`], and calls `done` at the end of each stage.
    pub fn train_step_watched(&mut self, part: &Part, mut done: impl FnMut(Stage)) -> Result<f64, Failure> {
        let pool = self.session.pool().clone();
        let _awake = pool.awake();
        let from = self.steps_done * self.batch;
        let to = (from + self.batch).min(self.order.len());
        let batch = (part, &self.order[from..to]);
        match self.course.step(&mut self.session, &mut self.learners, batch, self.step, &mut done) {
            Err(stuck) => Err(self.diverged(part, from..to, stuck)),
            Ok(loss) => {
                self.steps_done += 1;
                self.step += 1;
                Ok(loss)
            }
        }
    }

    /// Of the first optimizer.
    pub fn learning_rate(&self) -> f64 {
        self.learners[0].optimizer.learning_rate()
    }

    /// Of each optimizer.
    pub fn learning_rates(&self) -> impl Iterator<Item = f64> {
        self.learners.iter().map(|learner| learner.optimizer.learning_rate())
    }

    /// Of the first optimizer.
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.learners[0].optimizer.set_learning_rate(rate);
    }

    /// Loss and metrics of the epoch so far.
    pub fn values(&self) -> Vec<f64> {
        self.course.values()
    }

    /// Loss and metrics over a part, with the inference program, and with the weights' moving average
    /// where the optimizer keeps one: what is judged is what the best checkpoint holds.
    /// `None` if there is nothing to judge by: a GAN has no targets.
    pub fn evaluate(&mut self, part: &Part) -> Option<Vec<f64>> {
        self.swap_average();
        let values = self.evaluate_weights(part);
        self.swap_average();
        values
    }

    /// As [`Self::evaluate`], with the weights that the session holds, whatever they are.
    pub fn evaluate_weights(&mut self, part: &Part) -> Option<Vec<f64>> {
        let Course::Supervised(Lesson { judge, .. }) = &mut self.course else { return None };
        judge.reset();
        judge.judge(&mut self.session, part, &self.steady[..part.len()], |_, _| {});
        Some(judge.values())
    }

    /// What the weights say of the end of a series, if the data is one.
    pub fn forecast(&mut self, dataset: &Dataset) -> Option<Forecast> {
        let Course::Supervised(Lesson { judge, .. }) = &self.course else { return None };
        forecast::of(&mut self.session, judge.slots(), dataset)
    }

    /// A picture of the samples that the weights, or their moving average, make of the seed's noise, `rows` by
    /// `columns`; `None` if they make no pictures.
    pub fn samples(&mut self, [rows, columns]: [usize; 2]) -> Option<Picture> {
        let sampler = self.sampler.clone()?;
        self.swap_average();
        let made = samples::make(&mut self.session, &sampler, self.seed, 0..rows * columns);
        self.swap_average();
        samples::grid(&made, &sampler.shape.dims, columns)
    }

    /// Exchanges the weights with their moving average, where there is one.
    fn swap_average(&mut self) {
        for learner in self.learners.iter_mut().filter(|l| l.optimizer.ema().is_some()) {
            let (weights, _) = self.session.weights_and_grads();
            if let Some((_, average)) = learner.optimizer.arrays_mut().find(|(name, _)| *name == AVERAGE) {
                weights[learner.range.clone()].swap_with_slice(average);
            }
        }
    }

    /// The first weight or optimizer state that is not finite, by its path.
    pub fn not_finite(&self) -> Option<&str> {
        let bad = |values: &[f32]| values.iter().any(|v| !v.is_finite());
        let places = || self.session.params().decls.iter().zip(&self.session.layout().ranges);
        let mut weights = places().filter(|(decl, _)| !decl.carried);
        let in_block = weights.find(|(_, range)| bad(&self.session.block()[(*range).clone()]));
        let in_state = || {
            let trained = self.learners.iter().flat_map(|l| l.trained(&self.session).map(move |t| (l, t)));
            let kept =
                |l: &Learner, range: &Range<usize>| l.optimizer.arrays().any(|(_, a)| bad(&a[range.clone()]));
            trained.filter(|(l, (_, range))| kept(l, range)).map(|(_, (decl, _))| decl).next()
        };
        in_block.map(|(decl, _)| decl).or_else(in_state).map(|decl| decl.path.as_str())
    }

    /// What a checkpoint inside an epoch needs.
    pub fn begun(&self) -> Option<Begun> {
        (self.steps_done > 0 && self.steps_done < self.steps_per_epoch())
            .then(|| Begun { steps: self.steps_done, sums: self.course.sums() })
    }

    /// Goes on inside an epoch that `begin_epoch` has started.
    pub fn restore_begun(&mut self, begun: &Begun) -> Result<(), String> {
        self.steps_done = begun.steps;
        self.course.restore(&begun.sums)
    }

    /// Finds where the first bad number came from, by running the batch again layer by layer.
    fn diverged(&mut self, part: &Part, samples: Range<usize>, stuck: Stuck) -> Failure {
        if let Some(diag) = part.failure() {
            return diag.into();
        }
        let (n, Stuck { program, loss }) = (samples.len(), stuck);
        let said = if loss.is_nan() { "not a number" } else { "infinite" };
        let mut diag = Diag::new(format!(
            "the loss became {said} in step {} (batch {} of the epoch)",
            self.step + 1,
            self.steps_done + 1
        ));
        let bad = |values: &[f32]| values.iter().any(|v| !v.is_finite());
        let decls = &self.session.params().decls;
        // Moving statistics took in this very batch: they tell of its data, not of the step before.
        let weight = (0..decls.len()).find(|i| decls[*i].trainable && bad(self.session.param(*i)));
        if let Some(index) = weight {
            diag = diag.note(format!(
                "`{}` holds a number that is not finite: the step before made it",
                decls[index].path
            ));
        } else {
            self.course.fill(&mut self.session, program, (part, &self.order[samples.clone()]), self.step);
            let inputs = bad(self.session.input(program, 0, n)) || bad(self.session.input(program, 1, n));
            let mut first = inputs.then(|| "the data".to_string());
            self.session.replay(program, n, self.step as u32, |layer, outputs| {
                if first.is_none() && outputs.iter().any(|o| bad(o)) {
                    first = Some(format!("`{layer}`"));
                }
            });
            if let Some(first) = first {
                diag = diag.note(format!("the first to give a number that is not finite is {first}"));
            }
        }
        let rows: Vec<String> = self.order[samples].iter().take(8).map(u32::to_string).collect();
        diag = diag
            .note(format!("samples of the batch (numbers in the training part): {}, ...", rows.join(", ")));
        Failure::Diverged(diag.hint(DIVERGED))
    }
}
