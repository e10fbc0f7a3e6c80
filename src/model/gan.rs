//! `task = "gan"`: a generator makes samples from noise, a discriminator tells them from real ones, and
//! each learns against the other. Goodfellow et al. 2014; `least_squares`: Mao et al. 2017; `hinge`: Lim and
//! Ye 2017; `wasserstein`, with clipped weights: Arjovsky et al. 2017.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::diag::At;
use crate::losses::{LOSSES, Loss, binary_crossentropy, wasserstein};
use crate::model::layers::Network;
use crate::optim::OptimizerSpec;
use crate::words;

/// The networks' names: they begin the paths of their layers.
pub const GENERATOR: &str = "generator/";
pub const DISCRIMINATOR: &str = "discriminator/";

/// The key `loss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    BinaryCrossentropy,
    LeastSquares,
    Hinge,
    Wasserstein,
}
words!(
    Rule,
    BinaryCrossentropy = "binary_crossentropy",
    LeastSquares = "least_squares",
    Hinge = "hinge",
    Wasserstein = "wasserstein"
);

/// What the discriminator's scores are held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    pub real: f32,
    pub fake: f32,
    /// For generated samples in the generator's step.
    pub generator: f32,
    /// Real samples score above it.
    pub border: f32,
    /// What the two losses of the discriminator count: the mean over real and generated samples
    /// together, or the sum of both means.
    pub weight: f32,
}

impl Rule {
    pub fn targets(self, from_logits: bool) -> Targets {
        let [real, fake, generator, border, weight] = match self {
            Rule::BinaryCrossentropy => [1.0, 0.0, 1.0, if from_logits { 0.0 } else { 0.5 }, 0.5],
            Rule::LeastSquares => [1.0, 0.0, 1.0, 0.5, 0.5],
            Rule::Hinge => [1.0, -1.0, -1.0, 0.0, 1.0],
            Rule::Wasserstein => [-1.0, 1.0, -1.0, 0.0, 1.0],
        };
        Targets { real, fake, generator, border, weight }
    }

    /// The discriminator's loss and the generator's.
    pub fn losses(self, from_logits: bool) -> [Box<dyn Loss>; 2] {
        match self {
            Rule::BinaryCrossentropy => [binary_crossentropy(from_logits), binary_crossentropy(from_logits)],
            Rule::LeastSquares => [LOSSES.make("mean_squared_error").0, LOSSES.make("mean_squared_error").0],
            Rule::Hinge => [LOSSES.make("hinge").0, wasserstein()],
            Rule::Wasserstein => [wasserstein(), wasserstein()],
        }
    }
}

/// The section `[gan]`, and the two networks.
#[derive(Debug)]
pub struct Gan {
    pub generator: Player,
    pub discriminator: Player,
    /// Numbers of noise that a sample is made from.
    pub latent_dim: usize,
    pub rule: Rule,
    pub from_logits: bool,
    /// Steps of the discriminator for each of the generator.
    pub d_steps: u64,
    pub d_steps_at: At,
    /// Real samples' target is smaller by this: Salimans et al. 2016.
    pub label_smoothing: f64,
    /// Targets are drawn uniformly within this distance, towards the other one.
    pub label_noise: f64,
    /// The discriminator's weights are kept within this distance of 0.
    pub weight_clip: Option<f64>,
    /// Rows and columns of the picture of samples.
    pub grid: [usize; 2],
    pub at: At,
}

/// A network with its optimizer.
#[derive(Debug)]
pub struct Player {
    pub network: Network,
    pub optimizer: Arc<OptimizerSpec>,
}

impl Gan {
    /// Reads `[gan]`.
    pub fn read(f: &mut Fields<'_>, generator: Player, discriminator: Player, at: At) -> Gan {
        let latent_dim = f.key("latent_dim").at_least(1).or(100usize);
        let rule = f.key("loss").or(Rule::BinaryCrossentropy);
        let from_logits = match (rule, f.has("from_logits")) {
            (Rule::BinaryCrossentropy, _) => f.key("from_logits").or(false),
            (_, true) => {
                f.allow("from_logits");
                f.error("from_logits", "is for loss = \"binary_crossentropy\"", None);
                false
            }
            (_, false) => false,
        };
        let d_steps = f.key("d_steps").at_least(1).or(1u64);
        let d_steps_at = f.place("d_steps");
        let label_smoothing = f.key("label_smoothing").within(0.0, 0.5).or(0.0);
        let label_noise = f.key("label_noise").within(0.0, 0.5).or(0.0);
        let labelled = matches!(rule, Rule::BinaryCrossentropy | Rule::LeastSquares);
        for (key, value) in [("label_smoothing", label_smoothing), ("label_noise", label_noise)] {
            if value > 0.0 && !labelled {
                let hint = "it is for binary_crossentropy and least_squares".to_string();
                f.error(key, "the loss has no labels", Some(hint));
            }
        }
        let weight_clip: Option<f64> = match rule {
            Rule::Wasserstein => Some(f.key("weight_clip").above(0).or(0.01)),
            _ => {
                let given: Option<f64> = f.key("weight_clip").above(0).optional();
                if given.is_some() {
                    f.error("weight_clip", "is for loss = \"wasserstein\"", None);
                }
                None
            }
        };
        let grid = f.key("grid").at_least(1).or([8usize, 8]);
        Gan {
            generator,
            discriminator,
            latent_dim,
            rule,
            from_logits,
            d_steps,
            d_steps_at,
            label_smoothing,
            label_noise,
            weight_clip,
            grid,
            at,
        }
    }

    /// What is measured in every epoch; none of it says which epoch is best.
    pub fn measured(&self) -> Vec<(String, bool)> {
        let losses = ["d_loss", "g_loss"].map(|name| (name.to_string(), false));
        let accuracies = ["d_accuracy_real", "d_accuracy_fake"].map(|name| (name.to_string(), true));
        losses.into_iter().chain(accuracies).collect()
    }

    pub fn targets(&self) -> Targets {
        self.rule.targets(self.from_logits)
    }
}
