//! The state of training and its steps: no files, no words to the user.

use std::sync::Arc;

use crate::bits::{from_bits, to_bits};
use crate::checkpoint::Begun;
use crate::data::Part;
use crate::data::preprocessing::{Preprocessing, TargetEncoding};
use crate::diag::{Diag, Failure, Result};
use crate::exec::Session;
use crate::kernels::par::Pool;
use crate::metrics::Accumulator;
use crate::model::Experiment;
use crate::model::lower::{EVAL, LOSS, Model, OUTPUT, Purpose, TARGET, TRAIN};
use crate::optim::Optimizer;
use crate::rng::Stream;
use crate::target::OutputKind;
use crate::train::setup::{Prepared, fill};

/// The optimizer's name for the moving average of the weights.
const AVERAGE: &str = "average";

/// What helps against divergence.
pub const DIVERGED: &str =
    "lower the learning rate, or add clipnorm = 1.0 to the optimizer; check the data for extreme values";

/// Loss and metrics over some samples.
pub struct Judge {
    accumulators: Vec<Box<dyn Accumulator>>,
    units: Option<Units>,
    ones: Vec<f32>,
    loss_sum: f64,
    samples: usize,
}

impl Judge {
    pub fn new(
        experiment: &Experiment,
        output: &OutputKind,
        preprocessing: &Preprocessing,
        batch: usize,
    ) -> Judge {
        let metrics = experiment.training.metrics.iter();
        let bound = metrics.map(|m| m.bind(output).expect("checked when the model was lowered"));
        Judge {
            accumulators: bound.collect(),
            units: Units::new(preprocessing, batch),
            ones: vec![1.0; batch],
            loss_sum: 0.0,
            samples: 0,
        }
    }

    fn reset(&mut self) {
        self.accumulators.iter_mut().for_each(|a| a.reset());
        self.loss_sum = 0.0;
        self.samples = 0;
    }

    /// Takes in the batch that a program has just run; returns the batch's loss, penalty included.
    fn take(&mut self, session: &Session, program: usize, n: usize, penalty: f64) -> f64 {
        let losses = session.output(program, LOSS, n);
        let sum: f64 = losses.iter().map(|l| f64::from(*l)).sum();
        self.loss_sum += sum + penalty * n as f64;
        self.samples += n;
        let (targets, predictions) = (session.output(program, TARGET, n), session.output(program, OUTPUT, n));
        let (targets, predictions) = match &mut self.units {
            Some(units) => units.convert(targets, predictions),
            None => (targets, predictions),
        };
        for accumulator in &mut self.accumulators {
            accumulator.update(targets, predictions, &self.ones[..n]);
        }
        sum / n as f64 + penalty
    }

    /// Takes in all samples `order` of a part, batch by batch, with the inference program, as one walk: a
    /// stateful layer begins with zeros. `look` sees each batch's number of samples when it has run.
    pub fn judge(
        &mut self,
        session: &mut Session,
        part: &Part,
        order: &[u32],
        mut look: impl FnMut(&Session, usize),
    ) {
        let penalty = session.penalty();
        let pool = session.pool().clone();
        let _awake = pool.awake();
        session.begin_walk();
        for rows in order.chunks(session.program(EVAL).batch) {
            fill(session, EVAL, part, rows, None);
            session.run(EVAL, rows.len(), 0);
            self.take(session, EVAL, rows.len(), penalty);
            look(session, rows.len());
        }
    }

    /// Loss, then each metric.
    pub fn values(&self) -> Vec<f64> {
        let loss = self.loss_sum / self.samples.max(1) as f64;
        std::iter::once(loss).chain(self.accumulators.iter().map(|a| a.value())).collect()
    }
}

/// Brings standardised targets and predictions back to the target's own units, for the metrics.
struct Units {
    offsets: Vec<f32>,
    scales: Vec<f32>,
    targets: Vec<f32>,
    predictions: Vec<f32>,
}

impl Units {
    /// `None` where the network works in the target's units already.
    fn new(preprocessing: &Preprocessing, batch: usize) -> Option<Units> {
        let TargetEncoding::Values { columns } = &preprocessing.target else { return None };
        if columns.iter().all(|c| c.offset == 0.0 && c.scale == 1.0) {
            return None;
        }
        let buffer = vec![0.0; batch * columns.len()];
        Some(Units {
            offsets: columns.iter().map(|c| c.offset as f32).collect(),
            scales: columns.iter().map(|c| c.scale as f32).collect(),
            targets: buffer.clone(),
            predictions: buffer,
        })
    }

    fn convert(&mut self, targets: &[f32], predictions: &[f32]) -> (&[f32], &[f32]) {
        let width = self.offsets.len();
        for (buffer, values) in [(&mut self.targets, targets), (&mut self.predictions, predictions)] {
            for (i, (out, v)) in buffer.iter_mut().zip(values).enumerate() {
                *out = v * self.scales[i % width] + self.offsets[i % width];
            }
        }
        (&self.targets[..targets.len()], &self.predictions[..predictions.len()])
    }
}

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

/// Training in progress.
pub struct Trainer {
    pub session: Session,
    pub optimizer: Optimizer,
    judge: Judge,
    seed: u64,
    shuffle: bool,
    batch: usize,
    class_weights: Option<Vec<f32>>,
    /// Samples of the training part in this epoch's order.
    order: Vec<u32>,
    /// The order of parts that are judged, always the same.
    steady: Vec<u32>,
    /// Steps done in this epoch, and in all.
    pub steps_done: usize,
    pub step: u64,
}

