//! Adam, and AMSGrad.
//!
//! ```text
//! m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);  amsgrad: u = max(u, v), else u = v
//! w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t)  m / (sqrt(u) + epsilon)
//! ```
//! `epsilon` is not corrected for the start, as in Keras and unlike PyTorch.
//! Source: `keras.optimizers.Adam`; Kingma and Ba, ICLR 2015; Reddi et al., ICLR 2018.

use super::{Factors, OptimizerSpec, Rule, Slot};
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "Adam",
    aliases: &["adam"],
    about: "adaptive moments: the usual first choice",
    parse: |f| OptimizerSpec::read(f, 0.001, None, read),
};

#[derive(Debug)]
struct Adam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f32,
    amsgrad: bool,
}

/// Also the rule of AdamW, which only decays by default.
pub fn read(f: &mut Fields<'_>) -> Box<dyn Rule> {
    Box::new(Adam {
        beta_1: f.key("beta_1").within(0.0, 1.0).or(0.9),
        beta_2: f.key("beta_2").within(0.0, 1.0).or(0.999),
        epsilon: f.key("epsilon").above(0.0).or(1e-7) as f32,
        amsgrad: f.key("amsgrad").or(false),
    })
}

impl Rule for Adam {
    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zeros("momentum"), Slot::zeros("velocity")];
        if self.amsgrad {
            slots.push(Slot::zeros("velocity_hat"));
        }
        slots
    }

    /// `[alpha, 1 - beta_1, 1 - beta_2]`
    fn factors(&self, step: u64, learning_rate: f64, _scalars: &mut [f64]) -> Factors {
        let (start_1, start_2) = (1.0 - power(self.beta_1, step), 1.0 - power(self.beta_2, step));
        let alpha = learning_rate * start_2.sqrt() / start_1;
        [alpha as f32, (1.0 - self.beta_1) as f32, (1.0 - self.beta_2) as f32]
    }

    fn update(&self, factors: &Factors, weights: &mut [f32], gradients: &[f32], slots: &mut [&mut [f32]]) {
        update(self, factors, weights, gradients, slots);
    }
}

simd! {
    fn update(
        rule: &Adam,
        factors: &Factors,
        weights: &mut [f32],
        gradients: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let ([alpha, c1, c2], epsilon) = (*factors, rule.epsilon);
        match slots {
            [m, v] => {
                for (((w, g), m), v) in weights.iter_mut().zip(gradients).zip(m.iter_mut()).zip(v.iter_mut())
                {
                    *m += (g - *m) * c1;
                    *v += (g * g - *v) * c2;
                    *w -= alpha * *m / (v.sqrt() + epsilon);
                }
            }
            [m, v, u] => {
                let moments = m.iter_mut().zip(v.iter_mut()).zip(u.iter_mut());
                for ((w, g), ((m, v), u)) in weights.iter_mut().zip(gradients).zip(moments) {
                    *m += (g - *m) * c1;
                    *v += (g * g - *v) * c2;
                    *u = u.max(*v);
                    *w -= alpha * *m / (u.sqrt() + epsilon);
                }
            }
            _ => unreachable!("Adam has two slots, or three with amsgrad"),
        }
    }
}

/// `base^step`, the same bits on every platform.
pub fn power(base: f64, step: u64) -> f64 {
    libm::pow(base, step as f64)
}
