//! Nadam: Adam with Nesterov momentum.
//!
//! ```text
//! u_t = beta_1 (1 - 0.96^t / 2);  P_t = u_1 u_2 ... u_t
//! m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v)
//! w -= lr (u_{t+1} m / (1 - P_{t+1}) + (1 - u_t) g / (1 - P_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
//! ```
//! The product `P_t` is state. Source: `keras.optimizers.Nadam`; Dozat, ICLR workshop 2016.

use super::adam::power;
use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Nadam",
    aliases: &["nadam"],
    about: "Adam with Nesterov momentum",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Nadam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(Nadam {
        beta_1: f.key("beta_1").within(0.0, 1.0).or(0.9),
        beta_2: f.key("beta_2").within(0.0, 1.0).or(0.999),
        epsilon: f.key("epsilon").above(0.0).or(1e-7),
    })
}

impl Nadam {
    fn momentum_at(&self, step: u64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * power(0.96, step))
    }
}

impl Rule for Nadam {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zeros("momentum"), Slot::zeros("velocity")]
    }

    /// The product of the momenta so far.
    fn scalars(&self) -> Vec<f64> {
        vec![1.0]
    }

    /// Factors of `m` and of `g`, and the `epsilon` that stands beside `sqrt(v)`: numerator and
    /// denominator are multiplied by the root of `1 - beta_2^t`.
    fn factors(&self, step: u64, learning_rate: f64, scalars: &mut [f64]) -> Factors {
        let (now, next) = (self.momentum_at(step), self.momentum_at(step + 1));
        scalars[0] *= now;
        let product = scalars[0];
        let root = (1.0 - power(self.beta_2, step)).sqrt();
        let of_momentum = learning_rate * root * next / (1.0 - product * next);
        let of_gradient = learning_rate * root * (1.0 - now) / (1.0 - product);
        [of_momentum as f32, of_gradient as f32, (self.epsilon * root) as f32]
    }

    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        update(self, factors, weights, gradients, slots);
    }
}

simd! {
    fn update(
        rule: &Nadam,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let [of_momentum, of_gradient, epsilon] = *factors;
        let (c1, c2) = ((1.0 - rule.beta_1) as f32, (1.0 - rule.beta_2) as f32);
        let [m, v] = slots else { unreachable!("Nadam has two slots") };
        for (((w, g), m), v) in weights.iter_mut().zip(gradients).zip(m.iter_mut()).zip(v.iter_mut()) {
            *m += (g - *m) * c1;
            *v += (g * g - *v) * c2;
            *w -= (of_momentum * *m + of_gradient * g) / (v.sqrt() + epsilon);
        }
    }
}
