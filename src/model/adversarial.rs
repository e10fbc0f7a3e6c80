//! The graphs of a GAN, three over one parameter block.
//!
//! A discriminator's step sees real samples, and generated ones apart from them (each with its own batch
//! statistics); a generator's step sees the discriminator's scores. In each of them the other network is
//! fixed: it gets no gradients, and its batch normalizations take the batch's statistics but keep none.
//! The third graph makes samples.

use crate::compile::Want;
use crate::data::preprocessing::Preprocessing;
use crate::diag::{Diag, Failure, Result};
use crate::graph::{Builder, Graph, Mismatch, Mode, Params, Var};
use crate::losses::gives::Gives;
use crate::losses::{Loss, LossInputs};
use crate::model::Experiment;
use crate::model::gan::{DISCRIMINATOR, GENERATOR, Gan, Rule};
use crate::model::layers::Network;
use crate::model::listing::{self, LayerRow};
use crate::model::lower::{Graphs, Model, PREDICT, Purpose, Sampler};
use crate::model::place::{Misfit, Placed, place};
use crate::model::walk;
use crate::shape::Shape;

/// Programs of a session, by position; samples are made by `lower::PREDICT`.
pub const DISCRIMINATE: usize = 0;
pub const GENERATE: usize = 1;

/// What a discriminator's step is given, by position, after the real samples, their targets, which are not
/// looked at, and their weights.
pub const NOISE: usize = 3;
pub const REAL_TARGET: usize = 4;
pub const FAKE_TARGET: usize = 5;
pub const ONES: usize = 6;

/// What a generator's step is given, by position.
pub mod generate {
    pub const NOISE: usize = 0;
    pub const TARGET: usize = 1;
    pub const ONES: usize = 2;
}

/// What a discriminator's step gives, by position. A generator's step gives its scores and its loss.
pub const REAL_SCORES: usize = 0;
pub const FAKE_SCORES: usize = 1;
pub const REAL_LOSS: usize = 2;
pub const FAKE_LOSS: usize = 3;

/// The graphs.
#[derive(Debug)]
pub struct Adversarial {
    discriminate: Step,
    generate: Step,
    sample: Step,
    /// Parameters of each network, by position.
    generator: Vec<usize>,
    discriminator: Vec<usize>,
}

#[derive(Debug)]
struct Step {
    graph: Graph,
    inputs: Vec<Var>,
    outputs: Vec<Var>,
    losses: Vec<(Var, f32)>,
}

impl Adversarial {
    /// Each program's graph and what it is to compute, in the order of their positions.
    pub fn wants<'g>(&'g self, purpose: Purpose, frame: &Want) -> Vec<Option<(&'g Graph, Want)>> {
        let want = |step: &'g Step, fixed: &[usize]| {
            let (inputs, outputs, losses) = (step.inputs.clone(), step.outputs.clone(), step.losses.clone());
            (&step.graph, Want { inputs, outputs, losses, fixed: fixed.to_vec(), ..frame.clone() })
        };
        let trains = purpose == Purpose::Train;
        vec![
            trains.then(|| want(&self.discriminate, &self.generator)),
            trains.then(|| want(&self.generate, &self.discriminator)),
            Some(want(&self.sample, &[])),
        ]
    }

    /// The generator's graph, and the samples in it.
    pub fn samples(&self) -> (&Graph, Var) {
        (&self.sample.graph, self.sample.outputs[0])
    }

    /// The graph that holds most.
    pub fn largest(&self) -> &Graph {
        &self.discriminate.graph
    }
}

