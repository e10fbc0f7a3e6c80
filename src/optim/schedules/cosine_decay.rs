//! Half a cosine from the initial rate down to `alpha` times it, after a linear warm-up if asked.
//!
//! Without `warmup_target`: `rate(t) = initial ((1 - alpha) c(t / decay_steps) + alpha)` with
//! `c(x) = (1 + cos(pi x)) / 2`. With it, the rate first rises from `initial_learning_rate` to
//! `warmup_target` in `warmup_steps`, and then decays from there in `decay_steps`.
//! Source: `keras.optimizers.schedules.CosineDecay`; Loshchilov and Hutter, ICLR 2017.

use super::{Schedule, half_cosine};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "CosineDecay",
    aliases: &[],
    about: "half a cosine down to alpha, after an optional warm-up",
    parse,
};

#[derive(Debug)]
struct CosineDecay {
    initial: f64,
    decay_steps: u64,
    alpha: f64,
    warmup_target: Option<f64>,
    warmup_steps: u64,
}

fn parse(f: &mut Fields<'_>) -> Box<dyn Schedule> {
    let read = CosineDecay {
        initial: f.key("initial_learning_rate").at_least(0.0).required(),
        decay_steps: f.key("decay_steps").at_least(1).required(),
        alpha: f.key("alpha").at_least(0.0).or(0.0),
        warmup_target: f.key("warmup_target").at_least(0.0).optional(),
        warmup_steps: f.key("warmup_steps").or(0),
    };
    if read.warmup_steps > 0 && !f.has("warmup_target") {
        let hint = "`warmup_target` is the rate that the warm-up ends at".to_string();
        f.error("warmup_steps", "has no effect without `warmup_target`", Some(hint));
    }
    Box::new(read)
}

impl Schedule for CosineDecay {
    fn at(&self, step: u64) -> f64 {
        let (start, step) = match self.warmup_target {
            None => (self.initial, step),
            Some(target) if step < self.warmup_steps => {
                let fraction = step as f64 / self.warmup_steps as f64;
                return self.initial + (target - self.initial) * fraction;
            }
            Some(target) => (target, step - self.warmup_steps),
        };
        let fraction = step.min(self.decay_steps) as f64 / self.decay_steps as f64;
        start * ((1.0 - self.alpha) * half_cosine(fraction) + self.alpha)
    }
}
