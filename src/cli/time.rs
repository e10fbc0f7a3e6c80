//! `nntrain time`: where the time of a training step goes, and how far from the machine's peaks that is.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli::args::TimeArgs;
use crate::diag::{Diag, Result};
use crate::exec::machine::{self, Bound, Peaks};
use crate::kernels::isa::isa;
use crate::model::Experiment;
use crate::model::task::Task;
use crate::report::table::{Align, bytes, count, table};
use crate::train::Prepared;
use crate::train::timing::{self, Cost, LayerCost, Timing};
use crate::train::trainer::Trainer;

/// Measures the machine, then some steps of training; a table or one JSON object.
pub fn time(args: &TimeArgs) -> Result<String> {
    let options = args.common.options(true);
    let (prepared, model) = Prepared::new(Experiment::open(&args.config, &args.sets())?, &options)?;
    let mut trainer = Trainer::new(&prepared, &model, options.pool())?;
    let Task::Supervised(task) = &prepared.experiment.task else {
        return Err(
            Diag::new("`nntrain time` takes the time of one network's steps, and a GAN has two").into()
        );
    };
    let optimizer = &task.optimizer;
    let pool = trainer.session.pool().clone();
    let working_set = timing::working_set(&trainer.session, optimizer);
    let peaks = Peaks::measure(&pool, working_set);
    let laps = timing::measure(&mut trainer, &prepared.dataset.train, args.steps)?;
    let peaks = peaks.better(&Peaks::measure(&pool, working_set));
    let timing = Timing::new(&model.rows, &trainer.session, optimizer, &laps, &peaks);
    let report = Report { name: &prepared.experiment.name, peaks, timing };
    Ok(if args.json { format!("{:#}\n", report.json()) } else { report.text() })
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
        writeln!(text, "Peak of fma: {all:.0} GFLOP/s ({one:.0} on one thread)").unwrap();
        let list =
            |word: fn(&(usize, f64)) -> String| peaks.copy.iter().map(word).collect::<Vec<_>>().join(", ");
        let (rates, memory) = (list(|c| format!("{:.0}", c.1 / 1e9)), list(|c| bytes(c.0)));
        writeln!(text, "Peak of copy: {rates} GB/s within {memory}\n").unwrap();
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
        let seconds = cost.lap.seconds;
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
            rate(cost.flops),
            rate(cost.bytes),
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

    /// The share of the peak that binds, and its name.
    fn of_peak(&self, cost: &Cost) -> Option<(f64, &'static str)> {
        cost.of_peak(&self.peaks).map(|(share, bound)| match bound {
            Bound::Fma => (share, "fma"),
            Bound::Copy => (share, "copy"),
        })
    }

    fn json(&self) -> Value {
        let (peaks, timing) = (&self.peaks, &self.timing);
        let phases =
            timing.phases().into_iter().map(|(name, cost)| (name.to_string(), self.cost_json(&cost)));
        let layers = |layers: &[LayerCost]| layers.iter().map(|l| self.layer_json(l)).collect::<Vec<_>>();
        let copies = peaks.copy.iter().map(|(bytes, rate)| json!({"bytes": bytes, "gb_per_s": rate / 1e9}));
        json!({
            "name": self.name,
            "machine": {
                "cpu": machine::cpu(),
                "isa": isa().name(),
                "threads": timing.threads,
                "fma_gflops": peaks.fma / 1e9,
                "fma_gflops_one_thread": peaks.fma_one_thread / 1e9,
                "copy_gb_per_s": peaks.copy.last().expect("at least one is measured").1 / 1e9,
                "copies": copies.collect::<Vec<_>>(),
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
        let seconds = cost.lap.seconds;
        let rate = |amount: f64| if seconds > 0.0 { amount / seconds / 1e9 } else { 0.0 };
        let of_peak = self.of_peak(cost);
        json!({
            "seconds": seconds,
            "share": self.share_of_step(cost),
            "flops": cost.flops,
            "bytes": cost.bytes,
            "gflops": rate(cost.flops),
            "gb_per_s": rate(cost.bytes),
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

/// Microseconds: `0.4`, `56.7`, `1,234.5`.
fn micros(seconds: f64) -> String {
    let tenths = (seconds * 1e7).round() as usize;
    format!("{}.{}", count(tenths / 10), tenths % 10)
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::laps::Lap;

    fn cost(seconds: f64, flops: f64, bytes: f64) -> Option<Cost> {
        let copy = bytes / 1e10;
        Some(Cost { lap: Lap { seconds, idle: seconds / 2.0 }, flops, bytes, copy })
    }

    fn layer(name: &str, kind: &'static str, forward: Option<Cost>, backward: Option<Cost>) -> LayerCost {
        LayerCost { name: name.into(), kind, count: 1, fused: vec![], within: None, forward, backward }
    }

    fn report() -> Report<'static> {
        let mut conv = layer("conv2d", "Conv2D", cost(1e-3, 9e7, 1e4), cost(3e-3, 18e7, 1e4));
        conv.fused = vec!["relu", "max_pool"];
        let within = |name: &str| LayerCost { within: Some("conv2d".into()), ..layer(name, "", None, None) };
        let rest = [within("re_lu"), within("max_pooling2d"), layer("flatten", "Flatten", None, None)];
        let layers = [vec![conv], rest.to_vec(), vec![layer("loss", "loss", cost(1e-3, 1.0, 5e6), None)]];
        let timing = Timing {
            batch: 32,
            steps: 1200,
            threads: 2,
            mean: 1.2345678,
            layers: layers.concat(),
            data: cost(1e-3, 0.0, 0.0).unwrap(),
            forward: cost(2e-3, 9e7, 1e4).unwrap(),
            backward: cost(3e-3, 18e7, 1e4).unwrap(),
            optimizer: cost(3.5e-3, 0.0, 0.0).unwrap(),
            metrics: cost(0.5e-3, 0.0, 0.0).unwrap(),
        };
        let peaks = Peaks { fma: 1e11, fma_one_thread: 5e10, copy: vec![(1 << 20, 1e10)] };
        Report { name: "test", peaks, timing }
    }

    #[test]
    fn rows_show_times_rates_and_the_peak_that_binds() {
        let text = report().text();
        let row = |start: &str| {
            let line =
                text.lines().find(|l| l.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{text}"));
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        let forward = [
            "conv2d + relu + max_pool",
            "forward",
            "1,000.0",
            "10.0 %",
            "90.0",
            "0.0",
            "90 %",
            "fma",
            "75 %",
        ];
        assert_eq!(row("conv2d + relu"), forward);
        assert_eq!(row("backward"), ["backward", "3,000.0", "30.0 %", "60.0", "0.0", "60 %", "fma", "75 %"]);
        assert_eq!(
            row("loss"),
            ["loss", "forward", "1,000.0", "10.0 %", "0.0", "5.0", "50 %", "copy", "75 %"]
        );
        assert_eq!(row("data"), ["data", "1,000.0", "10.0 %", "75 %"]);
        assert_eq!(row("step")[..3], ["step", "10,000.0", "100.0 %"]);
        assert!(text.contains("test: 3,200 samples/s in batches of 32; medians of 1,200 steps"), "{text}");
        assert!(text.contains("re_lu (in conv2d), max_pooling2d (in conv2d), flatten\n"), "{text}");
        assert!(!text.contains("Type"), "few layers need no table of types: {text}");
    }

    #[test]
    fn a_deep_networks_types_have_a_table() {
        let mut report = report();
        for i in 0..40 {
            let name = format!("a_layer_whose_name_is_far_too_long_for_a_table_{i}");
            report.timing.layers.push(layer(&name, "Conv2D", cost(1e-3, 1.0, 1.0), None));
            report.timing.layers.push(layer(&name, "Flatten", None, None));
        }
        let text = report.text();
        assert!(text.contains("\nConv2D x 41 + relu + max_pool"), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    }
}
