//! Cosine decays one after another, each `t_mul` times as long as the one before and starting at
//! `m_mul` times its height.
//!
//! `rate(t) = initial ((1 - alpha) m_mul^i (1 + cos(pi x)) / 2 + alpha)` in restart `i`, of whose
//! length the fraction `x` is over.
//! Source: `keras.optimizers.schedules.CosineDecayRestarts`; Loshchilov and Hutter, ICLR 2017.

use super::{Schedule, half_cosine};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "CosineDecayRestarts",
    aliases: &[],
    about: "cosine decays with warm restarts",
    parse: |f| {
        Box::new(CosineDecayRestarts {
            initial: f.key("initial_learning_rate").at_least(0.0).required(),
            first_decay_steps: f.key("first_decay_steps").at_least(1).required(),
            t_mul: f.key("t_mul").at_least(1.0).or(2.0),
            m_mul: f.key("m_mul").at_least(0.0).or(1.0),
            alpha: f.key("alpha").at_least(0.0).or(0.0),
        })
    },
};

#[derive(Debug)]
struct CosineDecayRestarts {
    initial: f64,
    first_decay_steps: u64,
    t_mul: f64,
    m_mul: f64,
    alpha: f64,
}

impl CosineDecayRestarts {
    /// The number of restarts so far, and the fraction of the present decay that is over.
    ///
    /// Keras takes the number from a logarithm, whose last bit decides at the very step of a
    /// restart; adding up the lengths is exact there.
    fn place(&self, step: u64) -> (f64, f64) {
        let passed = step as f64 / self.first_decay_steps as f64;
        if self.t_mul == 1.0 {
            return (passed.floor(), passed.fract());
        }
        let (mut restarts, mut start, mut length) = (0.0, 0.0, 1.0);
        while start + length <= passed {
            restarts += 1.0;
            start += length;
            length *= self.t_mul;
        }
        (restarts, (passed - start) / length)
    }
}

impl Schedule for CosineDecayRestarts {
    fn at(&self, step: u64) -> f64 {
        let (restarts, fraction) = self.place(step);
        let decayed = libm::pow(self.m_mul, restarts) * half_cosine(fraction);
        self.initial * ((1.0 - self.alpha) * decayed + self.alpha)
    }
}
