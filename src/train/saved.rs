//! What a run writes to its checkpoints: copies of the last good state and of the best weights, in
//! memory that is allocated once.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bits::{from_bits, to_bits};
use crate::callbacks;
use crate::checkpoint::{self, Checkpoint, Meta, OPTIMIZER, Resume, Tensor};
use crate::compile::Program;
use crate::diag::{Diag, Result};
use crate::exec::Session;
use crate::graph::{ParamDecl, Params};
use crate::model::task::Task;
use crate::train::course::Learner;
use crate::train::run_folder::RunFolder;
use crate::train::setup::{self, Prepared};
use crate::train::trainer::Trainer;

/// Files are written no more often than this, unless it is asked for.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// Numbers by the history's column names.
pub type Named = Vec<(String, f64)>;

pub struct Saved {
    /// Everything finite so far.
    pub good: Snapshot,
    /// The weights of the best epoch so far.
    pub best: Option<Best>,
    /// Memory for the best weights, until there are any.
    spare: Vec<f32>,
    /// What all checkpoints of the run share.
    frame: Meta,
    written_at: Instant,
}

/// A state that training can go on from.
pub struct Snapshot {
    /// Epochs done.
    pub epoch: usize,
    /// Steps done.
    pub step: u64,
    pub metrics: Named,
    resume: Resume,
    block: Vec<f32>,
    /// The arrays of each optimizer.
    arrays: Vec<Vec<Vec<f32>>>,
}

pub struct Best {
    pub epoch: usize,
    pub metrics: Named,
    step: u64,
    block: Vec<f32>,
    written: bool,
}

impl Saved {
    /// The first weights are good.
    pub fn new(prepared: &Prepared, trainer: &Trainer, callbacks: callbacks::State) -> Saved {
        let resume = Resume { begun: None, ..resume(trainer, callbacks, false) };
        let good = Snapshot {
            epoch: 0,
            step: 0,
            metrics: vec![],
            resume,
            block: trainer.session.block().to_vec(),
            arrays: trainer
                .learners
                .iter()
                .map(|l| l.optimizer.arrays().map(|(_, a)| a.to_vec()).collect())
                .collect(),
        };
        let spare = good.block.clone();
        Saved { good, best: None, spare, frame: frame(prepared), written_at: Instant::now() }
    }

    /// Copies the state.
    pub fn capture(
        &mut self,
        trainer: &Trainer,
        epoch: usize,
        metrics: Named,
        callbacks: callbacks::State,
        finished: bool,
    ) {
        let good = &mut self.good;
        good.block.copy_from_slice(trainer.session.block());
        for (copies, learner) in good.arrays.iter_mut().zip(&trainer.learners) {
            for (copy, (_, array)) in copies.iter_mut().zip(learner.optimizer.arrays()) {
                copy.copy_from_slice(array);
            }
        }
        (good.epoch, good.step, good.metrics) = (epoch, trainer.step, metrics);
        good.resume = resume(trainer, callbacks, finished);
    }

    /// Takes over what a checkpoint says of its state, after [`Self::capture`] of a trainer that was
    /// restored from it: inside a begun epoch the trainer does not know yet how far it is.
    pub fn adopt(&mut self, resume: &Resume) {
        self.good.resume = resume.clone();
    }

    /// Copies the weights that predict: their moving average where the optimizer keeps one.
    pub fn keep_best(&mut self, trainer: &Trainer, epoch: usize, metrics: Named) {
        let block = trainer.session.block();
        let step = trainer.step;
        let spare = &mut self.spare;
        let fresh = || Best { epoch, metrics: vec![], step, block: std::mem::take(spare), written: false };
        let best = self.best.get_or_insert_with(fresh);
        best.block.copy_from_slice(block);
        for learner in &trainer.learners {
            if let Some(average) = learner.optimizer.ema() {
                best.block[learner.range.clone()].copy_from_slice(average);
            }
        }
        (best.epoch, best.step, best.metrics, best.written) = (epoch, step, metrics, false);
    }

    /// Puts the best weights into the session, for judging them.
    pub fn load_best(&self, session: &mut Session) {
        if let Some(best) = &self.best {
            session.block_mut().copy_from_slice(&best.block);
        }
    }

    /// Whether the last writing is long enough ago.
    pub fn is_due(&self) -> bool {
        self.written_at.elapsed() >= WRITE_EVERY
    }

    /// Writes both checkpoints. The best first: a crash between the two leaves a best from after the
    /// last, which the replay finds again, and never a last whose best is missing.
    pub fn write(&mut self, folder: &RunFolder, trainer: &Trainer) -> Result<()> {
        let session = &trainer.session;
        if let Some(best) = self.best.as_mut().filter(|b| !b.written) {
            let (epoch, step, metrics) = (best.epoch, best.step, best.metrics.clone());
            let meta = Meta { epoch, step, metrics: storable(&metrics), ..self.frame.clone() };
            checkpoint::write(&folder.best(), &meta, &tensors(session, &best.block))?;
            best.written = true;
        }
        let good = &self.good;
        let mut all = tensors(session, &good.block);
        for (learner, arrays) in trainer.learners.iter().zip(&good.arrays) {
            for ((slot, _), array) in learner.optimizer.arrays().zip(arrays) {
                all.extend(slots(slot, session, learner, array));
            }
        }
        let (epoch, step, metrics) = (good.epoch, good.step, good.metrics.clone());
        let resume = Some(good.resume.clone());
        let meta = Meta { epoch, step, metrics: storable(&metrics), resume, ..self.frame.clone() };
        checkpoint::write(&folder.last(), &meta, &all)?;
        self.written_at = Instant::now();
        Ok(())
    }
}

