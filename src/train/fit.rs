//! `nntrain fit`: the loop over epochs, with everything that is written and said.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::callbacks::{self, SaveFreq};
use crate::checkpoint;
use crate::data::Part;
use crate::diag::{Diag, Failure, Result};
use crate::model::Experiment;
use crate::model::task::Task;
use crate::report::{forecast_svg, history_svg};
use crate::train::progress::{Progress, Verbosity, duration, figures};
use crate::train::run_folder::{History, RunFolder};
use crate::train::saved::{self, Named, Saved};
use crate::train::setup::{self, Options, Prepared};
use crate::train::trainer::{DIVERGED, Trainer};

/// Set by Ctrl-C: the step in hand is finished, the state saved.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How a run goes besides what its config says.
#[derive(Clone, Debug)]
pub struct FitOptions {
    pub common: Options,
    pub verbosity: Verbosity,
}

/// Starts a new run; returns its folder.
pub fn fit(
    experiment: Experiment,
    run_dir: Option<&Path>,
    overwrite: bool,
    options: &FitOptions,
) -> Result<RunFolder> {
    let (mut prepared, model) = Prepared::new(experiment, &options.common)?;
    let trainer = Trainer::new(&prepared, &model, options.common.pool())?;
    prepared.initial.forget();
    let folder = RunFolder::create(run_dir, &prepared.experiment.name, overwrite)?;
    folder.write_config(&prepared.experiment.resolved(folder.path()))?;
    let history = History::create(&folder, columns(&prepared))?;
    let mut run = Run::new(prepared, trainer, folder, history, options.verbosity);
    // A run that dies in its first seconds can be resumed too, and a full disk is found at once.
    run.write_checkpoints()?;
    run.go()?;
    Ok(run.folder)
}

/// Goes on with a run from its last checkpoint, up to `epochs` if given.
pub fn resume(path: &Path, epochs: Option<usize>, options: &FitOptions) -> Result<RunFolder> {
    let folder = RunFolder::existing(path)?;
    let checkpoint = checkpoint::read(&folder.last())?;
    let meta = &checkpoint.meta;
    if let Some(fewer) = epochs.filter(|n| *n < meta.epoch) {
        let message = format!("the run has done {} epochs, so it cannot end after {fewer}", meta.epoch);
        return Err(Diag::new(message).hint("--epochs with --resume is the number of epochs in all").into());
    }
    let sets: Vec<String> = epochs.iter().map(|n| format!("training.epochs={n}")).collect();
    let mut experiment = setup::experiment_of(meta, &folder.last().display().to_string(), &sets)?;
    // The checkpoint's weights started there: the file may be gone.
    experiment.training.initial_weights = None;
    let (prepared, model) = Prepared::new(experiment, &options.common)?;
    if prepared.dataset.fingerprint != meta.dataset_fingerprint {
        return Err(Diag::new("the dataset is not the one that this run was trained on")
            .note(format!("now {}, then {}", prepared.dataset.fingerprint, meta.dataset_fingerprint))
            .hint("bring the data back, or start a new run")
            .into());
    }
    let trainer = Trainer::new(&prepared, &model, options.common.pool())?;
    let config = prepared.experiment.resolved(folder.path());
    let history = History::reopen(&folder, columns(&prepared), meta.epoch)?;
    let mut run = Run::new(prepared, trainer, folder, history, options.verbosity);
    run.restore(&checkpoint, epochs.is_some())?;
    // Nothing is written before all of the run is found in order.
    run.folder.write_config(&config)?;
    run.go()?;
    Ok(run.folder)
}

/// The history's columns, known from the start.
fn columns(prepared: &Prepared) -> Vec<String> {
    let measured = prepared.experiment.task.measured(prepared.dataset.validation.is_some());
    let rates = prepared.experiment.task.learning_rate_columns();
    let rest = rates.into_iter().chain(["seconds", "samples_per_second"].map(str::to_string));
    let first = std::iter::once("epoch".to_string());
    first.chain(measured.into_iter().map(|(name, _)| name)).chain(rest).collect()
}