impl Trainer {
    /// Compiles the model and draws first weights.
    pub fn new(prepared: &Prepared, model: &Model, pool: Arc<Pool>) -> Result<Trainer> {
        let experiment = &prepared.experiment;
        let batch = prepared.batch_size();
        let judge = Judge::new(experiment, &model.output, &prepared.dataset.preprocessing, batch);
        let session = model.session(Purpose::Train, batch, pool)?;
        let layout = session.layout().clone();
        let spec = experiment.training.optimizer.clone();
        let optimizer = Optimizer::new(spec, &layout.trainable, layout.trainable_len);
        let judged = [&prepared.dataset.validation, &prepared.dataset.test];
        let longest = judged.into_iter().flatten().map(Part::len).max().unwrap_or(0);
        let mut trainer = Trainer {
            session,
            optimizer,
            judge,
            seed: experiment.seed,
            shuffle: experiment.training.shuffle,
            batch,
            class_weights: prepared.class_weights.clone(),
            order: (0..prepared.dataset.train.len() as u32).collect(),
            steady: (0..longest as u32).collect(),
            steps_done: 0,
            step: 0,
        };
        trainer.session.initialize(experiment.seed);
        Ok(trainer)
    }

    pub fn steps_per_epoch(&self) -> usize {
        self.order.len().div_ceil(self.batch)
    }

    /// Starts an epoch (from 0): its order follows from seed and epoch alone.
    pub fn begin_epoch(&mut self, epoch: usize) {
        self.judge.reset();
        self.steps_done = 0;
        self.order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
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
        let n = to - from;
        fill(&mut self.session, TRAIN, part, &self.order[from..to], self.class_weights.as_deref());
        done(Stage::Data);
        let step = self.step as u32;
        let penalty = self.session.penalty();
        done(Stage::Metrics);
        self.session.run_watched(TRAIN, n, step, |index| done(Stage::Program(index)));
        let loss = self.judge.take(&self.session, TRAIN, n, penalty);
        done(Stage::Metrics);
        if !loss.is_finite() {
            return Err(self.diverged(part, from..to, loss));
        }
        let (weights, grads) = self.session.weights_and_grads();
        self.optimizer.step(&pool, weights, grads);
        done(Stage::Optimizer);
        self.steps_done += 1;
        self.step += 1;
        Ok(loss)
    }

    /// Loss and metrics of the epoch so far.
    pub fn values(&self) -> Vec<f64> {
        self.judge.values()
    }

    /// Loss and metrics over a part, with the inference program, and with the weights' moving average
    /// where the optimizer keeps one: what is judged is what the best checkpoint holds.
    pub fn evaluate(&mut self, part: &Part) -> Vec<f64> {
        self.swap_average();
        let values = self.evaluate_weights(part);
        self.swap_average();
        values
    }

    /// As [`Self::evaluate`], with the weights that the session holds, whatever they are.
    pub fn evaluate_weights(&mut self, part: &Part) -> Vec<f64> {
        self.judge.reset();
        self.judge.judge(&mut self.session, part, &self.steady[..part.len()], |_, _| {});
        self.judge.values()
    }

    /// Exchanges the weights with their moving average, if there is one.
    fn swap_average(&mut self) {
        if self.optimizer.ema().is_none() {
            return;
        }
        let (weights, _) = self.session.weights_and_grads();
        if let Some((_, average)) = self.optimizer.arrays_mut().find(|(name, _)| *name == AVERAGE) {
            weights.swap_with_slice(average);
        }
    }

    /// The first weight or optimizer state that is not finite, by its path.
    pub fn not_finite(&self) -> Option<&str> {
        let bad = |values: &[f32]| values.iter().any(|v| !v.is_finite());
        let places = || self.session.params().decls.iter().zip(&self.session.layout().ranges);
        let mut weights = places().filter(|(decl, _)| !decl.carried);
        let in_block = weights.find(|(_, range)| bad(&self.session.block()[(*range).clone()]));
        let in_state = || {
            let kept =
                |range: &std::ops::Range<usize>| self.optimizer.arrays().any(|(_, a)| bad(&a[range.clone()]));
            places().find(|(decl, range)| decl.trainable && kept(range))
        };
        in_block.or_else(in_state).map(|(decl, _)| decl.path.as_str())
    }

    /// What a checkpoint inside an epoch needs.
    pub fn begun(&self) -> Option<Begun> {
        (self.steps_done > 0 && self.steps_done < self.steps_per_epoch()).then(|| Begun {
            steps: self.steps_done,
            loss_sum: self.judge.loss_sum.into(),
            samples: self.judge.samples,
            metrics: self.judge.accumulators.iter().map(|a| to_bits(&a.state())).collect(),
        })
    }

    /// Goes on inside an epoch that `begin_epoch` has started.
    pub fn restore_begun(&mut self, begun: &Begun) -> Result<(), String> {
        if begun.metrics.len() != self.judge.accumulators.len() {
            return Err("the checkpoint's metrics are not the config's".into());
        }
        self.steps_done = begun.steps;
        self.judge.loss_sum = begun.loss_sum.get();
        self.judge.samples = begun.samples;
        let states = self.judge.accumulators.iter_mut().zip(&begun.metrics);
        states.into_iter().try_for_each(|(a, s)| a.restore(&from_bits(s)))
    }

    /// Finds where the first bad number came from, by running the batch again layer by layer.
    fn diverged(&mut self, part: &Part, samples: std::ops::Range<usize>, loss: f64) -> Failure {
        let n = samples.len();
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
            fill(&mut self.session, TRAIN, part, &self.order[samples.clone()], self.class_weights.as_deref());
            let inputs = bad(self.session.input(TRAIN, 0, n)) || bad(self.session.input(TRAIN, 1, n));
            let mut first = inputs.then(|| "the data".to_string());
            self.session.replay(TRAIN, n, self.step as u32, |layer, outputs| {
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
