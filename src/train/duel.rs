//! A GAN's steps: the discriminator learns from every batch, the generator after every `d_steps` of them.
//! Noise and labels are functions of the seed and the step.

use crate::bits::{from_bits, to_bits};
use crate::checkpoint::Sums;
use crate::data::Part;
use crate::exec::Session;
use crate::model::adversarial::{
    DISCRIMINATE, FAKE_LOSS, FAKE_SCORES, FAKE_TARGET, GENERATE, NOISE, ONES, REAL_LOSS, REAL_SCORES,
    REAL_TARGET, generate,
};
use crate::model::gan::{Gan, Targets};
use crate::rng::Stream;
use crate::train::course::{Learner, Stage, Stuck};
use crate::train::setup::fill;

/// Two networks learning against each other.
pub struct Duel {
    targets: Targets,
    /// How far labels of real and generated samples are from their targets: at least, and at most.
    label_distance: [f64; 2],
    d_steps: u64,
    weight_clip: Option<f32>,
    noise: Stream,
    labels: Stream,
    sums: [f64; SUMS],
}

/// What an epoch adds up, by position.
const SUMS: usize = 6;
const D_LOSS: usize = 0;
const G_LOSS: usize = 1;
const REAL_RIGHT: usize = 2;
const FAKE_RIGHT: usize = 3;
const D_SAMPLES: usize = 4;
const G_SAMPLES: usize = 5;

/// Draws of noise in one step.
const FOR_DISCRIMINATOR: u64 = 0;
const FOR_GENERATOR: u64 = 1 << 40;

impl Duel {
    pub fn new(gan: &Gan, seed: u64) -> Duel {
        Duel {
            targets: gan.targets(),
            label_distance: [gan.label_smoothing, gan.label_noise],
            d_steps: gan.d_steps,
            weight_clip: gan.weight_clip.map(|clip| clip as f32),
            noise: Stream::new(seed, "gan/noise"),
            labels: Stream::new(seed, "gan/labels"),
            sums: [0.0; SUMS],
        }
    }

    pub fn step(
        &mut self,
        session: &mut Session,
        learners: &mut [Learner],
        (part, rows): (&Part, &[u32]),
        step: u64,
        done: &mut impl FnMut(Stage),
    ) -> Result<f64, Stuck> {
        let [generator, discriminator] = learners else { unreachable!("two networks learn") };
        let n = rows.len();
        self.fill(session, DISCRIMINATE, (part, rows), step);
        done(Stage::Data);
        session.run_watched(DISCRIMINATE, n, step as u32, |index| done(Stage::Program(index)));
        let d_loss = self.take_discrimination(session, n, discriminator);
        if !d_loss.is_finite() {
            return Err(Stuck { program: DISCRIMINATE, loss: d_loss });
        }
        discriminator.learn(session);
        self.clip(session, discriminator);
        done(Stage::Optimizer);
        if (step + 1).is_multiple_of(self.d_steps) {
            self.fill(session, GENERATE, (part, rows), step);
            session.run(GENERATE, n, step as u32);
            let g_loss = mean(session.output(GENERATE, 1, n)) + session.penalty_of(&generator.range);
            self.sums[G_LOSS] += g_loss * n as f64;
            self.sums[G_SAMPLES] += n as f64;
            if !g_loss.is_finite() {
                return Err(Stuck { program: GENERATE, loss: g_loss });
            }
            generator.learn(session);
        }
        Ok(d_loss)
    }