struct Run {
    prepared: Prepared,
    trainer: Trainer,
    folder: RunFolder,
    history: History,
    callbacks: callbacks::Running,
    progress: Progress,
    verbosity: Verbosity,
    /// Epochs done.
    epoch: usize,
    /// How far the checkpoint's epoch is, until it is taken up.
    begun: Option<checkpoint::Begun>,
    finished: bool,
    saved: Saved,
    /// Bytes that were planned, besides the data.
    memory: usize,
}

impl Run {
    fn new(
        prepared: Prepared,
        trainer: Trainer,
        folder: RunFolder,
        history: History,
        verbosity: Verbosity,
    ) -> Run {
        let callbacks = callbacks::Running::new(&prepared.experiment.callbacks, trainer.learning_rate());
        let progress = Progress::new(verbosity, prepared.experiment.training.epochs);
        let saved = Saved::new(&prepared, &trainer, callbacks.state());
        let session = &trainer.session;
        let memory = saved::training_bytes(session.params(), session.programs(), &prepared.experiment.task);
        let (epoch, begun, finished) = (0, None, false);
        Run {
            prepared,
            trainer,
            folder,
            history,
            callbacks,
            progress,
            verbosity,
            epoch,
            begun,
            finished,
            saved,
            memory,
        }
    }

    /// Takes over the state of the run's last checkpoint. `extended`: more epochs are asked for, so
    /// that a run that came to its end goes on.
    fn restore(&mut self, checkpoint: &checkpoint::Checkpoint, extended: bool) -> Result<()> {
        let last = self.folder.last();
        let resume = saved::restore(&mut self.trainer, checkpoint, &last)?;
        let restored = self.callbacks.restore(&resume.callbacks);
        restored.map_err(|what| Diag::new(format!("{}: {what}", last.display())))?;
        self.epoch = checkpoint.meta.epoch;
        self.finished = resume.finished && !extended;
        self.capture(saved::loadable(&checkpoint.meta.metrics));
        self.saved.adopt(&resume);
        self.begun = resume.begun;
        if self.folder.best().exists() {
            self.saved.best = Some(saved::read_best(&mut self.trainer, &self.folder.best())?);
        }
        let epochs = self.prepared.experiment.training.epochs;
        self.progress.say(&match &self.begun {
            Some(begun) => format!("Going on in epoch {} after {} of its steps", self.epoch + 1, begun.steps),
            None if self.finished || self.epoch >= epochs => {
                format!("The run ended after epoch {}; --epochs N extends it", self.epoch)
            }
            None => format!("Going on after epoch {}", self.epoch),
        });
        Ok(())
    }

    fn go(&mut self) -> Result<()> {
        for note in self.prepared.notes() {
            self.progress.say(note);
        }
        self.progress.say(&format!(
            "{}: {} weights, {} training samples, memory {:.1} MB besides the data, {} threads, seed {}",
            self.folder.path().display(),
            self.trainer.session.params().counts().0,
            self.prepared.dataset.train.len(),
            self.memory as f64 / 1e6,
            self.trainer.session.pool().threads(),
            self.prepared.experiment.seed
        ));
        let epochs = self.prepared.experiment.training.epochs;
        while self.epoch < epochs && !self.finished {
            if let Err(failure) = self.one_epoch() {
                return Err(self.end_badly(failure));
            }
        }
        self.finish()
    }

