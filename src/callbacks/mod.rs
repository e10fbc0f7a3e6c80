//! Callbacks: what happens between epochs. Pure state machines: they look at numbers and decide;
//! files and weights are the training loop's.
//!
//! Names, arguments and behaviour are those of `keras.callbacks`. Their state is in the checkpoint,
//! so that a run that goes on decides as if it had never stopped.

mod early_stopping;
mod learning_rate_warmup;
mod model_checkpoint;
mod monitor;
mod reduce_lr_on_plateau;

use serde::{Deserialize, Serialize};

use crate::bits::Bits64;
use crate::config::fields::Fields;
use crate::config::tree::Data;
use crate::config::write::Plain;

use early_stopping::EarlyStopping;
use learning_rate_warmup::LearningRateWarmup;
use model_checkpoint::ModelCheckpoint;
use reduce_lr_on_plateau::ReduceLrOnPlateau;

/// The section `[callbacks]`. A stop at a NaN loss is always on and has no key.
#[derive(Clone, Debug)]
pub struct Callbacks {
    pub early_stopping: Option<EarlyStopping>,
    pub reduce_lr_on_plateau: Option<ReduceLrOnPlateau>,
    pub model_checkpoint: ModelCheckpoint,
    pub learning_rate_warmup: Option<LearningRateWarmup>,
    pub save_freq: SaveFreq,
}

/// `backup_and_restore.save_freq`: how often the state is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFreq {
    /// At epoch ends, when due.
    Epoch,
    /// After every so many steps too.
    Steps(u64),
}

/// What callbacks may monitor and touch.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Columns of the history, and whether higher is better.
    pub columns: Vec<(String, bool)>,
    /// A schedule sets the learning rate, so that no callback may.
    pub scheduled: bool,
    /// A callback that sets the learning rate has one optimizer to set it for.
    pub one_optimizer: bool,
}

impl Callbacks {
    /// Reads the section; monitors must exist.
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> Callbacks {
        let early_stopping = f.section("early_stopping", |s| EarlyStopping::read(s, scene));
        let reduce = f.section("reduce_lr_on_plateau", |s| ReduceLrOnPlateau::read(s, scene));
        let warmup = f.section("learning_rate_warmup", LearningRateWarmup::read);
        for (key, there) in
            [("reduce_lr_on_plateau", reduce.is_some()), ("learning_rate_warmup", warmup.is_some())]
        {
            if there && !scene.one_optimizer {
                let hint = "give the networks' optimizers a schedule each: learning_rate = { type = ... }";
                f.error(key, "sets one learning rate, and each network has its own", Some(hint.into()));
            }
        }
        if scene.scheduled {
            let both =
                [("reduce_lr_on_plateau", reduce.is_some()), ("learning_rate_warmup", warmup.is_some())];
            for (key, _) in both.iter().filter(|(_, there)| *there) {
                let hint = "give the optimizer a number, or the schedule the whole task (CosineDecay has warmup_steps)";
                f.error(
                    key,
                    "sets the learning rate, and so does the optimizer's schedule",
                    Some(hint.into()),
                );
            }
        }
        // Weights that early stopping restores are the ones that count as best.
        let restored = early_stopping.as_ref().filter(|e| e.restore_best_weights).map(|e| e.monitor.clone());
        let model_checkpoint = f.section("model_checkpoint", |s| ModelCheckpoint::read(s, scene));
        if let (Some(kept), Some(restored)) =
            (model_checkpoint.as_ref().and_then(|m| m.monitor.as_ref()), &restored)
            && kept != restored
        {
            let message = format!(
                "keeps the best weights by `{}`, but early_stopping restores the best by `{}`",
                kept.name, restored.name
            );
            let hint =
                "there is one best.safetensors: give both the same monitor, or leave model_checkpoint out";
            f.error("model_checkpoint", message, Some(hint.into()));
        }
        let model_checkpoint = model_checkpoint.unwrap_or_else(|| ModelCheckpoint::new(restored, scene));
        let save_freq = f.section("backup_and_restore", read_save_freq).unwrap_or(SaveFreq::Epoch);
        Callbacks {
            early_stopping,
            reduce_lr_on_plateau: reduce,
            model_checkpoint,
            learning_rate_warmup: warmup,
            save_freq,
        }
    }
}

