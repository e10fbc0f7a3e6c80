//! RMSprop, plain, centered, with or without momentum.
//!
//! ```text
//! v = rho v + (1 - rho) g^2;  centered: a = rho a + (1 - rho) g, d = v - a^2, else d = v
//! step = lr g / sqrt(d + epsilon);  with momentum: m = momentum m + step, step = m;  w -= step
//! ```
//! `epsilon` is inside the root. `v - a^2` is a variance, and is kept from falling below zero by
//! rounding, where its root would be no number.
//! Source: `keras.optimizers.RMSprop`; Hinton, lecture 6e, 2012.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "RMSprop",
    aliases: &["rmsprop"],
    about: "gradient divided by the root of its recent mean square",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct RmsProp {
    rho: f64,
    momentum: f32,
    epsilon: f32,
    centered: bool,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(RmsProp {
        rho: f.key("rho").within(0.0, 1.0).or(0.9),
        momentum: f.key("momentum").within(0.0, 1.0).or(0.0) as f32,
        epsilon: f.key("epsilon").above(0.0).or(1e-7) as f32,
        centered: f.key("centered").or(false),
    })
}

impl Rule for RmsProp {
    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zeros("velocity")];
        if self.momentum > 0.0 {
            slots.push(Slot::zeros("momentum"));
        }
        if self.centered {
            slots.push(Slot::zeros("average_gradient"));
        }
        slots
    }

    /// `[lr, rho, 1 - rho]`
    fn factors(&self, _step: u64, learning_rate: f64, _scalars: &mut [f64]) -> Factors {
        [learning_rate as f32, self.rho as f32, (1.0 - self.rho) as f32]
    }

    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        update(self, factors, weights, gradients, slots);
    }
}

simd! {
    fn update(
        rule: &RmsProp,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let ([lr, rho, rest], momentum, epsilon) = (*factors, rule.momentum, rule.epsilon);
        let arrays = weights.iter_mut().zip(gradients);
        let mean_square = |v: f32, g: f32| rho * v + rest * (g * g);
        let variance = |v: f32, a: f32| (v - a * a).max(0.0);
        match slots {
            [v] => {
                for ((w, g), v) in arrays.zip(v.iter_mut()) {
                    *v = mean_square(*v, *g);
                    *w -= lr * g / (*v + epsilon).sqrt();
                }
            }
            [v, a] if rule.centered => {
                for (((w, g), v), a) in arrays.zip(v.iter_mut()).zip(a.iter_mut()) {
                    *v = mean_square(*v, *g);
                    *a = rho * *a + rest * g;
                    *w -= lr * g / (variance(*v, *a) + epsilon).sqrt();
                }
            }
            [v, m] => {
                for (((w, g), v), m) in arrays.zip(v.iter_mut()).zip(m.iter_mut()) {
                    *v = mean_square(*v, *g);
                    *m = momentum * *m + lr * g / (*v + epsilon).sqrt();
                    *w -= *m;
                }
            }
            [v, m, a] => {
                for ((((w, g), v), m), a) in arrays.zip(v.iter_mut()).zip(m.iter_mut()).zip(a.iter_mut()) {
                    *v = mean_square(*v, *g);
                    *a = rho * *a + rest * g;
                    *m = momentum * *m + lr * g / (variance(*v, *a) + epsilon).sqrt();
                    *w -= *m;
                }
            }
            _ => unreachable!("RMSprop has one to three slots"),
        }
    }
}