/// Lowers both networks for data of this shape. All mismatches that can be found are returned.
pub fn lower(
    experiment: &Experiment,
    gan: &Gan,
    input: &Shape,
    preprocessing: &Preprocessing,
) -> Result<Model> {
    let mut params = Params::default();
    let networks = [&gan.generator.network, &gan.discriminator.network];
    let diags = networks.into_iter().flat_map(|network| walk::mistakes(experiment, network, preprocessing));
    let mut lowering = Lowering { experiment, gan, input, diags: diags.collect() };
    let discriminate = lowering.discriminate(&mut params, preprocessing);
    if !lowering.diags.is_empty() {
        return Err(Failure::Input(lowering.diags));
    }
    let generate = lowering.generate(&mut params);
    let sample = lowering.sample(&mut params);
    let judged = lowering.listed(&gan.discriminator.network, input, &mut params);
    let (Some(discriminate), Some(generate), Some((sample, made)), Some(judged)) =
        (discriminate, generate, sample, judged)
    else {
        return Err(Failure::Input(lowering.diags));
    };
    let network = |prefix: &str| -> Vec<usize> {
        let paths = params.decls.iter().enumerate();
        paths.filter(|(_, decl)| decl.path.starts_with(prefix)).map(|(index, _)| index).collect()
    };
    let (generator, discriminator) = (network(GENERATOR), network(DISCRIMINATOR));
    let rows =
        |network: &Network, graph: &Graph, placed: &Placed| listing::rows(network, graph, placed, &params);
    let own: Vec<LayerRow> = rows(&gan.generator.network, &sample.graph, &made);
    let others: Vec<LayerRow> = rows(&gan.discriminator.network, &judged.0, &judged.1);
    let left_out = |network: &Network, placed: &Placed| -> Vec<String> {
        placed.left_out.iter().map(|i| network.conditionals[*i].name.clone()).collect()
    };
    let left_out =
        [left_out(&gan.generator.network, &made), left_out(&gan.discriminator.network, &judged.1)].concat();
    let graphs = Adversarial { discriminate, generate, sample, generator, discriminator };
    let rows = [own, others].concat();
    let sampler = Sampler { program: PREDICT, latents: vec![gan.latent_dim], shape: input.clone() };
    let graphs = Graphs::Adversarial(graphs);
    Ok(Model { params, outputs: vec![], rows, left_out, sampler: Some(sampler), graphs })
}

struct Lowering<'e> {
    experiment: &'e Experiment,
    gan: &'e Gan,
    /// Shape of a sample.
    input: &'e Shape,
    diags: Vec<Diag>,
}

