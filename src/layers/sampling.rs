//! Sampling: z drawn from the normal distribution whose mean and log variance are its two inputs, as in
//! Keras's example of a variational autoencoder; in inference z is the mean. Adds the distance of that
//! distribution from the standard one to the loss, `kl_loss` in the history: Kingma and Welling,
//! Auto-encoding variational Bayes, 2014.
//!
//! from = ["z_mean", "z_log_var"], both `[N, ...]`, z of the same shape.

use crate::graph::{Builder, Mismatch, Mode, Var};
use crate::layers::{Arity, Layer, LayerEntry};
use crate::ops::dropout::Draws;
use crate::ops::kl_normal::KlNormal;
use crate::ops::sampling::Sampling as Op;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Sampling",
    aliases: &[],
    about: "draws from the normal distribution of a mean and a log variance",
    parse: |f| {
        let kl_weight = f.key("kl_weight").at_least(0).or(1.0);
        Box::new(Sampling { kl_weight, seed: f.key("seed").optional() })
    },
};

#[derive(Debug)]
struct Sampling {
    /// What the distance counts in the loss.
    kl_weight: f64,
    seed: Option<u64>,
}

impl Layer for Sampling {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let &[mean, log_var] = x else {
            return Err(Mismatch::new(format!("takes a mean and a log variance, got {} inputs", x.len())));
        };
        if g.shape(mean) != g.shape(log_var) {
            let (mean, log_var) = (g.shape(mean), g.shape(log_var));
            return Err(Mismatch::new(format!("the mean is {mean}, the log variance {log_var}")));
        }
        if let Some(latent) = g.latent(mean) {
            return Ok(latent);
        }
        let distance = g.push(KlNormal, &[mean, log_var])?;
        g.add_loss(distance, self.kl_weight);
        match g.mode() {
            Mode::Eval => Ok(mean),
            Mode::Train => g.push(Op::new(Draws::new(g.stream(), self.seed)), &[mean, log_var]),
        }
    }

    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn term(&self) -> Option<(&'static str, f64)> {
        Some(("kl", self.kl_weight))
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Sampling\"" on [5], [5];
    "type = \"Sampling\"\nkl_weight = 0.5\nseed = 3" on [3, 7], [3, 7];
}

#[cfg(test)]
mod distance {
    use super::*;
    use crate::testing::battery::LayerCase;

    /// The distance is a loss of its own, and no layer's output: it is checked as one.
    #[derive(Debug)]
    struct Distance;

    impl Layer for Distance {
        fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
            g.push(KlNormal, x)
        }

        fn arity(&self) -> Arity {
            Arity::Many
        }
    }

    #[test]
    fn the_distance_and_its_gradients() {
        for shape in [&[5][..], &[3, 7]] {
            LayerCase::of(Box::new(Distance), &[shape, shape]).check();
        }
    }
}