    /// Fills a program's inputs for a step.
    pub fn fill(&self, session: &mut Session, program: usize, (part, rows): (&Part, &[u32]), step: u64) {
        let n = rows.len();
        if program == GENERATE {
            self.draw(session.input(GENERATE, generate::NOISE, n), step, FOR_GENERATOR);
            session.input(GENERATE, generate::TARGET, n).fill(self.targets.generator);
            session.input(GENERATE, generate::ONES, n).fill(1.0);
            return;
        }
        fill(session, DISCRIMINATE, part, rows, None);
        self.draw(session.input(DISCRIMINATE, NOISE, n), step, FOR_DISCRIMINATOR);
        let Targets { real, fake, .. } = self.targets;
        let [smoothing, _] = self.label_distance;
        let (real_labels, fake_labels) = (real + smoothing as f32 * (fake - real), fake);
        for (input, label, other, first) in
            [(REAL_TARGET, real_labels, fake, 0), (FAKE_TARGET, fake_labels, real, 1 << 40)]
        {
            self.label(session.input(DISCRIMINATE, input, n), label, other, step, first);
        }
        session.input(DISCRIMINATE, ONES, n).fill(1.0);
    }

    fn draw(&self, noise: &mut [f32], step: u64, first: u64) {
        for (i, z) in noise.iter_mut().enumerate() {
            *z = self.noise.normal(step as u32, first + i as u64) as f32;
        }
    }

    /// Labels, moved towards the other one by a random part of `label_noise`.
    fn label(&self, labels: &mut [f32], label: f32, other: f32, step: u64, first: u64) {
        let [_, noise] = self.label_distance;
        labels.fill(label);
        if noise > 0.0 {
            for (i, label) in labels.iter_mut().enumerate() {
                let part = noise as f32 * self.labels.uniform(step as u32, first + i as u64);
                *label += part * (other - *label);
            }
        }
    }

    /// Takes in what the discriminator's program has just given; its loss.
    fn take_discrimination(&mut self, session: &Session, n: usize, discriminator: &Learner) -> f64 {
        let scores = |output| session.output(DISCRIMINATE, output, n);
        let weight = f64::from(self.targets.weight);
        let losses = mean(scores(REAL_LOSS)) + mean(scores(FAKE_LOSS));
        let loss = weight * losses + session.penalty_of(&discriminator.range);
        let border = self.targets.border;
        // Of scores for patches of a picture each counts.
        let share = |scores: &[f32], right: fn(f32, f32) -> bool| {
            let count = scores.iter().filter(|score| right(**score, border)).count();
            count as f64 / scores.len() as f64 * n as f64
        };
        self.sums[REAL_RIGHT] += share(scores(REAL_SCORES), |score, border| score > border);
        self.sums[FAKE_RIGHT] += share(scores(FAKE_SCORES), |score, border| score < border);
        self.sums[D_LOSS] += loss * n as f64;
        self.sums[D_SAMPLES] += n as f64;
        loss
    }

    fn clip(&self, session: &mut Session, discriminator: &Learner) {
        let Some(clip) = self.weight_clip else { return };
        let (weights, _) = session.weights_and_grads();
        weights[discriminator.range.clone()].iter_mut().for_each(|w| *w = w.clamp(-clip, clip));
    }

    pub fn reset(&mut self) {
        self.sums = [0.0; SUMS];
    }

    /// The columns of `Gan::measured`.
    pub fn values(&self) -> Vec<f64> {
        let mean = |sum: usize, samples: usize| self.sums[sum] / self.sums[samples].max(1.0);
        let places =
            [(D_LOSS, D_SAMPLES), (G_LOSS, G_SAMPLES), (REAL_RIGHT, D_SAMPLES), (FAKE_RIGHT, D_SAMPLES)];
        places.map(|(sum, samples)| mean(sum, samples)).to_vec()
    }

    pub fn state(&self) -> Sums {
        let (loss_parts, samples) = (to_bits(&self.sums), self.sums[D_SAMPLES] as usize);
        Sums { loss_sum: self.sums[D_LOSS].into(), loss_parts, samples, metrics: vec![], states: vec![] }
    }

    pub fn restore(&mut self, sums: &Sums) -> Result<(), String> {
        let stored: Option<[f64; SUMS]> = from_bits(&sums.loss_parts).try_into().ok();
        self.sums = stored.ok_or("the checkpoint's sums are not a GAN's")?;
        Ok(())
    }
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::kernels::par::Pool;
    use crate::model::Experiment;
    use crate::model::gan::{DISCRIMINATOR, GENERATOR};
    use crate::model::lower::Model;
    use crate::train::course::Course;
    use crate::train::trainer::Trainer;
    use crate::train::{Options, Prepared};