fn read_save_freq(f: &mut Fields<'_>) -> SaveFreq {
    match f.raw("save_freq").map(|v| &v.data) {
        None => {}
        Some(Data::Str(word)) if word == "epoch" => {}
        Some(Data::Int(steps)) if *steps > 0 => {
            f.resolve("save_freq", Plain::Int(*steps));
            return SaveFreq::Steps(*steps as u64);
        }
        Some(_) => f.error("save_freq", "must be \"epoch\" or a number of steps from 1", None),
    }
    f.resolve("save_freq", Plain::Str("epoch".into()));
    SaveFreq::Epoch
}

/// What is to be done after an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub stop: bool,
    /// The learning rate from now on, if it changes.
    pub learning_rate: Option<f64>,
    /// The epoch is the best so far.
    pub best: bool,
    /// For the user.
    pub notes: Vec<String>,
}

/// Callbacks at work.
#[derive(Debug)]
pub struct Running {
    callbacks: Callbacks,
    state: State,
}

/// What a checkpoint keeps of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    early_stopping: Option<early_stopping::State>,
    reduce_lr_on_plateau: Option<reduce_lr_on_plateau::State>,
    model_checkpoint: model_checkpoint::State,
    /// The learning rate without the warm-up's factor.
    learning_rate: Bits64,
}

impl Running {
    pub fn new(callbacks: &Callbacks, learning_rate: f64) -> Running {
        let state = State {
            early_stopping: callbacks.early_stopping.as_ref().map(EarlyStopping::start),
            reduce_lr_on_plateau: callbacks.reduce_lr_on_plateau.as_ref().map(ReduceLrOnPlateau::start),
            model_checkpoint: callbacks.model_checkpoint.start(),
            learning_rate: learning_rate.into(),
        };
        Running { callbacks: callbacks.clone(), state }
    }

    /// The learning rate for step `step` of training (from 0), where a warm-up sets it.
    pub fn learning_rate_for_step(&self, step: u64, steps_per_epoch: usize) -> Option<f64> {
        let warmup = self.callbacks.learning_rate_warmup.as_ref()?;
        Some(self.state.learning_rate.get() * warmup.factor(step, steps_per_epoch))
    }

    /// Takes in the history's row of epoch `epoch` (from 0).
    pub fn end_epoch(&mut self, epoch: usize, row: &[(String, f64)]) -> Verdict {
        let value = |name: &str| row.iter().find(|(n, _)| n == name).map_or(f64::NAN, |(_, v)| *v);
        let mut verdict = Verdict::default();
        let checkpoint = &self.callbacks.model_checkpoint;
        verdict.best = checkpoint.end_epoch(&mut self.state.model_checkpoint, value);
        if let (Some(c), Some(s)) =
            (&self.callbacks.reduce_lr_on_plateau, &mut self.state.reduce_lr_on_plateau)
            && let Some(rate) = c.end_epoch(s, value(&c.monitor.name), self.state.learning_rate.get())
        {
            verdict.notes.push(format!("ReduceLROnPlateau: the learning rate is now {rate:e}"));
            self.state.learning_rate = rate.into();
            verdict.learning_rate = Some(rate);
        }
        if let (Some(c), Some(s)) = (&self.callbacks.early_stopping, &mut self.state.early_stopping) {
            verdict.stop = c.end_epoch(s, epoch, value(&c.monitor.name));
            if c.restore_best_weights {
                verdict.best = c.keeps(s, epoch);
            }
            if verdict.stop {
                let best = s.best_epoch + 1;
                verdict.notes.push(format!("EarlyStopping: {} was best in epoch {best}", c.monitor.name));
            }
        }
        verdict
    }

    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Goes on from a checkpoint of the same config.
    pub fn restore(&mut self, state: &State) -> Result<(), String> {
        let fits = state.early_stopping.is_some() == self.state.early_stopping.is_some()
            && state.reduce_lr_on_plateau.is_some() == self.state.reduce_lr_on_plateau.is_some();
        if !fits {
            return Err("the callbacks of the checkpoint are not those of its config".into());
        }
        self.state = state.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
