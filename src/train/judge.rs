//! Loss and metrics, summed up batch by batch.

use crate::bits::{from_bits, to_bits};
use crate::checkpoint::Sums;
use crate::data::Part;
use crate::data::preprocessing::TargetEncoding;
use crate::exec::Session;
use crate::metrics::Accumulator;
use crate::model::heads::Head;
use crate::model::lower::{EVAL, Output, Slots};
use crate::model::task::Supervised;
use crate::train::setup::fill;

/// Loss and metrics over some samples.
pub struct Judge {
    slots: Slots,
    heads: Vec<JudgedHead>,
    terms: Vec<Sum>,
    ones: Vec<f32>,
    loss_sum: f64,
    samples: usize,
}

/// What is judged of an output.
struct JudgedHead {
    loss: Sum,
    accumulators: Vec<Box<dyn Accumulator>>,
    units: Option<Units>,
}

/// A part of the loss, summed over samples.
struct Sum {
    weight: f64,
    sum: f64,
}

impl Sum {
    fn new(weight: f64) -> Sum {
        Sum { weight, sum: 0.0 }
    }

    /// Takes in a batch; its share in the whole loss.
    fn take(&mut self, losses: &[f32]) -> f64 {
        let sum: f64 = losses.iter().map(|l| f64::from(*l)).sum();
        self.sum += sum;
        self.weight * sum
    }
}

impl Judge {
    pub fn new(task: &Supervised, outputs: &[Output], batch: usize) -> Judge {
        let head = |(head, output): (&Head, &Output)| {
            let metrics = head.metrics.iter();
            let bound = metrics.map(|m| m.bind(&output.kind).expect("checked when the model was lowered"));
            JudgedHead {
                loss: Sum::new(output.weight),
                accumulators: bound.collect(),
                units: Units::new(&output.target, batch),
            }
        };
        Judge {
            slots: Slots::new(outputs.len()),
            heads: task.heads.iter().zip(outputs).map(head).collect(),
            terms: task.network.terms().iter().map(|term| Sum::new(term.weight)).collect(),
            ones: vec![1.0; batch],
            loss_sum: 0.0,
            samples: 0,
        }
    }

    fn sums(&self) -> impl Iterator<Item = &Sum> {
        self.heads.iter().map(|head| &head.loss).chain(&self.terms)
    }

    fn sums_mut(&mut self) -> impl Iterator<Item = &mut Sum> {
        self.heads.iter_mut().map(|head| &mut head.loss).chain(&mut self.terms)
    }

    fn accumulators(&self) -> impl Iterator<Item = &dyn Accumulator> {
        self.heads.iter().flat_map(|head| &head.accumulators).map(|a| &**a)
    }

    pub fn reset(&mut self) {
        self.heads.iter_mut().flat_map(|head| &mut head.accumulators).for_each(|a| a.reset());
        self.sums_mut().for_each(|sum| sum.sum = 0.0);
        self.loss_sum = 0.0;
        self.samples = 0;
    }

    /// Takes in the batch that a program has just run; returns the batch's loss, penalty included.
    pub fn take(&mut self, session: &Session, program: usize, n: usize, penalty: f64) -> f64 {
        let slots = self.slots;
        let mut loss = 0.0;
        for (i, head) in self.heads.iter_mut().enumerate() {
            loss += head.loss.take(session.output(program, slots.loss(i), n));
            let targets = session.output(program, slots.target(i), n);
            let predictions = session.output(program, slots.output(i), n);
            let (targets, predictions) = match &mut head.units {
                Some(units) => units.convert(targets, predictions),
                None => (targets, predictions),
            };
            for accumulator in &mut head.accumulators {
                accumulator.update(targets, predictions, &self.ones[..n]);
            }
        }
        for (i, term) in self.terms.iter_mut().enumerate() {
            loss += term.take(session.output(program, slots.term(i), n));
        }
        self.loss_sum += loss + penalty * n as f64;
        self.samples += n;
        loss / n as f64 + penalty
    }

