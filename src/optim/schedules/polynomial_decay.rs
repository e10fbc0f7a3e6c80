//! `rate(t) = (initial_learning_rate - end_learning_rate) (1 - t / d)^power + end_learning_rate`.
//!
//! `t` stops at `d = decay_steps`; with `cycle`, `d` is instead the next multiple of `decay_steps`
//! that is not below `t`. Source: `keras.optimizers.schedules.PolynomialDecay`.

use super::Schedule;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "PolynomialDecay",
    aliases: &[],
    about: "falls to end_learning_rate in decay_steps, linearly by default",
    parse: |f| {
        Box::new(PolynomialDecay {
            initial: f.key("initial_learning_rate").at_least(0.0).required(),
            decay_steps: f.key("decay_steps").at_least(1).required(),
            end: f.key("end_learning_rate").at_least(0.0).or(0.0001),
            power: f.key("power").at_least(0.0).or(1.0),
            cycle: f.key("cycle").or(false),
        })
    },
};

#[derive(Debug)]
struct PolynomialDecay {
    initial: f64,
    decay_steps: u64,
    end: f64,
    power: f64,
    cycle: bool,
}

impl Schedule for PolynomialDecay {
    fn at(&self, step: u64) -> f64 {
        let cycles = if self.cycle { step.div_ceil(self.decay_steps).max(1) } else { 1 };
        let length = (self.decay_steps * cycles) as f64;
        let p = (step as f64).min(length) / length;
        (self.initial - self.end) * libm::pow(1.0 - p, self.power) + self.end
    }
}
