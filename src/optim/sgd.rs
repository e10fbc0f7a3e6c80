//! Stochastic gradient descent, with momentum or Nesterov momentum.
//!
//! ```text
//! w -= lr g                                   momentum = 0
//! m = momentum m - lr g;  w += m              momentum > 0
//! m = momentum m - lr g;  w += momentum m - lr g      nesterov
//! ```
//! Source: `keras.optimizers.SGD`; Sutskever et al., ICML 2013.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "SGD",
    aliases: &["sgd"],
    about: "gradient descent, with momentum if asked",
    parse: |f| OptimizerSpec::read(f, 0.01, None, read),
};

#[derive(Debug)]
struct Sgd {
    momentum: f32,
    nesterov: bool,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    let momentum: f64 = f.key("momentum").within(0.0, 1.0).or(0.0);
    let nesterov = f.key("nesterov").or(false);
    if nesterov && momentum == 0.0 {
        f.error(
            "nesterov",
            "has no effect without momentum",
            Some("set `momentum`, for example to 0.9".into()),
        );
    }
    Box::new(Sgd { momentum: momentum as f32, nesterov })
}

impl Rule for Sgd {
    fn slots(&self) -> Vec<Slot> {
        if self.momentum == 0.0 { vec![] } else { vec![Slot::zeros("momentum")] }
    }

    /// `[lr, -, -]`
    fn factors(&self, _step: u64, learning_rate: f64, _scalars: &mut [f64]) -> Factors {
        [learning_rate as f32, 0.0, 0.0]
    }

    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        update(self, factors, weights, gradients, slots);
    }
}

simd! {
    fn update(
        rule: &Sgd,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let (lr, momentum) = (factors[0], rule.momentum);
        let [m] = slots else {
            for (w, g) in weights.iter_mut().zip(gradients) {
                *w -= lr * g;
            }
            return;
        };
        let arrays = weights.iter_mut().zip(gradients).zip(m.iter_mut());
        if rule.nesterov {
            for ((w, g), m) in arrays {
                *m = momentum * *m - lr * g;
                *w += momentum * *m - lr * g;
            }
        } else {
            for ((w, g), m) in arrays {
                *m = momentum * *m - lr * g;
                *w += *m;
            }
        }
    }
}
