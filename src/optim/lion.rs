//! Lion: steps of one size in the direction of the sign of the momentum.
//!
//! ```text
//! w -= lr sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g
//! ```
//! Source: `keras.optimizers.Lion`; Chen et al., NeurIPS 2023.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Lion",
    aliases: &["lion"],
    about: "sign of the momentum: one slot, wants a small learning rate",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Lion {
    beta_1: f64,
    beta_2: f64,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    let beta_1: f64 = f.key("beta_1").within(0.0, 1.0).or(0.9);
    if beta_1 == 0.0 {
        f.error("beta_1", "must be more than 0", Some("with 0 only the sign of the gradient is left".into()));
    }
    Box::new(Lion { beta_1, beta_2: f.key("beta_2").within(0.0, 1.0).or(0.99) })
}

/// Zero for zero, unlike `signum`; a NaN stays one, so that divergence is not hidden.
#[inline]
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

impl Rule for Lion {
    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zeros("momentum")]
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
        rule: &Lion,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let (lr, b1, b2) = (factors[0], rule.beta_1 as f32, rule.beta_2 as f32);
        let (c1, c2) = ((1.0 - rule.beta_1) as f32, (1.0 - rule.beta_2) as f32);
        let [m] = slots else { unreachable!("Lion has one slot") };
        for ((w, g), m) in weights.iter_mut().zip(gradients).zip(m.iter_mut()) {
            *w -= lr * sign(b1 * *m + c1 * g);
            *m = b2 * *m + c2 * g;
        }
    }
}