    fn one_epoch(&mut self) -> Result<()> {
        let started = Instant::now();
        let epoch = self.epoch;
        self.trainer.begin_epoch(epoch);
        if let Some(begun) = self.begun.take() {
            self.trainer.restore_begun(&begun).map_err(|e| Diag::new(format!("the checkpoint: {e}")))?;
        }
        let (steps, skipped) = (self.trainer.steps_per_epoch(), self.trainer.steps_done);
        self.progress.begin(epoch, steps, skipped);
        let names = self.history.columns[1..=self.prepared.experiment.task.measured(false).len()].to_vec();
        // As they are in the epoch's last step.
        let mut rates: Vec<f64> = self.trainer.learning_rates().collect();
        while self.trainer.steps_done < steps {
            if let Some(rate) = self.callbacks.learning_rate_for_step(self.trainer.step, steps) {
                self.trainer.set_learning_rate(rate);
            }
            rates.iter_mut().zip(self.trainer.learning_rates()).for_each(|(kept, rate)| *kept = rate);
            self.trainer.train_step(&self.prepared.dataset.train)?;
            let (trainer, prepared, done) = (&self.trainer, &self.prepared, self.trainer.steps_done);
            self.progress.batch(done, || {
                let speed = samples(prepared, done - skipped) / started.elapsed().as_secs_f64();
                format!("{}  {speed:.0} samples/s", figures(&names, &trainer.values()))
            });
            self.save_within_epoch(steps)?;
        }
        let trained = started.elapsed().as_secs_f64();
        let speed = samples(&self.prepared, steps - skipped) / trained;
        let mut values = self.trainer.values();
        if let Some(validation) = &self.prepared.dataset.validation {
            values.extend(self.trainer.evaluate(validation).into_iter().flatten());
        }
        self.epoch += 1;
        self.end_epoch(values, rates, started.elapsed().as_secs_f64(), speed)
    }

    /// Row, callbacks, best weights, files.
    fn end_epoch(&mut self, values: Vec<f64>, rates: Vec<f64>, seconds: f64, speed: f64) -> Result<()> {
        let dataset = &self.prepared.dataset;
        if let Some(diag) = dataset.validation.iter().chain([&dataset.train]).find_map(Part::failure) {
            return Err(diag.into());
        }
        let monitored = &self.history.columns[1..=values.len()];
        let text = format!("{}  {speed:.0} samples/s  {}", figures(monitored, &values), duration(seconds));
        self.progress.end(self.epoch - 1, &text);
        let named: Vec<(String, f64)> = monitored.iter().cloned().zip(values.iter().copied()).collect();
        let row = std::iter::once(self.epoch as f64).chain(values).chain(rates).chain([seconds, speed]);
        self.history.push(row.collect())?;
        if let Some((column, value)) = named.iter().find(|(c, v)| c.ends_with("loss") && !v.is_finite()) {
            let message = format!("`{column}` is {value} in epoch {}", self.epoch);
            return Err(Failure::Diverged(Diag::new(message).hint(DIVERGED)));
        }
        self.check_good()?;
        self.draw_samples()?;
        let verdict = self.callbacks.end_epoch(self.epoch - 1, &named);
        for note in &verdict.notes {
            self.progress.say(note);
        }
        if let Some(rate) = verdict.learning_rate {
            self.trainer.set_learning_rate(rate);
        }
        if verdict.best {
            self.saved.keep_best(&self.trainer, self.epoch, named.clone());
        }
        self.finished = verdict.stop;
        self.capture(named);
        let due = self.saved.is_due() || self.save_is_asked();
        if due || INTERRUPTED.load(Ordering::SeqCst) {
            self.write_all()?;
        }
        self.check_interrupted()
    }

    /// What a generative model makes of the same noise after every epoch.
    fn draw_samples(&mut self) -> Result<()> {
        let grid = self.prepared.experiment.task.grid();
        let Some(picture) = self.trainer.samples(grid) else { return Ok(()) };
        self.folder.write_samples(self.epoch, &picture)
    }

    /// `save_freq` in steps, and Ctrl-C.
    fn save_within_epoch(&mut self, steps: usize) -> Result<()> {
        if self.trainer.steps_done == steps {
            return Ok(());
        }
        let asked = self.save_is_asked();
        let interrupted = INTERRUPTED.load(Ordering::SeqCst);
        if asked || interrupted {
            self.check_good()?;
            self.capture(self.saved.good.metrics.clone());
            if interrupted { self.write_all()? } else { self.write_checkpoints()? }
        }
        self.check_interrupted()
    }

    /// Whether `save_freq` falls on the step just done.
    fn save_is_asked(&self) -> bool {
        let every = self.prepared.experiment.callbacks.save_freq;
        matches!(every, SaveFreq::Steps(n) if self.trainer.step.is_multiple_of(n))
    }

