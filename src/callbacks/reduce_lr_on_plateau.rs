//! `reduce_lr_on_plateau`: multiplies the learning rate by `factor` when the monitored value has not
//! improved for `patience` epochs. Keras: `callbacks.ReduceLROnPlateau`.

use serde::{Deserialize, Serialize};

use crate::bits::Bits64;
use crate::callbacks::Scene;
use crate::callbacks::monitor::Monitor;
use crate::config::fields::Fields;

#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    pub monitor: Monitor,
    factor: f64,
    patience: u64,
    min_delta: f64,
    cooldown: u64,
    min_lr: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    best: Bits64,
    wait: u64,
    cooldown: u64,
}

impl ReduceLrOnPlateau {
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> ReduceLrOnPlateau {
        let monitor = Monitor::read(f, scene);
        ReduceLrOnPlateau {
            monitor,
            factor: f.key("factor").above(0).within(0, 1).or(0.1),
            patience: f.key("patience").or(10u64),
            min_delta: f.key("min_delta").at_least(0).or(1e-4),
            cooldown: f.key("cooldown").or(0u64),
            min_lr: f.key("min_lr").at_least(0).or(0.0),
        }
    }

    pub fn start(&self) -> State {
        State { best: self.monitor.worst().into(), wait: 0, cooldown: 0 }
    }

    /// The new learning rate after an epoch, if it changes.
    pub fn end_epoch(&self, state: &mut State, value: f64, learning_rate: f64) -> Option<f64> {
        if state.cooldown > 0 {
            state.cooldown -= 1;
            state.wait = 0;
        }
        if self.monitor.improves(value, state.best.get(), self.min_delta) {
            state.best = value.into();
            state.wait = 0;
            return None;
        }
        if state.cooldown > 0 {
            return None;
        }
        state.wait += 1;
        if state.wait < self.patience || learning_rate <= self.min_lr {
            return None;
        }
        state.cooldown = self.cooldown;
        state.wait = 0;
        Some((learning_rate * self.factor).max(self.min_lr))
    }
}
