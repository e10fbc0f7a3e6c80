//! What a config says of an optimizer: its rule, and the keys that all optimizers share.

use super::{Rule, SCHEDULES, Schedule};
use crate::config::fields::Fields;
use crate::config::read::Read;
use crate::config::tree::Data;
use crate::config::write::Plain;
use crate::diag::Diag;

/// An optimizer as configured; [`super::Optimizer`] is one at work.
#[derive(Debug)]
pub struct OptimizerSpec {
    pub rule: Box<dyn Rule>,
    pub learning_rate: LearningRate,
    /// Decoupled: `w -= w * weight_decay * learning_rate` before the update, on every weight.
    pub weight_decay: Option<f64>,
    pub clip: Option<Clip>,
    pub ema: Option<Ema>,
    /// Gradients are averaged over this many steps (2 or more), and the weights updated on the last.
    pub gradient_accumulation_steps: Option<u64>,
}

/// A number, or a schedule.
#[derive(Debug)]
pub enum LearningRate {
    Constant(f64),
    Scheduled(Box<dyn Schedule>),
}

/// How gradients are cut short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// `clipnorm`: each tensor to this L2 norm.
    Norm(f64),
    /// `clipvalue`: each entry to [-v, v].
    Value(f64),
    /// `global_clipnorm`: all tensors together to this L2 norm.
    GlobalNorm(f64),
}

/// `use_ema`: a moving average of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema {
    pub momentum: f64,
    /// After every so many steps the weights become their average; `None`: only at the end.
    pub overwrite_frequency: Option<u64>,
}

impl LearningRate {
    fn read(f: &mut Fields<'_>, default: f64) -> LearningRate {
        const KEY: &str = "learning_rate";
        let Some(value) = f.raw(KEY) else {
            f.resolve(KEY, Plain::Float(default));
            return LearningRate::Constant(default);
        };
        if matches!(value.data, Data::Str(_) | Data::Table(_)) {
            let mut diags = vec![];
            let read = SCHEDULES.read(value, &mut diags);
            diags.into_iter().for_each(|diag| f.push(diag));
            let Some((schedule, plain)) = read else { return LearningRate::Constant(default) };
            f.resolve(KEY, plain);
            return LearningRate::Scheduled(schedule);
        }
        match f64::read(value) {
            Ok(rate) if rate >= 0.0 => {
                f.resolve(KEY, Plain::Float(rate));
                return LearningRate::Constant(rate);
            }
            Ok(rate) => f.error(KEY, format!("must be at least 0, got {rate}"), None),
            Err(wrong) if matches!(value.data, Data::Float(_)) => f.error(KEY, wrong.message, wrong.hint),
            Err(_) => {
                let message = format!("expected a number or a schedule, found {}", value.kind());
                f.error(KEY, message, None);
            }
        }
        LearningRate::Constant(default)
    }
}

impl Clip {
    fn read(f: &mut Fields<'_>) -> Option<Clip> {
        let norm = f.key("clipnorm").above(0.0).optional().map(Clip::Norm);
        let value = f.key("clipvalue").above(0.0).optional().map(Clip::Value);
        let global = f.key("global_clipnorm").above(0.0).optional().map(Clip::GlobalNorm);
        let keys = ["clipnorm", "clipvalue", "global_clipnorm"];
        let set: Vec<&str> = keys.into_iter().filter(|key| f.has(key)).collect();
        if let [first, second, ..] = set[..] {
            f.push(
                Diag::new(format!("`{first}` and `{second}` are both set"))
                    .at(&f.place(second))
                    .also(&f.place(first), "first set here")
                    .hint("gradients are clipped in one way only: keep one of them"),
            );
        }
        norm.or(value).or(global)
    }
}

impl Ema {
    fn read(f: &mut Fields<'_>) -> Option<Ema> {
        if f.key("use_ema").or(false) {
            return Some(Ema {
                momentum: f.key("ema_momentum").within(0.0, 1.0).or(0.99),
                overwrite_frequency: f.key("ema_overwrite_frequency").at_least(1).optional(),
            });
        }
        for key in ["ema_momentum", "ema_overwrite_frequency"] {
            f.allow(key);
            if f.has(key) {
                f.error(key, "has no effect without `use_ema = true`", None);
            }
        }
        None
    }
}

impl OptimizerSpec {
    /// Reads the keys in Keras's order: rate, the rule's own, and those that all rules share.
    pub(super) fn read(
        f: &mut Fields<'_>,
        learning_rate: f64,
        weight_decay: Option<f64>,
        rule: fn(&mut Fields<'_>) -> Box<dyn Rule>,
    ) -> Box<OptimizerSpec> {
        let learning_rate = LearningRate::read(f, learning_rate);
        let rule = rule(f);
        let decay = f.key("weight_decay").at_least(0.0);
        Box::new(OptimizerSpec {
            rule,
            learning_rate,
            weight_decay: match weight_decay {
                Some(default) => Some(decay.or(default)),
                None => decay.optional(),
            },
            clip: Clip::read(f),
            ema: Ema::read(f),
            gradient_accumulation_steps: f.key("gradient_accumulation_steps").at_least(2).optional(),
        })
    }

    /// Numbers of state per weight: rule's slots, moving average, accumulated gradients.
    pub fn numbers_per_weight(&self) -> usize {
        let accumulator = self.gradient_accumulation_steps.is_some();
        self.rule.slots().len() + usize::from(self.ema.is_some()) + usize::from(accumulator)
    }
}