    fn check_interrupted(&self) -> Result<()> {
        if !INTERRUPTED.load(Ordering::SeqCst) {
            return Ok(());
        }
        let folder = self.folder.path().display();
        Err(Failure::Interrupted(format!(
            "Saved after step {}. Go on with: nntrain fit --resume {folder}",
            self.trainer.step
        )))
    }

    /// Before a state is saved: the last good one is not given up for one with a NaN in it.
    fn check_good(&self) -> Result<()> {
        let Some(path) = self.trainer.not_finite() else { return Ok(()) };
        let message = format!("the update in step {} made `{path}` not finite", self.trainer.step);
        Err(Failure::Diverged(Diag::new(message).hint(DIVERGED)))
    }

    fn capture(&mut self, metrics: Named) {
        self.saved.capture(&self.trainer, self.epoch, metrics, self.callbacks.state(), self.finished);
    }

    fn write_checkpoints(&mut self) -> Result<()> {
        // The checkpoint counts on the rows before it: they reach the disk first.
        self.history.sync()?;
        self.saved.write(&self.folder, &self.trainer)
    }

    fn write_all(&mut self) -> Result<()> {
        self.write_checkpoints()?;
        let picture = history_svg::draw(
            &self.prepared.experiment.name,
            &self.history.columns,
            &self.history.rows,
            self.saved.best.as_ref().filter(|_| self.is_judged()).map(|b| b.epoch),
        );
        self.folder.write_picture("history.svg", &picture)
    }

    /// Whether some epochs are better than others: of a GAN the last one's weights are kept.
    fn is_judged(&self) -> bool {
        matches!(self.prepared.experiment.task, Task::Supervised(_))
    }

    /// Saves what is good, then passes the failure on.
    fn end_badly(&mut self, failure: Failure) -> Failure {
        self.progress.abandon();
        if let Failure::Diverged(diag) = failure {
            let note = format!(
                "{} holds the last good state, after step {}",
                self.folder.last().display(),
                self.saved.good.step
            );
            return match self.write_all() {
                Ok(()) => Failure::Diverged(diag.note(note)),
                Err(second) => {
                    Failure::Diverged(diag.note(format!("and saving failed: {}", second.diags()[0].message)))
                }
            };
        }
        failure
    }

    fn finish(&mut self) -> Result<()> {
        if self.saved.best.is_none() {
            // No epoch was run: the first weights are what there is.
            self.saved.keep_best(&self.trainer, self.epoch, vec![]);
        }
        self.write_all()?;
        let best = self.saved.best.as_ref().expect("just made sure");
        let names: Vec<String> = best.metrics.iter().map(|m| m.0.clone()).collect();
        let values: Vec<f64> = best.metrics.iter().map(|m| m.1).collect();
        let word = if self.is_judged() { "Best" } else { "Last" };
        self.progress.say(&format!("{word} epoch {}: {}", best.epoch, figures(&names, &values)));
        self.saved.load_best(&mut self.trainer.session);
        if self.prepared.experiment.task.learns_targets()
            && let Some(forecast) = self.trainer.forecast(&self.prepared.dataset)
        {
            let picture = forecast_svg::draw(&self.prepared.experiment.name, &forecast);
            self.folder.write_picture("forecast.svg", &picture)?;
        }
        if self.verbosity != Verbosity::Silent
            && let Some(line) = self.test_line()
        {
            self.progress.say(&line);
        }
        Ok(())
    }

    /// Loss and metrics of the weights in the session, the best ones, on the test split where there is one.
    fn test_line(&mut self) -> Option<String> {
        let test = self.prepared.dataset.test.clone()?;
        let values = self.trainer.evaluate_weights(&test)?;
        let measured = self.prepared.experiment.task.measured(false);
        let word = |((name, _), value): (&(String, bool), &f64)| match name.contains("accuracy") {
            true => format!("{name} {:.2} %", value * 100.0),
            false => figures(std::slice::from_ref(name), &[*value]),
        };
        Some(format!("Test: {}", measured.iter().zip(&values).map(word).collect::<Vec<_>>().join("  ")))
    }
}

/// Samples in so many steps of an epoch.
fn samples(prepared: &Prepared, steps: usize) -> f64 {
    (steps * prepared.batch_size()).min(prepared.dataset.train.len()) as f64
}