/// JSON has no word for NaN and infinity.
fn storable(metrics: &Named) -> Vec<(String, Option<f64>)> {
    metrics.iter().map(|(name, v)| (name.clone(), Some(*v).filter(|v| v.is_finite()))).collect()
}

/// The numbers as they were before they were stored.
pub fn loadable(metrics: &[(String, Option<f64>)]) -> Named {
    metrics.iter().map(|(name, v)| (name.clone(), v.unwrap_or(f64::NAN))).collect()
}

/// Bytes that training takes besides the data: programs and weights, the optimizer's state, the copy
/// of both that is good, and the best weights.
pub fn training_bytes(params: &Params, programs: &[Program], task: &Task) -> usize {
    let layout = params.layout();
    let state = task.optimizer_numbers(params);
    Session::planned_bytes(params, programs) + (2 * state + 2 * layout.len) * size_of::<f32>()
}

/// What is the same in all checkpoints of a run.
fn frame(prepared: &Prepared) -> Meta {
    let (experiment, dataset) = (&prepared.experiment, &prepared.dataset);
    let dir = std::path::absolute(&experiment.config_dir).unwrap_or_else(|_| experiment.config_dir.clone());
    Meta {
        format: checkpoint::FORMAT,
        written_by: format!("nntrain {}", env!("CARGO_PKG_VERSION")),
        config: experiment.resolved(&experiment.config_dir),
        config_dir: dir.display().to_string(),
        input_shape: dataset.input_shape.dims.clone(),
        preprocessing: dataset.preprocessing.clone(),
        dataset_fingerprint: dataset.fingerprint.clone(),
        epoch: 0,
        step: 0,
        resume: None,
        metrics: vec![],
        sha256: String::new(),
    }
}

/// What resuming needs of a trainer, besides its arrays.
fn resume(trainer: &Trainer, callbacks: callbacks::State, finished: bool) -> Resume {
    let scalars = |learner: &Learner| (learner.optimizer.iterations(), to_bits(&learner.optimizer.scalars()));
    let mut states = trainer.learners.iter().map(scalars);
    let (optimizer_iterations, optimizer_scalars) = states.next().expect("somebody learns");
    let more_optimizers = states.collect();
    let begun = trainer.begun();
    Resume { optimizer_iterations, optimizer_scalars, more_optimizers, callbacks, begun, finished }
}

/// The parameters' parts of an array that is laid out like their block.
fn tensors<'a>(session: &Session, array: &'a [f32]) -> Vec<Tensor<'a>> {
    let places = session.params().decls.iter().zip(&session.layout().ranges);
    let stored = places.filter(|(decl, _)| !decl.carried);
    let tensor = |(decl, range): (&ParamDecl, &Range<usize>)| Tensor {
        name: decl.path.clone(),
        shape: decl.shape.clone(),
        data: &array[range.clone()],
    };
    stored.map(tensor).collect()
}

/// The trained parameters' parts of an optimizer's array.
fn slots<'a>(slot: &str, session: &Session, learner: &Learner, array: &'a [f32]) -> Vec<Tensor<'a>> {
    let trained = learner.trained(session).map(|(decl, range)| Tensor {
        name: slot_name(slot, decl),
        shape: decl.shape.clone(),
        data: &array[range],
    });
    trained.collect()
}

fn slot_name(slot: &str, decl: &ParamDecl) -> String {
    format!("{OPTIMIZER}{slot}/{}", decl.path)
}

/// Takes weights, optimizer and step from a run's last checkpoint; returns the rest of its state.
pub fn restore(trainer: &mut Trainer, checkpoint: &Checkpoint, file: &Path) -> Result<Resume> {
    let meta = &checkpoint.meta;
    let wrong = |what: String| Diag::new(format!("{}: {what}", file.display()));
    let resume = meta.resume.clone();
    let resume = resume.ok_or_else(|| wrong("holds weights only, nothing to go on from".into()))?;
    setup::load_weights(&mut trainer.session, checkpoint, file)?;
    let others = resume.more_optimizers.iter().map(|(iterations, scalars)| (*iterations, scalars));
    let states = std::iter::once((resume.optimizer_iterations, &resume.optimizer_scalars)).chain(others);
    for (learner, (iterations, scalars)) in trainer.learners.iter_mut().zip(states) {
        let trained: Vec<(ParamDecl, Range<usize>)> =
            learner.trained(&trainer.session).map(|(decl, range)| (decl.clone(), range)).collect();
        for (slot, array) in learner.optimizer.arrays_mut() {
            for (decl, range) in &trained {
                let stored = checkpoint.tensor(&slot_name(slot, decl), &decl.shape).map_err(wrong)?;
                array[range.clone()].copy_from_slice(stored);
            }
        }
        learner.optimizer.restore(iterations, &from_bits(scalars)).map_err(wrong)?;
    }
    trainer.step = meta.step;
    Ok(resume)
}

/// The best weights of a run that goes on, from their file. It may be from after the last
/// checkpoint: the replay finds it again, and until then the file stays as it is.
pub fn read_best(trainer: &mut Trainer, file: &Path) -> Result<Best> {
    let checkpoint = checkpoint::read(file)?;
    let own = trainer.session.block().to_vec();
    setup::load_weights(&mut trainer.session, &checkpoint, file)?;
    let block = trainer.session.block().to_vec();
    trainer.session.block_mut().copy_from_slice(&own);
    let Meta { epoch, step, metrics, .. } = checkpoint.meta;
    Ok(Best { epoch, metrics: loadable(&metrics), step, block, written: true })
}
