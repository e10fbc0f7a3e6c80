//! What is trained, and to what end.

use std::sync::Arc;

use crate::diag::At;
use crate::graph::Params;
use crate::model::gan::{DISCRIMINATOR, GENERATOR, Gan};
use crate::model::heads::Head;
use crate::model::layers::Network;
use crate::optim::OptimizerSpec;

/// What is trained, and to what end.
#[derive(Debug)]
pub enum Task {
    Supervised(Supervised),
    Gan(Box<Gan>),
}

/// One network, judged against targets.
#[derive(Debug)]
pub struct Supervised {
    pub network: Network,
    /// The target is the input: an autoencoder.
    pub reconstructs: bool,
    pub optimizer: Arc<OptimizerSpec>,
    pub heads: Vec<Head>,
    pub class_weight: Option<ClassWeight>,
    pub class_weight_at: At,
}

impl Supervised {
    /// Losses besides their sum that stand in the history, by name: none if there is only one.
    pub fn parts_of_loss(&self) -> Vec<String> {
        let terms = self.network.terms();
        if self.heads.len() + terms.len() == 1 {
            return vec![];
        }
        let only = if self.reconstructs { "reconstruction" } else { "prediction" };
        let heads = self.heads.iter().map(|head| head.name.as_deref().unwrap_or(only));
        heads.chain(terms.iter().map(|term| term.name)).map(|name| format!("{name}_loss")).collect()
    }

    /// What is measured over a part, in the history's order, and whether higher is better.
    pub fn measured(&self) -> Vec<(String, bool)> {
        let losses = std::iter::once("loss".to_string()).chain(self.parts_of_loss());
        losses.map(|name| (name, false)).chain(self.heads.iter().flat_map(Head::metric_columns)).collect()
    }
}

impl Task {
    pub fn networks(&self) -> Vec<&Network> {
        match self {
            Task::Supervised(task) => vec![&task.network],
            Task::Gan(gan) => vec![&gan.generator.network, &gan.discriminator.network],
        }
    }

    /// Columns of the history for the optimizers' learning rates.
    pub fn learning_rate_columns(&self) -> Vec<String> {
        let column = |prefix: &str| match prefix.chars().next() {
            Some(first) => format!("{first}_learning_rate"),
            None => "learning_rate".to_string(),
        };
        self.optimizers().iter().map(|(prefix, _)| column(prefix)).collect()
    }

    /// Numbers that the optimizers keep besides the weights.
    pub fn optimizer_numbers(&self, params: &Params) -> usize {
        let trained = |prefix: &str| -> usize {
            let own = params.decls.iter().filter(|d| d.trainable && d.path.starts_with(prefix));
            own.map(|decl| decl.size()).sum()
        };
        self.optimizers().iter().map(|(prefix, o)| o.numbers_per_weight() * trained(prefix)).sum()
    }

    /// Rows and columns of the picture of samples.
    pub fn grid(&self) -> [usize; 2] {
        match self {
            Task::Supervised(_) => [8, 8],
            Task::Gan(gan) => gan.grid,
        }
    }

    /// Whether the dataset's targets are learnt from: an autoencoder's are its inputs, a GAN has none.
    pub fn learns_targets(&self) -> bool {
        matches!(self, Task::Supervised(task) if !task.reconstructs)
    }

    /// The network that reads the dataset.
    pub fn reader(&self) -> &Network {
        match self {
            Task::Supervised(task) => &task.network,
            Task::Gan(gan) => &gan.discriminator.network,
        }
    }

    /// Each optimizer, with what the paths of its parameters begin with.
    pub fn optimizers(&self) -> Vec<(&'static str, &Arc<OptimizerSpec>)> {
        match self {
            Task::Supervised(task) => vec![("", &task.optimizer)],
            Task::Gan(gan) => {
                vec![(GENERATOR, &gan.generator.optimizer), (DISCRIMINATOR, &gan.discriminator.optimizer)]
            }
        }
    }

    /// What is measured in every epoch, in the history's order, and whether higher is better.
    pub fn measured(&self, validation: bool) -> Vec<(String, bool)> {
        let own = match self {
            Task::Supervised(task) => task.measured(),
            Task::Gan(gan) => return gan.measured(),
        };
        let validated =
            own.iter().filter(|_| validation).map(|(name, higher)| (format!("val_{name}"), *higher));
        [own.clone(), validated.collect()].concat()
    }
}

/// The key `class_weight`.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeight {
    /// `samples / (classes * samples of the class)`, over the training part.
    Balanced,
    /// By class name, or by number; classes not named weigh 1.
    Given(Vec<(String, f64)>),
}
