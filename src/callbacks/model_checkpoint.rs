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
    /// None: nothing says which epoch is better, and the last one counts.
    pub monitor: Option<Monitor>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// `None` before the first epoch, which is best whatever it gives.
    best: Option<Bits64>,
}

impl ModelCheckpoint {
    pub fn read(f: &mut Fields<'_>, scene: &Scene) -> ModelCheckpoint {
        ModelCheckpoint { monitor: Some(Monitor::read(f, scene)) }
    }

    /// Without the key: what early stopping restores, else `val_loss`, else `loss`, if there is one.
    pub fn new(restored: Option<Monitor>, scene: &Scene) -> ModelCheckpoint {
        let measured = |name: &&str| scene.columns.iter().any(|(column, _)| column == name);
        let loss = ["val_loss", "loss"].into_iter().find(measured);
        let loss = loss.map(|name| Monitor { name: name.to_string(), higher_is_better: false });
        ModelCheckpoint { monitor: restored.or(loss) }
    }

    pub fn start(&self) -> State {
        State { best: None }
    }

    /// Whether the epoch is the best so far; `value` gives what a column holds.
    pub fn end_epoch(&self, state: &mut State, value: impl Fn(&str) -> f64) -> bool {
        let Some(monitor) = &self.monitor else { return true };
        let value = value(&monitor.name);
        let best =
            state.best.is_none_or(|best| monitor.improves(value, best.get(), 0.0) || best.get().is_nan());
        if best {
            state.best = Some(value.into());
        }
        best
    }
}
