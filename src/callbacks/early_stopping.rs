//! `early_stopping`: stops when the monitored value has not improved for `patience` epochs.
//! Keras: `callbacks.EarlyStopping`.

use serde::{Deserialize, Serialize};

use crate::bits::Bits64;
use crate::callbacks::Scene;
use crate::callbacks::monitor::Monitor;
use crate::config::fields::Fields;

#[derive(Clone, Debug)]
pub struct EarlyStopping {
    pub monitor: Monitor,
    min_delta: f64,
    patience: u64,
    baseline: Option<f64>,
    /// `best.safetensors` follows this monitor.
    pub restore_best_weights: bool,
    start_from_epoch: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub best: Bits64,
    /// From 0.
    pub best_epoch: usize,
    pub wait: u64,
}

impl EarlyStopping {
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::read(f, scene),
            min_delta: f.key("min_delta").or(0.0f64).abs(),
            patience: f.key("patience").or(0u64),
            baseline: f.key("baseline").optional(),
            restore_best_weights: f.key("restore_best_weights").or(false),
            start_from_epoch: f.key("start_from_epoch").or(0usize),
        }
    }

    pub fn start(&self) -> State {
        State { best: self.monitor.worst().into(), best_epoch: 0, wait: 0 }
    }

    /// Whether training stops after epoch `epoch` (from 0).
    pub fn end_epoch(&self, state: &mut State, epoch: usize, value: f64) -> bool {
        if epoch < self.start_from_epoch {
            return false;
        }
        state.wait += 1;
        if self.monitor.improves(value, state.best.get(), self.min_delta) {
            state.best = value.into();
            state.best_epoch = epoch;
            // The waiting starts anew only for a value that beats the baseline too.
            if self.baseline.is_none_or(|b| self.monitor.improves(value, b, self.min_delta)) {
                state.wait = 0;
            }
            return false;
        }
        state.wait >= self.patience && epoch > 0
    }

    /// Whether the epoch that just ended has the weights to restore: the best one by `min_delta`, or
    /// before `start_from_epoch` the last one.
    pub fn keeps(&self, state: &State, epoch: usize) -> bool {
        epoch < self.start_from_epoch || state.best_epoch == epoch
    }
}
