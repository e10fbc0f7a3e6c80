//! Adamax: Adam with the largest recent gradient in place of the mean square.
//!
//! ```text
//! m += (1 - beta_1) (g - m);  u = max(beta_2 u, |g|);  w -= lr / (1 - beta_1^t)  m / (u + epsilon)
//! ```
//! Source: `keras.optimizers.Adamax`; Kingma and Ba, ICLR 2015, section 7.

use super::adam::power;
use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Adamax",
    aliases: &["adamax"],
    about: "Adam by the maximum norm",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Adamax {
    beta_1: f64,
    beta_2: f64,
    epsilon: f32,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(Adamax {
        beta_1: f.key("beta_1").within(0.0, 1.0).or(0.9),
        beta_2: f.key("beta_2").within(0.0, 1.0).or(0.999),
        epsilon: f.key("epsilon").above(0.0).or(1e-7) as f32,
    })
}

impl Rule for Adamax {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zeros("momentum"), Slot::zeros("norm")]
    }

    /// `[lr / (1 - beta_1^t), 1 - beta_1, beta_2]`
    fn factors(&self, step: u64, learning_rate: f64, _scalars: &mut [f64]) -> Factors {
        let alpha = learning_rate / (1.0 - power(self.beta_1, step));
        [alpha as f32, (1.0 - self.beta_1) as f32, self.beta_2 as f32]
    }

    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        update(self, factors, weights, gradients, slots);
    }
}

simd! {
    fn update(
        rule: &Adamax,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let ([alpha, c1, beta_2], epsilon) = (*factors, rule.epsilon);
        let [m, u] = slots else { unreachable!("Adamax has two slots") };
        for (((w, g), m), u) in weights.iter_mut().zip(gradients).zip(m.iter_mut()).zip(u.iter_mut()) {
            *m += (g - *m) * c1;
            *u = (beta_2 * *u).max(g.abs());
            *w -= alpha * *m / (*u + epsilon);
        }
    }
}
