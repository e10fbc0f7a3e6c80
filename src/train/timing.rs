//! Where the time of a training step goes: the steps of `fit`, timed, and summed by layer.

use std::time::{Duration, Instant};

use crate::compile::{Move, Program, Step, Work};
use crate::data::Part;
use crate::diag::Result;
use crate::exec::Session;
use crate::exec::machine::{Bound, Peaks};
use crate::model::listing::LayerRow;
use crate::model::lower::TRAIN;
use crate::optim::OptimizerSpec;
use crate::train::course::Stage;
use crate::train::laps::{Lap, Laps, Moment};
use crate::train::trainer::Trainer;

/// Steps before the first that counts: memory is touched, caches and clock rates settle.
const WARM_UP: Duration = Duration::from_millis(250);
const WARM_UP_STEPS: usize = 2;

/// How long is measured if no number of steps is asked for, and the fewest steps.
const MEASURED: Duration = Duration::from_secs(2);
const FEWEST_STEPS: usize = 5;

/// More steps than this make no median better.
pub const MOST_STEPS: usize = 10_000;

/// Trains and takes the times of `steps` steps, or of as many as take two seconds. Only whole batches
/// count.
pub fn measure(trainer: &mut Trainer, part: &Part, steps: Option<usize>) -> Result<Laps> {
    let pool = trainer.session.pool().clone();
    let program = trainer.session.program(TRAIN);
    let (batch, mut laps) = (program.batch, Laps::new(program.steps.len(), pool.threads()));
    pool.clock().count(true);
    let (begun, mut epoch) = (Instant::now(), 0);
    let now = || Moment { nanos: begun.elapsed().as_nanos() as u64, pool: pool.clock().read() };
    trainer.begin_epoch(epoch);
    let mut one_step = |laps: &mut Laps| -> Result<bool> {
        if trainer.steps_done == trainer.steps_per_epoch() {
            epoch += 1;
            trainer.begin_epoch(epoch);
        }
        let whole = (trainer.steps_done + 1) * batch <= part.len();
        laps.begin(now());
        trainer.train_step_watched(part, |stage| laps.passed(stage, now()))?;
        Ok(whole)
    };
    let mut warm_up = 0;
    while warm_up < WARM_UP_STEPS || begun.elapsed() < WARM_UP {
        one_step(&mut laps)?;
        warm_up += 1;
    }
    let from = begun.elapsed();
    let enough = |done: usize| match steps {
        Some(steps) => done == steps,
        None => done == MOST_STEPS || done >= FEWEST_STEPS && begun.elapsed() - from >= MEASURED,
    };
    while !enough(laps.steps()) {
        if one_step(&mut laps)? {
            laps.keep();
        }
    }
    pool.clock().count(false);
    Ok(laps)
}

/// Time, and the work done in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub lap: Lap,
    /// Additions and multiplications.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Seconds in which a copy could move these bytes, from where they are.
    pub copy: f64,
}

impl Cost {
    fn of(lap: Lap, work: &Work, peaks: &Peaks) -> Cost {
        let bytes = work.moves.iter().map(|m| m.bytes as f64).sum();
        let copy = work.moves.iter().map(|m| m.bytes as f64 / peaks.copy_within(m.within)).sum();
        Cost { lap, flops: work.flops, bytes, copy }
    }

    fn add(&mut self, other: Cost) {
        self.lap.seconds += other.lap.seconds;
        self.lap.idle += other.lap.idle;
        self.flops += other.flops;
        self.bytes += other.bytes;
        self.copy += other.copy;
    }

    /// The larger of two shares: of the arithmetic that the machine could have done in the time, and of
    /// the time that a copy of the same bytes would have taken. `None` for what has no known work.
    pub fn of_peak(&self, peaks: &Peaks) -> Option<(f64, Bound)> {
        let known = (self.flops > 0.0 || self.bytes > 0.0) && self.lap.seconds > 0.0;
        let (fma, copy) = (self.flops / peaks.fma / self.lap.seconds, self.copy / self.lap.seconds);
        known.then_some(if fma > copy { (fma, Bound::Fma) } else { (copy, Bound::Copy) })
    }