    /// Takes in all samples `order` of a part, batch by batch, with the inference program, as one walk: a
    /// stateful layer begins with zeros. `look` sees each batch's number of samples when it has run.
    pub fn judge(
        &mut self,
        session: &mut Session,
        part: &Part,
        order: &[u32],
        mut look: impl FnMut(&Session, usize),
    ) {
        let penalty = session.penalty();
        let pool = session.pool().clone();
        let _awake = pool.awake();
        session.begin_walk();
        for rows in order.chunks(session.program(EVAL).batch) {
            fill(session, EVAL, part, rows, None);
            session.run(EVAL, rows.len(), 0);
            self.take(session, EVAL, rows.len(), penalty);
            look(session, rows.len());
        }
    }

    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// What [`Self::restore`] needs to go on inside an epoch.
    pub fn state(&self) -> Sums {
        Sums {
            loss_sum: self.loss_sum.into(),
            loss_parts: to_bits(&self.sums().map(|part| part.sum).collect::<Vec<_>>()),
            samples: self.samples,
            metrics: self.accumulators().map(|a| to_bits(&a.state())).collect(),
            states: vec![],
        }
    }

    pub fn restore(&mut self, sums: &Sums) -> Result<(), String> {
        if sums.metrics.len() != self.accumulators().count() {
            return Err("the checkpoint's metrics are not the config's".into());
        }
        self.loss_sum = sums.loss_sum.get();
        self.samples = sums.samples;
        let parts = from_bits(&sums.loss_parts);
        self.sums_mut().zip(parts).for_each(|(part, sum)| part.sum = sum);
        let accumulators = self.heads.iter_mut().flat_map(|head| &mut head.accumulators);
        accumulators.zip(&sums.metrics).try_for_each(|(a, s)| a.restore(&from_bits(s)))
    }

    /// The columns of `Supervised::measured`: the loss, its parts if there are several, each metric.
    pub fn values(&self) -> Vec<f64> {
        let mean = |sum: f64| sum / self.samples.max(1) as f64;
        let several = self.heads.len() + self.terms.len() > 1;
        let parts = self.sums().filter(|_| several).map(|part| mean(part.sum));
        let metrics = self.accumulators().map(Accumulator::value);
        let mut values = Vec::with_capacity(1 + self.sums().count() + self.accumulators().count());
        values.push(mean(self.loss_sum));
        values.extend(parts);
        values.extend(metrics);
        values
    }
}

/// Brings standardised targets and predictions back to the target's own units, for the metrics.
struct Units {
    offsets: Vec<f32>,
    scales: Vec<f32>,
    targets: Vec<f32>,
    predictions: Vec<f32>,
}

impl Units {
    /// `None` where the network works in the target's units already.
    fn new(target: &TargetEncoding, batch: usize) -> Option<Units> {
        let TargetEncoding::Values { columns } = target else { return None };
        if columns.iter().all(|c| c.offset == 0.0 && c.scale == 1.0) {
            return None;
        }
        let buffer = vec![0.0; batch * columns.len()];
        Some(Units {
            offsets: columns.iter().map(|c| c.offset as f32).collect(),
            scales: columns.iter().map(|c| c.scale as f32).collect(),
            targets: buffer.clone(),
            predictions: buffer,
        })
    }

    fn convert(&mut self, targets: &[f32], predictions: &[f32]) -> (&[f32], &[f32]) {
        let width = self.offsets.len();
        for (buffer, values) in [(&mut self.targets, targets), (&mut self.predictions, predictions)] {
            for (i, (out, v)) in buffer.iter_mut().zip(values).enumerate() {
                *out = v * self.scales[i % width] + self.offsets[i % width];
            }
        }
        (&self.targets[..targets.len()], &self.predictions[..predictions.len()])
    }
}