    /// Both networks with everything that could leak: moving statistics, dropout, penalties, momentum.
    const CONFIG: &str = r#"
        task = "gan"
        [dataset]
        type = "digits"
        limit = 200
        [networks.generator]
        optimizer = { type = "SGD", learning_rate = 0.05, momentum = 0.9, weight_decay = 0.01 }
        layers = [
          { type = "Dense", units = 24, kernel_regularizer = "l2" },
          { type = "BatchNormalization" },
          { type = "ReLU" },
          { type = "Dense", units = 64, activation = "sigmoid" },
          { type = "Reshape", target_shape = [8, 8, 1] },
        ]
        [networks.discriminator]
        optimizer = { type = "Adam", learning_rate = 0.01 }
        layers = [
          { type = "Flatten" },
          { type = "Dense", units = 16, kernel_regularizer = "l2" },
          { type = "BatchNormalization" },
          { type = "LeakyReLU" },
          { type = "Dropout", rate = 0.2 },
          { type = "Dense", units = 1 },
        ]
        [training]
        batch_size = 16
        [gan]
        latent_dim = 6
        from_logits = true
        d_steps = 2
        label_smoothing = 0.1
        label_noise = 0.05
    "#;

    fn trainer(text: &str, threads: usize) -> (Prepared, Trainer) {
        let experiment = Experiment::parse("gan.toml", text, &[], Path::new("."), "gan")
            .unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let (prepared, model): (Prepared, Model) =
            Prepared::new(experiment, &Options::default()).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(threads))).unwrap();
        trainer.begin_epoch(0);
        (prepared, trainer)
    }

    /// All of a network's numbers, moving statistics included.
    fn bits(trainer: &Trainer, network: &str) -> Vec<u32> {
        let decls = trainer.session.params().decls.iter().enumerate();
        let own = decls.filter(|(_, decl)| decl.path.starts_with(network));
        own.flat_map(|(index, _)| trainer.session.param(index)).map(|v| v.to_bits()).collect()
    }

    #[test]
    fn no_step_touches_the_other_network() {
        let (prepared, mut trainer) = trainer(CONFIG, 2);
        let part = &prepared.dataset.train;
        let before = [GENERATOR, DISCRIMINATOR].map(|network| bits(&trainer, network));
        trainer.train_step(part).unwrap();
        assert_eq!(bits(&trainer, GENERATOR), before[0], "a step of the discriminator");
        assert_ne!(bits(&trainer, DISCRIMINATOR), before[1]);

        let before = bits(&trainer, DISCRIMINATOR);
        let rows: Vec<u32> = (0..16).collect();
        let Course::Adversarial(duel) = &trainer.course else { panic!("a GAN") };
        duel.fill(&mut trainer.session, GENERATE, (part, &rows), 1);
        trainer.session.run(GENERATE, 16, 1);
        let generator = bits(&trainer, GENERATOR);
        trainer.learners[0].learn(&mut trainer.session);
        assert_eq!(bits(&trainer, DISCRIMINATOR), before, "a step of the generator");
        assert_ne!(bits(&trainer, GENERATOR), generator);
    }

    #[test]
    fn moving_statistics_move_in_their_own_networks_steps() {
        let (prepared, mut trainer) = trainer(CONFIG, 1);
        let mean = |trainer: &Trainer, network: &str| {
            bits(trainer, &format!("{network}batch_normalization/moving_mean"))
        };
        let before = [GENERATOR, DISCRIMINATOR].map(|network| mean(&trainer, network));
        trainer.train_step(&prepared.dataset.train).unwrap();
        assert_eq!(mean(&trainer, GENERATOR), before[0]);
        assert_ne!(mean(&trainer, DISCRIMINATOR), before[1]);
        trainer.train_step(&prepared.dataset.train).unwrap();
        assert_ne!(mean(&trainer, GENERATOR), before[0]);
    }

    #[test]
    fn threads_change_no_bit() {
        let trained = |threads: usize| {
            let (prepared, mut trainer) = trainer(CONFIG, threads);
            for _ in 0..6 {
                trainer.train_step(&prepared.dataset.train).unwrap();
            }
            let samples = trainer.samples([2, 3]).unwrap();
            (
                bits(&trainer, ""),
                trainer.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                samples.pixels,
            )
        };
        let one = trained(1);
        assert_eq!(trained(2), one);
        assert_eq!(trained(5), one);
    }

    /// The losses by their definitions, from the scores that the programs give.
    #[test]
    fn losses_are_those_of_their_papers() {
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let mean = |scores: &[f64], f: &dyn Fn(f64) -> f64| scores.iter().map(|s| f(*s)).sum::<f64>() / 16.0;
        for rule in ["binary_crossentropy", "least_squares", "hinge", "wasserstein"] {
            let (start, _) = CONFIG.split_once("[gan]").unwrap();
            let logits = if rule == "binary_crossentropy" { "from_logits = true" } else { "" };
            let text = format!("{start}[gan]\nlatent_dim = 6\nloss = \"{rule}\"\n{logits}\n");
            let (prepared, mut trainer) = trainer(&text, 1);
            let rows: Vec<u32> = (0..16).collect();
            let Course::Adversarial(duel) = &trainer.course else { panic!("a GAN") };
            duel.fill(&mut trainer.session, DISCRIMINATE, (&prepared.dataset.train, &rows), 0);
            trainer.session.run(DISCRIMINATE, 16, 0);
            let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let scores =
                [REAL_SCORES, FAKE_SCORES].map(|i| wide(trainer.session.output(DISCRIMINATE, i, 16)));
            let losses =
                [REAL_LOSS, FAKE_LOSS].map(|i| super::mean(trainer.session.output(DISCRIMINATE, i, 16)));
            let Course::Adversarial(duel) = &trainer.course else { panic!("a GAN") };
            duel.fill(&mut trainer.session, GENERATE, (&prepared.dataset.train, &rows), 0);
            trainer.session.run(GENERATE, 16, 0);
            let judged = wide(trainer.session.output(GENERATE, 0, 16));
            let g_loss = super::mean(trainer.session.output(GENERATE, 1, 16));
            let expected: [f64; 3] = match rule {
                "binary_crossentropy" => [
                    mean(&scores[0], &|s| softplus(-s)),
                    mean(&scores[1], &softplus),
                    mean(&judged, &|s| softplus(-s)),
                ],
                "least_squares" => [
                    mean(&scores[0], &|s| (s - 1.0).powi(2)),
                    mean(&scores[1], &|s| s * s),
                    mean(&judged, &|s| (s - 1.0).powi(2)),
                ],
                "hinge" => [
                    mean(&scores[0], &|s| (1.0 - s).max(0.0)),
                    mean(&scores[1], &|s| (1.0 + s).max(0.0)),
                    mean(&judged, &|s| -s),
                ],
                _ => [mean(&scores[0], &|s| -s), mean(&scores[1], &|s| s), mean(&judged, &|s| -s)],
            };
            for (got, expected) in [losses[0], losses[1], g_loss].into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-5, "{rule}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn a_critics_weights_are_clipped() {
        let (start, _) = CONFIG.split_once("[gan]").unwrap();
        let text = format!("{start}[gan]\nloss = \"wasserstein\"\nweight_clip = 0.02\n");
        let (prepared, mut trainer) = trainer(&text, 2);
        trainer.train_step(&prepared.dataset.train).unwrap();
        let decls = trainer.session.params().decls.iter().enumerate();
        let own = decls.filter(|(_, d)| d.trainable && d.path.starts_with(DISCRIMINATOR));
        let weights: Vec<f32> = own.flat_map(|(i, _)| trainer.session.param(i)).copied().collect();
        assert!(weights.iter().all(|w| w.abs() <= 0.02) && weights.iter().any(|w| w.abs() == 0.02));
    }
}