impl<'e> Lowering<'e> {
    fn builder<'p>(&self, params: &'p mut Params, mode: Mode) -> Builder<'p> {
        let precision = match mode {
            Mode::Train => self.experiment.training.precision,
            Mode::Eval => Default::default(),
        };
        Builder::new(params, mode, self.experiment.seed).with_precision(precision)
    }

    /// Real and generated samples, told apart. The generator's parameters are declared first.
    fn discriminate(&mut self, params: &mut Params, preprocessing: &Preprocessing) -> Option<Step> {
        let mut g = self.builder(params, Mode::Train);
        let noise = self.noise(&mut g);
        g.keep_statistics(true);
        let (fake, _) = self.generated(&mut g, noise)?;
        g.keep_statistics(false);
        let real = g.input(self.input.clone());
        let (unused, weight) = (g.input(preprocessing.target_shape()), g.input(Shape::batch([])));
        let [real_scores, fake_scores] = [("real", real), ("fake", fake)].map(|(pass, samples)| {
            g.begin_pass(pass);
            self.scores(&mut g, samples)
        });
        let (real_scores, fake_scores) = (real_scores?, fake_scores?);
        self.check_scores(&g, real_scores)?;
        let shape = g.shape(real_scores).clone();
        let (real_target, fake_target) = (g.input(shape.clone()), g.input(shape));
        let ones = g.input(Shape::batch([]));
        let [loss, _] = self.gan.rule.losses(self.gan.from_logits);
        let mut judge =
            |output, target, weight| self.loss(&mut g, &*loss, LossInputs { output, target, weight });
        let real_loss = judge(real_scores, real_target, weight)?;
        let fake_loss = judge(fake_scores, fake_target, ones)?;
        let counts = self.gan.targets().weight;
        Some(Step {
            inputs: vec![real, unused, weight, noise, real_target, fake_target, ones],
            outputs: vec![real_scores, fake_scores, real_loss, fake_loss],
            losses: vec![(real_loss, counts), (fake_loss, counts)],
            graph: g.graph,
        })
    }

    /// Generated samples, which the discriminator is to take for real.
    fn generate(&mut self, params: &mut Params) -> Option<Step> {
        let mut g = self.builder(params, Mode::Train);
        let noise = self.noise(&mut g);
        let (fake, _) = self.generated(&mut g, noise)?;
        g.keep_statistics(true);
        let scores = self.scores(&mut g, fake)?;
        let (target, ones) = (g.input(g.shape(scores).clone()), g.input(Shape::batch([])));
        let [_, loss] = self.gan.rule.losses(self.gan.from_logits);
        let loss = self.loss(&mut g, &*loss, LossInputs { output: scores, target, weight: ones })?;
        let inputs = vec![noise, target, ones];
        Some(Step { inputs, outputs: vec![scores, loss], losses: vec![(loss, 1.0)], graph: g.graph })
    }

    fn sample(&mut self, params: &mut Params) -> Option<(Step, Placed)> {
        let mut g = self.builder(params, Mode::Eval);
        let noise = self.noise(&mut g);
        let (samples, placed) = self.generated(&mut g, noise)?;
        Some((Step { inputs: vec![noise], outputs: vec![samples], losses: vec![], graph: g.graph }, placed))
    }

    /// A network in a graph of its own.
    fn listed(
        &mut self,
        network: &'e Network,
        input: &Shape,
        params: &mut Params,
    ) -> Option<(Graph, Placed)> {
        let mut g = self.builder(params, Mode::Eval);
        let x = g.input(input.clone());
        let (_, placed) = self.place(&mut g, network, x)?;
        Some((g.graph, placed))
    }

    fn noise(&self, g: &mut Builder<'_>) -> Var {
        g.input(Shape::batch([self.gan.latent_dim]))
    }

    fn generated(&mut self, g: &mut Builder<'_>, noise: Var) -> Option<(Var, Placed)> {
        let network = &self.gan.generator.network;
        let (made, placed) = self.place(g, network, noise)?;
        if g.shape(made) == self.input {
            return Some((made, placed));
        }
        let last = network.layers.last()?;
        let message =
            format!("the generator makes samples of {}, the dataset has {}", g.shape(made), self.input);
        let diag = Diag::new(message).at(&last.at).also(&self.experiment.dataset_at, "the dataset");
        self.diags.push(diag.hint("Dense and Reshape, Conv2DTranspose or UpSampling2D lead to any shape"));
        None
    }

    fn scores(&mut self, g: &mut Builder<'_>, samples: Var) -> Option<Var> {
        Some(self.place(g, &self.gan.discriminator.network, samples)?.0)
    }

    /// Whether the discriminator's last activation goes with the loss. Probabilities are the loss's own business.
    fn check_scores(&mut self, g: &Builder<'_>, scores: Var) -> Option<()> {
        let Some(gives) = Gives::of(&g.graph, scores) else { return Some(()) };
        let (name, units) = (gives.name, g.shape(scores).last());
        let (message, hint) = match self.gan.rule {
            Rule::BinaryCrossentropy | Rule::LeastSquares if name == "softmax" => (
                format!(
                    "the discriminator's `softmax` shares 1 among {units} units, but each score is one of its own"
                ),
                "give the last layer units = 1 and, for binary_crossentropy, activation = \"sigmoid\"",
            ),
            Rule::Hinge | Rule::Wasserstein if gives.narrow() => (
                format!("scores have no bounds, but the discriminator's `{name}` gives {}", gives.words()),
                "leave the `activation` of the last layer out",
            ),
            _ => return Some(()),
        };
        let last = self.gan.discriminator.network.layers.last()?;
        self.diags.push(Diag::new(format!("the loss does not fit: {message}")).at(&last.at).hint(hint));
        None
    }

    fn place(&mut self, g: &mut Builder<'_>, network: &'e Network, x: Var) -> Option<(Var, Placed)> {
        let (experiment, gan, diags) = (self.experiment, self.gan, &mut self.diags);
        let giver = |_: usize| match std::ptr::eq(network, &gan.generator.network) {
            true => (gan.at.clone(), "the noise".to_string()),
            false => (experiment.dataset_at.clone(), "the dataset".to_string()),
        };
        let mut complain =
            |g: &Builder<'_>, misfit: Misfit<'_>| diags.push(misfit.explain(network, g, giver));
        let placed = place(network, experiment.seed, g, &[x], &mut complain);
        if placed.outputs.contains(&None) {
            return None;
        }
        if let Some((at, term)) = network.layers.iter().find_map(|l| Some((&l.at, l.layer.term()?))) {
            let message = format!("a GAN's losses are its own: here is no place for a `{}_loss`", term.0);
            self.diags.push(Diag::new(message).at(at));
            return None;
        }
        Some(((*placed.outputs.last()?)?, placed))
    }

    fn loss(&mut self, g: &mut Builder<'_>, loss: &dyn Loss, of: LossInputs) -> Option<Var> {
        g.enter("loss", false);
        let last = self.gan.discriminator.network.layers.last()?;
        match loss.lower(g, of) {
            Ok(loss) => Some(loss),
            Err(Mismatch { message, hint, .. }) => {
                let hint = match self.gan.rule {
                    Rule::BinaryCrossentropy if !self.gan.from_logits => Some(
                        "give the last layer activation = \"sigmoid\", or [gan] from_logits = true".into(),
                    ),
                    _ => hint,
                };
                let diag = Diag::new(format!("the loss does not fit: {message}")).at(&last.at);
                self.diags.push(diag.maybe_hint(hint));
                None
            }
        }
    }
}
