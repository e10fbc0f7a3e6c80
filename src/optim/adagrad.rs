//! Adagrad: steps shrink with the sum of all squared gradients so far.
//!
//! ```text
//! a += g^2;  w -= lr g / sqrt(a + epsilon)
//! ```
//! Source: `keras.optimizers.Adagrad`; Duchi et al., JMLR 2011.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Adagrad",
    aliases: &["adagrad"],
    about: "gradient divided by the root of the sum of its squares",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Adagrad {
    initial: f32,
    epsilon: f32,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(Adagrad {
        initial: f.key("initial_accumulator_value").at_least(0.0).or(0.1) as f32,
        epsilon: f.key("epsilon").above(0.0).or(1e-7) as f32,
    })
}

impl Rule for Adagrad {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot { name: "accumulator", initial: self.initial }]
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
        rule: &Adagrad,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let (lr, epsilon) = (factors[0], rule.epsilon);
        let [a] = slots else { unreachable!("Adagrad has one slot") };
        for ((w, g), a) in weights.iter_mut().zip(gradients).zip(a.iter_mut()) {
            *a += g * g;
            *w -= lr * g / (*a + epsilon).sqrt();
        }
    }
}
