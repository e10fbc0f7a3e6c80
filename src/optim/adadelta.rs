//! Adadelta: steps in the weights' own units, from running means of squares.
//!
//! ```text
//! a = rho a + (1 - rho) g^2;  d = -sqrt(b + epsilon) g / sqrt(a + epsilon)
//! b = rho b + (1 - rho) d^2;  w += lr d
//! ```
//! Source: `keras.optimizers.Adadelta` (default `learning_rate` 0.001; the paper's is 1); Zeiler, 2012.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Adadelta",
    aliases: &["adadelta"],
    about: "steps scaled by the mean square of earlier steps",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Adadelta {
    rho: f64,
    epsilon: f32,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(Adadelta {
        rho: f.key("rho").within(0.0, 1.0).or(0.95),
        epsilon: f.key("epsilon").above(0.0).or(1e-7) as f32,
    })
}

impl Rule for Adadelta {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zeros("accumulated_grad"), Slot::zeros("accumulated_delta_var")]
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
        rule: &Adadelta,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let ([lr, rho, rest], epsilon) = (*factors, rule.epsilon);
        let [a, b] = slots else { unreachable!("Adadelta has two slots") };
        for (((w, g), a), b) in weights.iter_mut().zip(gradients).zip(a.iter_mut()).zip(b.iter_mut()) {
            *a = rho * *a + rest * (g * g);
            let delta = -((*b + epsilon).sqrt() * g / (*a + epsilon).sqrt());
            *b = rho * *b + rest * (delta * delta);
            *w += lr * delta;
        }
    }
}
