//! `rate(t) = initial_learning_rate * decay_rate ^ (t / decay_steps)`; the exponent in whole numbers
//! if `staircase`. Source: `keras.optimizers.schedules.ExponentialDecay`.

use super::{Schedule, progress};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "ExponentialDecay",
    aliases: &[],
    about: "multiplied by decay_rate every decay_steps, smoothly or in steps",
    parse: |f| {
        Box::new(ExponentialDecay {
            initial: f.key("initial_learning_rate").at_least(0.0).required(),
            decay_steps: f.key("decay_steps").at_least(1).required(),
            decay_rate: f.key("decay_rate").at_least(0.0).required(),
            staircase: f.key("staircase").or(false),
        })
    },
};

#[derive(Debug)]
struct ExponentialDecay {
    initial: f64,
    decay_steps: u64,
    decay_rate: f64,
    staircase: bool,
}

impl Schedule for ExponentialDecay {
    fn at(&self, step: u64) -> f64 {
        self.initial * libm::pow(self.decay_rate, progress(step, self.decay_steps, self.staircase))
    }
}
