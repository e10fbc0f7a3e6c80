//! `learning_rate_warmup`: raises the learning rate in even steps from `initial_factor` times its
//! value to all of it, over the first `steps` or `epochs` of training (Goyal et al., Accurate, Large
//! Minibatch SGD, 2017). Works with `reduce_lr_on_plateau`; a schedule has its own warm-up.

use crate::config::fields::Fields;

#[derive(Clone, Debug)]
pub struct LearningRateWarmup {
    length: Length,
    initial_factor: f64,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Steps(u64),
    Epochs(u64),
}

impl LearningRateWarmup {
    pub fn read(f: &mut Fields<'_>) -> LearningRateWarmup {
        let steps: Option<u64> = f.key("steps").at_least(1).optional();
        let epochs: Option<u64> = f.key("epochs").at_least(1).optional();
        let length = match (steps, epochs) {
            (Some(n), None) => Length::Steps(n),
            (None, Some(n)) => Length::Epochs(n),
            _ => {
                f.error("steps", "a warm-up lasts `steps` or `epochs`: give one of them", None);
                Length::Steps(1)
            }
        };
        LearningRateWarmup { length, initial_factor: f.key("initial_factor").within(0, 1).or(0.1) }
    }

    /// What the learning rate is multiplied by in step `step` (from 0).
    pub fn factor(&self, step: u64, steps_per_epoch: usize) -> f64 {
        let length = match self.length {
            Length::Steps(n) => n,
            Length::Epochs(n) => n.saturating_mul(steps_per_epoch as u64),
        };
        let done = (step as f64 / length as f64).min(1.0);
        self.initial_factor + (1.0 - self.initial_factor) * done
    }
}