    /// The share of the threads' time in which they had work.
    pub fn busy(&self, threads: usize) -> f64 {
        let all = threads as f64 * self.lap.seconds;
        if all > 0.0 { (1.0 - self.lap.idle / all).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// What a layer, or all layers of a type, cost in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCost {
    pub name: String,
    pub kind: &'static str,
    /// Layers in it.
    pub count: usize,
    /// Names of ops that its own ops do along.
    pub fused: Vec<&'static str>,
    /// The layer whose op does this one's work along.
    pub within: Option<String>,
    /// `None` if the layer has no such step.
    pub forward: Option<Cost>,
    pub backward: Option<Cost>,
}

/// A training step in parts. Times are medians over the steps that were measured, and sums of these
/// medians: so all parts of the step add up to it.
#[derive(Clone, Debug)]
pub struct Timing {
    pub batch: usize,
    /// Steps that were measured.
    pub steps: usize,
    pub threads: usize,
    /// Seconds of a step on average: more than the medians' sum as far as something disturbed.
    pub mean: f64,
    /// In the order of the model; behind them the loss, and the regularizers if there are any.
    pub layers: Vec<LayerCost>,
    pub data: Cost,
    pub forward: Cost,
    pub backward: Cost,
    pub optimizer: Cost,
    pub metrics: Cost,
}

impl Timing {
    /// Sums laps by layer. `rows` are the model's layers.
    pub fn new(
        rows: &[LayerRow],
        session: &Session,
        optimizer: &OptimizerSpec,
        laps: &Laps,
        peaks: &Peaks,
    ) -> Timing {
        let program = session.program(TRAIN);
        let whole = working_set(session, optimizer);
        let moved = |stage, numbers: usize| {
            let moves = vec![Move { bytes: numbers * size_of::<f32>(), within: whole }];
            Cost::of(laps.median(stage), &Work { flops: 0.0, moves }, peaks)
        };
        let work = program.work(program.batch, state_bytes(session, optimizer));
        let mut layers = layer_costs(rows, program, |step| {
            Cost::of(laps.median(Stage::Program(step)), &work[step], peaks)
        });
        let penalised = penalised(session);
        if penalised > 0 {
            let mut regularizers = LayerCost::new("regularizers", "regularizers");
            // Weights are read, gradients added to.
            regularizers.backward = Some(moved(Stage::Program(program.steps.len()), 3 * penalised));
            layers.push(regularizers);
        }
        // Weights and the optimizer's state are read and written, gradients read.
        let updated = (3 + 2 * optimizer.numbers_per_weight()) * session.layout().trainable_len;
        Timing {
            batch: program.batch,
            steps: laps.steps(),
            threads: laps.threads(),
            mean: laps.mean(),
            data: moved(Stage::Data, 0),
            forward: sum(layers.iter().filter_map(|l| l.forward)),
            backward: sum(layers.iter().filter_map(|l| l.backward)),
            optimizer: moved(Stage::Optimizer, updated),
            metrics: moved(Stage::Metrics, 0),
            layers,
        }
    }

    /// The parts that a step consists of, in their order.
    pub fn phases(&self) -> [(&'static str, Cost); 5] {
        [
            ("data", self.data),
            ("forward", self.forward),
            ("backward", self.backward),
            ("metrics", self.metrics),
            ("optimizer", self.optimizer),
        ]
    }

    /// A whole step.
    pub fn step(&self) -> Cost {
        sum(self.phases().into_iter().map(|(_, cost)| cost))
    }

    /// Seconds of a step that a thread waits for others or for work, on average over the threads.
    pub fn waiting(&self) -> f64 {
        self.step().lap.idle / self.threads as f64
    }

    pub fn samples_per_second(&self) -> f64 {
        self.batch as f64 / self.step().lap.seconds
    }

    /// The layers that have steps of their own, summed by type, in the order of their first one.
    pub fn types(&self) -> Vec<LayerCost> {
        let mut types: Vec<LayerCost> = vec![];
        for layer in self.layers.iter().filter(|l| l.forward.is_some() || l.backward.is_some()) {
            match types.iter_mut().find(|t| t.kind == layer.kind) {
                Some(known) => known.add(layer),
                None => types.push(LayerCost { name: layer.kind.to_string(), ..layer.clone() }),
            }
        }
        types
    }
}

impl LayerCost {
    fn new(name: &str, kind: &'static str) -> LayerCost {
        let (fused, within) = (vec![], None);
        LayerCost { name: name.into(), kind, count: 1, fused, within, forward: None, backward: None }
    }

    fn add(&mut self, other: &LayerCost) {
        self.count += other.count;
        self.fuse(other.fused.iter().copied());
        for (sum, cost) in [(&mut self.forward, other.forward), (&mut self.backward, other.backward)] {
            if let Some(cost) = cost {
                sum.get_or_insert_default().add(cost);
            }
        }
    }

    /// Notes names of fused ops, each once.
    fn fuse(&mut self, ops: impl Iterator<Item = &'static str>) {
        for op in ops {
            if !self.fused.contains(&op) {
                self.fused.push(op);
            }
        }
    }
}

/// The costs of the model's layers, and of the loss behind them, from those of the program's steps.
fn layer_costs(rows: &[LayerRow], program: &Program, cost: impl Fn(usize) -> Cost) -> Vec<LayerCost> {
    let mut layers: Vec<LayerCost> = rows.iter().map(|r| LayerCost::new(&r.name, r.kind)).collect();
    layers.push(LayerCost::new("loss", "loss"));
    // What belongs to no layer is the loss.
    let place = |name: &str| rows.iter().position(|r| r.name == name).unwrap_or(rows.len());
    for (index, step) in program.steps.iter().enumerate() {
        let node = program.node_of(index);
        let layer = &mut layers[place(&node.layer)];
        let pass = if matches!(step, Step::Forward(_)) { &mut layer.forward } else { &mut layer.backward };
        pass.get_or_insert_default().add(cost(index));
        layer.fuse(node.fused.iter().map(|f| f.op));
    }
    for (node, fused) in program.nodes.iter().flat_map(|n| n.fused.iter().map(move |f| (n, f))) {
        let absorbed = &mut layers[place(&fused.layer)];
        if absorbed.forward.is_none() {
            absorbed.within = Some(node.layer.clone());
        }
    }
    layers
}

/// Weights that a regularizer keeps small.
fn penalised(session: &Session) -> usize {
    let decls = session.params().decls.iter();
    decls.filter(|d| d.trainable && d.penalty.is_some()).map(|d| d.size()).sum()
}

/// Bytes of the optimizer's state.
fn state_bytes(session: &Session, optimizer: &OptimizerSpec) -> usize {
    optimizer.numbers_per_weight() * session.layout().trainable_len * size_of::<f32>()
}

/// Bytes that a training step touches: values, weights, gradients and the optimizer's state.
pub fn working_set(session: &Session, optimizer: &OptimizerSpec) -> usize {
    let layout = session.layout();
    let numbers = session.program(TRAIN).arena_len + layout.len + layout.trainable_len;
    numbers * size_of::<f32>() + state_bytes(session, optimizer)
}

fn sum(costs: impl Iterator<Item = Cost>) -> Cost {
    let mut sum = Cost::default();
    costs.for_each(|cost| sum.add(cost));
    sum
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::kernels::clock::Reading;
    use crate::kernels::par::Pool;
    use crate::model::Experiment;
    use crate::model::task::Task;
    use crate::train::{Options, Prepared};

    const CONFIG: &str = "[dataset]\ntype = \"digits\"\nlimit = 100\n\
        [[layers]]\ntype = \"Conv2D\"\nfilters = 4\nkernel_size = 3\n\
        [[layers]]\ntype = \"ReLU\"\n\
        [[layers]]\ntype = \"Flatten\"\n\
        [[layers]]\ntype = \"Dense\"\nunits = 8\nactivation = \"gelu\"\n\
        [[layers]]\ntype = \"Dense\"\nunits = 10\nkernel_regularizer = \"L2\"\n\
        [training]\nbatch_size = 32\noptimizer = \"adam\"\nloss = { type = \"sparse_categorical_crossentropy\", from_logits = true }\n";

    fn trainer() -> (Prepared, Vec<LayerRow>, Trainer) {
        let experiment = Experiment::parse("test", CONFIG, &[], Path::new("."), "test")
            .unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let (prepared, model) = Prepared::new(experiment, &Options::default()).unwrap();
        let trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
        (prepared, model.rows, trainer)
    }

    /// One step in which the stages take 1, 2, 3, ... microseconds in their order, both threads working.
    fn laps(trainer: &Trainer) -> Laps {
        let steps = trainer.session.program(TRAIN).steps.len();
        let mut laps = Laps::new(steps, 2);
        let program = (0..=steps).map(Stage::Program);
        let (mut nanos, mut worked) = (0, 0);
        laps.begin(Moment::default());
        let stages = [Stage::Data].into_iter().chain(program).chain([Stage::Metrics, Stage::Optimizer]);
        for (i, stage) in stages.enumerate() {
            nanos += 1000 * (i as u64 + 1);
            worked += 1000 * (i as u64 + 1);
            laps.passed(stage, Moment { nanos, pool: Reading { worked, waited: 0 } });
        }
        laps.keep();
        laps
    }

    fn timing() -> Timing {
        let (prepared, rows, trainer) = trainer();
        let Task::Supervised(task) = &prepared.experiment.task else { panic!("one network") };
        let optimizer = &task.optimizer;
        let peaks = Peaks { fma: 1e9, fma_one_thread: 1e9, copy: vec![(1, 1e9)] };
        Timing::new(&rows, &trainer.session, optimizer, &laps(&trainer), &peaks)
    }

    fn micros(cost: Option<Cost>) -> Option<f64> {
        cost.map(|c| (c.lap.seconds * 1e6).round())
    }

    #[test]
    fn steps_are_summed_by_layer() {
        let timing = timing();
        // Forward: conv with relu, dense, gelu, dense, and the loss in two; then its first gradient, and all
        // that backwards but for the loss, which is one.
        let expected = [
            ("conv2d", Some(2.0), Some(13.0)),
            ("re_lu", None, None),
            ("flatten", None, None),
            ("dense", Some(3.0 + 4.0), Some(11.0 + 12.0)),
            ("dense_1", Some(5.0), Some(10.0)),
            ("loss", Some(6.0 + 7.0), Some(8.0 + 9.0)),
            ("regularizers", None, Some(14.0)),
        ];
        let found = timing.layers.iter().map(|l| (l.name.as_str(), micros(l.forward), micros(l.backward)));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!((timing.layers[0].fused.as_slice(), &timing.layers[0].within), (&["relu"][..], &None));
        assert_eq!(timing.layers[1].within.as_deref(), Some("conv2d"));
        assert_eq!(timing.layers[2].within, None);
    }

    #[test]
    fn phases_add_up_to_the_step() {
        let timing = timing();
        let phases = timing.phases().map(|(name, cost)| (name, micros(Some(cost)).unwrap()));
        let expected =
            [("data", 1.0), ("forward", 27.0), ("backward", 77.0), ("metrics", 15.0), ("optimizer", 16.0)];
        assert_eq!(phases, expected);
        assert_eq!(micros(Some(timing.step())), Some(136.0));
        assert_eq!((timing.waiting(), timing.step().busy(2)), (0.0, 1.0));
        assert!((timing.samples_per_second() - 32.0 / 136e-6).abs() < 1e-3);
        assert!((timing.mean - 136e-6).abs() < 1e-12);
        // Adam's two moments and the weights are read and written, gradients read.
        let weights: f64 =
            [36, 4, 36 * 4 * 8, 8, 80, 10].iter().map(|n: &usize| n.next_multiple_of(16) as f64).sum();
        assert_eq!(timing.optimizer.bytes, 7.0 * 4.0 * weights);
    }

    #[test]
    fn layers_are_summed_by_type() {
        let types = timing().types();
        let found = types.iter().map(|t| (t.name.as_str(), t.count, micros(t.forward), micros(t.backward)));
        let expected = [
            ("Conv2D", 1, Some(2.0), Some(13.0)),
            ("Dense", 2, Some(12.0), Some(33.0)),
            ("loss", 1, Some(13.0), Some(17.0)),
            ("regularizers", 1, None, Some(14.0)),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_nearer_peak_binds() {
        let peaks = Peaks { fma: 100.0, fma_one_thread: 50.0, copy: vec![(10, 10.0), (1000, 1.0)] };
        let cost = |flops, moves: &[(usize, usize)]| {
            let moves = moves.iter().map(|(bytes, within)| Move { bytes: *bytes, within: *within }).collect();
            Cost::of(Lap { seconds: 4.0, idle: 0.0 }, &Work { flops, moves }, &peaks).of_peak(&peaks)
        };
        assert_eq!(cost(300.0, &[(20, 10)]), Some((0.75, Bound::Fma)));
        // Near and far bytes take their own time.
        assert_eq!(cost(100.0, &[(20, 10), (1, 1000)]), Some((0.75, Bound::Copy)));
        assert_eq!(cost(0.0, &[]), None);
    }

    #[test]
    fn whole_batches_are_measured_over_epochs() {
        // 100 samples are three batches of 32 and one of 4, which does not count.
        let (prepared, _, mut trainer) = trainer();
        let laps = measure(&mut trainer, &prepared.dataset.train, Some(7)).unwrap();
        assert_eq!(laps.steps(), 7);
        assert!(trainer.step >= 9, "{}", trainer.step);
        assert!(laps.mean() > 0.0);
    }
}
