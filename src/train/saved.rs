//! What a run writes to its checkpoints: copies of the last good state and of the best weights, in
//! memory that is allocated once.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bits::{from_bits, to_bits};
use crate::callbacks;
use crate::checkpoint::{self, Checkpoint, Meta, Resume, Tensor};
use crate::compile::Program;
use crate::diag::{Diag, Result};
use crate::exec::Session;
use crate::graph::Params;
use crate::optim::OptimizerSpec;
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
    /// The optimizer's arrays.
    arrays: Vec<Vec<f32>>,
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
        let resume = Resume {
            optimizer_iterations: 0,
            optimizer_scalars: to_bits(&trainer.optimizer.scalars()),
            callbacks,
            begun: None,
            finished: false,
        };
        let good = Snapshot {
            epoch: 0,
            step: 0,
            metrics: vec![],
            resume,
            block: trainer.session.block().to_vec(),
            arrays: trainer.optimizer.arrays().map(|(_, a)| a.to_vec()).collect(),
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
        for (copy, (_, array)) in good.arrays.iter_mut().zip(trainer.optimizer.arrays()) {
            copy.copy_from_slice(array);
        }
        (good.epoch, good.step, good.metrics) = (epoch, trainer.step, metrics);
        good.resume = Resume {
            optimizer_iterations: trainer.optimizer.iterations(),
            optimizer_scalars: to_bits(&trainer.optimizer.scalars()),
            callbacks,
            begun: trainer.begun(),
            finished,
        };
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
        if let Some(average) = trainer.optimizer.ema() {
            best.block[..average.len()].copy_from_slice(average);
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
            checkpoint::write(&folder.best(), &meta, &tensors("", session, &best.block, false))?;
            best.written = true;
        }
        let good = &self.good;
        let mut all = tensors("", session, &good.block, false);
        for ((slot, _), array) in trainer.optimizer.arrays().zip(&good.arrays) {
            all.extend(tensors(&format!("optimizer/{slot}/"), session, array, true));
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
pub fn training_bytes(params: &Params, programs: &[Program], optimizer: &OptimizerSpec) -> usize {
    let layout = params.layout();
    let state = optimizer.numbers_per_weight() * layout.trainable_len;
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

/// The parameters' parts of an array that is laid out like their block.
fn tensors<'a>(prefix: &str, session: &Session, array: &'a [f32], trainable_only: bool) -> Vec<Tensor<'a>> {
    let places = session.params().decls.iter().zip(&session.layout().ranges);
    let chosen = places.filter(|(decl, _)| decl.trainable || !(trainable_only || decl.carried));
    let tensor = |(decl, range): (&crate::graph::ParamDecl, &std::ops::Range<usize>)| Tensor {
        name: format!("{prefix}{}", decl.path),
        shape: decl.shape.clone(),
        data: &array[range.clone()],
    };
    chosen.map(tensor).collect()
}

/// Takes weights, optimizer and step from a run's last checkpoint; returns the rest of its state.
pub fn restore(trainer: &mut Trainer, checkpoint: &Checkpoint, file: &Path) -> Result<Resume> {
    let meta = &checkpoint.meta;
    let wrong = |what: String| Diag::new(format!("{}: {what}", file.display()));
    let resume = meta.resume.clone();
    let resume = resume.ok_or_else(|| wrong("holds weights only, nothing to go on from".into()))?;
    setup::load_weights(&mut trainer.session, checkpoint, file)?;
    let (params, layout) = (trainer.session.params().clone(), trainer.session.layout().clone());
    for (slot, array) in trainer.optimizer.arrays_mut() {
        for (decl, range) in params.decls.iter().zip(&layout.ranges).filter(|(d, _)| d.trainable) {
            let name = format!("optimizer/{slot}/{}", decl.path);
            array[range.clone()].copy_from_slice(checkpoint.tensor(&name, &decl.shape).map_err(wrong)?);
        }
    }
    let scalars = from_bits(&resume.optimizer_scalars);
    trainer.optimizer.restore(resume.optimizer_iterations, &scalars).map_err(wrong)?;
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
