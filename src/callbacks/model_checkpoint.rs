//! `model_checkpoint`: which epoch is the best one. `best.safetensors` holds its weights, and
//! `last.safetensors` is there whatever is asked for. Keras: `callbacks.ModelCheckpoint` with
//! `save_best_only`.

use serde::{Deserialize, Serialize};

use crate::bits::Bits64;
use crate::callbacks::Scene;
use crate::callbacks::monitor::Monitor;
use crate::config::fields::Fields;

#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    pub monitor: Monitor,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// `None` before the first epoch, which is best whatever it gives.
    best: Option<Bits64>,
}

impl ModelCheckpoint {
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> ModelCheckpoint {
        ModelCheckpoint { monitor: Monitor::read(f, scene) }
    }

    /// Without the key: what early stopping restores, else `val_loss`, else `loss`.
    pub fn new(restored: Option<Monitor>, scene: &Scene) -> ModelCheckpoint {
        let validated = scene.columns.iter().any(|(name, _)| name == "val_loss");
        let name = if validated { "val_loss" } else { "loss" }.to_string();
        ModelCheckpoint { monitor: restored.unwrap_or(Monitor { name, higher_is_better: false }) }
    }

    pub fn start(&self) -> State {
        State { best: None }
    }

    /// Whether the epoch is the best so far.
    pub fn end_epoch(&self, state: &mut State, value: f64) -> bool {
        let best = state
            .best
            .is_none_or(|best| self.monitor.improves(value, best.get(), 0.0) || best.get().is_nan());
        if best {
            state.best = Some(value.into());
        }
        best
    }
}
