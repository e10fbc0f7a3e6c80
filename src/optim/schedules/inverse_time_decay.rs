//! `rate(t) = initial_learning_rate / (1 + decay_rate * t / decay_steps)`; `t / decay_steps` in whole
//! numbers if `staircase`. Source: `keras.optimizers.schedules.InverseTimeDecay`.

use super::{Schedule, progress};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "InverseTimeDecay",
    aliases: &[],
    about: "falls as one over the time",
    parse: |f| {
        Box::new(InverseTimeDecay {
            initial: f.key("initial_learning_rate").at_least(0.0).required(),
            decay_steps: f.key("decay_steps").at_least(1).required(),
            decay_rate: f.key("decay_rate").at_least(0.0).required(),
            staircase: f.key("staircase").or(false),
        })
    },
};

#[derive(Debug)]
struct InverseTimeDecay {
    initial: f64,
    decay_steps: u64,
    decay_rate: f64,
    staircase: bool,
}

impl Schedule for InverseTimeDecay {
    fn at(&self, step: u64) -> f64 {
        self.initial / (1.0 + self.decay_rate * progress(step, self.decay_steps, self.staircase))
    }
}
