//! `nntrain time`: where the time of a training step goes, and how far from the machine's peaks that is.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli::args::TimeArgs;
use crate::diag::Result;
use crate::exec::Session;
use crate::exec::machine::{self, Bound, Peaks};
use crate::kernels::isa::isa;
use crate::model::Experiment;
use crate::model::lower::TRAIN;
use crate::optim::OptimizerSpec;
use crate::report::table::{Align, bytes, count, table};
use crate::train::Prepared;
use crate::train::timing::{self, Cost, LayerCost, Timing};
use crate::train::trainer::Trainer;

/// Measures the machine, then some steps of training; a table or one JSON object.
pub fn time(args: &TimeArgs) -> Result<String> {
    let options = args.common.options(true);
    let (prepared, model) = Prepared::new(Experiment::open(&args.config, &args.sets())?, &options)?;
    let mut trainer = Trainer::new(&prepared, &model, options.pool())?;
    let optimizer = &prepared.experiment.training.optimizer;
    let peaks = Peaks::measure(trainer.session.pool(), working_set(&trainer.session, optimizer));
    let laps = timing::measure(&mut trainer, &prepared.dataset.train, args.steps)?;
    let timing = Timing::new(&model.rows, &trainer.session, optimizer, &laps);
    let report = Report { name: &prepared.experiment.name, peaks, timing };
    Ok(if args.json { format!("{:#}\n", report.json()) } else { report.text() })
}

/// Bytes that a step touches: values, weights, gradients and the optimizer's state.
fn working_set(session: &Session, optimizer: &OptimizerSpec) -> usize {
    let layout = session.layout();
    let state = (1 + optimizer.numbers_per_weight()) * layout.trainable_len;
    (session.program(TRAIN).arena_len + layout.len + state) * size_of::<f32>()
}

struct Report<'a> {
    name: &'a str,
    peaks: Peaks,
    timing: Timing,
}

/// Widest name of a row: leaves the table within 100 columns.
const NAME: usize = 34;

/// Columns behind the row's name and pass.
const FIGURES: [(&str, Align); 7] = [
    ("µs", Align::Right),
    ("Share", Align::Right),
    ("GFLOP/s", Align::Right),
    ("GB/s", Align::Right),
    ("Of peak", Align::Right),
    ("Bound", Align::Left),
    ("Busy", Align::Right),
];

impl Report<'_> {
    fn text(&self) -> String {
        let (peaks, timing) = (&self.peaks, &self.timing);
        let mut text = String::new();
        let (threads, isa) = (timing.threads, isa().name());
        let s = if threads == 1 { "" } else { "s" };
        writeln!(text, "{}, {isa}, {threads} thread{s}", machine::cpu()).unwrap();
        let (all, one) = (peaks.fma / 1e9, peaks.fma_one_thread / 1e9);
        let (copy, copied) = (peaks.copy / 1e9, bytes(peaks.copied));
        writeln!(
            text,
            "Peaks: {all:.0} GFLOP/s fma ({one:.0} on one thread), {copy:.0} GB/s copy within {copied}\n"
        )
        .unwrap();
        text.push_str(&self.layers("Layer", &timing.layers));
        let without = without_steps(&timing.layers);
        if !without.is_empty() {
            writeln!(text, "{without}").unwrap();
        }
        let types = timing.types();
        if types.iter().any(|t| t.count >= MANY) {
            writeln!(text, "\n{}", self.layers("Type", &types).trim_end()).unwrap();
        }
        writeln!(text, "\n{}", self.phases().trim_end()).unwrap();
        text + &self.summary()
    }

    /// A row for each pass of each layer that has steps.
    fn layers(&self, title: &str, layers: &[LayerCost]) -> String {
        let passes = |l: &LayerCost| [("forward", l.forward), ("backward", l.backward)];
        let rows = layers.iter().flat_map(|layer| {
            let costs = passes(layer).into_iter().filter_map(|(pass, cost)| Some((pass, cost?)));
            let row = |(i, (pass, cost)): (usize, (&str, Cost))| {
                let name = if i == 0 { label(layer) } else { String::new() };
                [vec![name, pass.to_string()], self.figures(&cost)].concat()
            };
            costs.enumerate().map(row).collect::<Vec<_>>()
        });
        let columns = [&[(title, Align::Left), ("Pass", Align::Left)][..], &FIGURES].concat();
        table(&columns, &rows.collect::<Vec<_>>())
    }

    fn phases(&self) -> String {
        let row = |(name, cost): (&str, Cost)| [vec![name.to_string()], self.figures(&cost)].concat();
        let mut rows: Vec<Vec<String>> = self.timing.phases().into_iter().map(row).collect();
        rows.push(row(("step", self.timing.step())));
        table(&[&[("Phase", Align::Left)][..], &FIGURES].concat(), &rows)
    }

    fn figures(&self, cost: &Cost) -> Vec<String> {
        let (seconds, work) = (cost.lap.seconds, cost.work);
        let rate = |amount: f64| match amount / seconds / 1e9 {
            rate if amount > 0.0 && seconds > 0.0 => format!("{rate:.1}"),
            _ => String::new(),
        };
        let (share, bound) = match self.of_peak(cost) {
            Some((share, bound)) => (percent(share, 0), bound),
            None => Default::default(),
        };
        vec![
            micros(seconds),
            percent(self.share_of_step(cost), 1),
            rate(work.flops),
            rate(work.bytes),
            share,
            bound.to_string(),
            percent(cost.busy(self.timing.threads), 0),
        ]
    }

    fn summary(&self) -> String {
        let timing = &self.timing;
        format!(
            "{}: {} samples/s in batches of {}; medians of {} steps, whose mean is {} µs\n\
             A thread waits {} of the step for others or for work: {} µs\n",
            self.name,
            count(timing.samples_per_second() as usize),
            timing.batch,
            count(timing.steps),
            micros(timing.mean),
            percent(timing.waiting() / timing.step().lap.seconds, 1),
            micros(timing.waiting()),
        )
    }

    fn share_of_step(&self, cost: &Cost) -> f64 {
        let step = self.timing.step().lap.seconds;
        if step > 0.0 { cost.lap.seconds / step } else { 0.0 }
    }

    /// Which peak binds, and the share of it; `None` for what has no known work.
    fn of_peak(&self, cost: &Cost) -> Option<(f64, &'static str)> {
        let (work, seconds) = (cost.work, cost.lap.seconds);
        let known = (work.flops > 0.0 || work.bytes > 0.0) && seconds > 0.0;
        known.then(|| match self.peaks.share(work.flops, work.bytes, seconds) {
            (share, Bound::Fma) => (share, "fma"),
            (share, Bound::Copy) => (share, "copy"),
        })
    }

    fn json(&self) -> Value {
        let (peaks, timing) = (&self.peaks, &self.timing);
        let phases =
            timing.phases().into_iter().map(|(name, cost)| (name.to_string(), self.cost_json(&cost)));
        let layers = |layers: &[LayerCost]| layers.iter().map(|l| self.layer_json(l)).collect::<Vec<_>>();
        json!({
            "name": self.name,
            "machine": {
                "cpu": machine::cpu(),
                "isa": isa().name(),
                "threads": timing.threads,
                "fma_gflops": peaks.fma / 1e9,
                "fma_gflops_one_thread": peaks.fma_one_thread / 1e9,
                "copy_gb_per_s": peaks.copy / 1e9,
                "copy_bytes": peaks.copied,
            },
            "step": {
                "batch": timing.batch,
                "measured": timing.steps,
                "seconds": timing.step().lap.seconds,
                "mean_seconds": timing.mean,
                "samples_per_second": timing.samples_per_second(),
                "waiting_seconds": timing.waiting(),
                "phases": phases.collect::<serde_json::Map<_, _>>(),
            },
            "layers": layers(&timing.layers),
            "types": layers(&timing.types()),
        })
    }

    fn layer_json(&self, layer: &LayerCost) -> Value {
        json!({
            "name": layer.name,
            "type": layer.kind,
            "count": layer.count,
            "fused": layer.fused,
            "within": layer.within,
            "forward": layer.forward.map(|cost| self.cost_json(&cost)),
            "backward": layer.backward.map(|cost| self.cost_json(&cost)),
        })
    }

    fn cost_json(&self, cost: &Cost) -> Value {
        let (seconds, work) = (cost.lap.seconds, cost.work);
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds / 1e9 } else { 0.0 };
        let of_peak = self.of_peak(cost);
        json!({
            "seconds": seconds,
            "share": self.share_of_step(cost),
            "flops": work.flops,
            "bytes": work.bytes,
            "gflops": rate(work.flops),
            "gb_per_s": rate(work.bytes),
            "of_peak": of_peak.map(|(share, _)| share),
            "bound": of_peak.map(|(_, bound)| bound),
            "busy": cost.busy(self.timing.threads),
        })
    }
}

/// So many layers of a type make a network whose types are worth a table.
const MANY: usize = 3;

/// `conv2d + relu`, or for a type `Conv2D x 3`.
fn label(layer: &LayerCost) -> String {
    let mut label = layer.name.clone();
    if layer.count > 1 {
        write!(label, " x {}", layer.count).unwrap();
    }
    layer.fused.iter().for_each(|op| write!(label, " + {op}").unwrap());
    match label.char_indices().nth(NAME - 1) {
        Some((end, _)) if label.chars().count() > NAME => format!("{}…", &label[..end]),
        _ => label,
    }
}

/// Which layers have no row, and why.
fn without_steps(layers: &[LayerCost]) -> String {
    let mut lines: Vec<String> = vec![];
    for layer in layers.iter().filter(|l| l.forward.is_none() && l.backward.is_none()) {
        let word = match &layer.within {
            Some(owner) => format!("{} (in {owner})", layer.name),
            None => layer.name.clone(),
        };
        match lines.last_mut() {
            Some(line) if fits(line, &word) => write!(line, ", {word}").unwrap(),
            Some(line) => {
                line.push(',');
                lines.push(format!("  {word}"));
            }
            None => lines.push(format!("No steps of their own: {word}")),
        }
    }
    lines.join("\n")
}

fn fits(line: &str, word: &str) -> bool {
    line.chars().count() + word.chars().count() + 3 <= 100
}

/// Microseconds: `0.4`, `56.7`, `1,234`.
fn micros(seconds: f64) -> String {
    match seconds * 1e6 {
        micros if micros < 100.0 => format!("{micros:.1}"),
        micros => count(micros.round() as usize),
    }
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}
