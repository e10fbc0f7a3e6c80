//! What is shown while training: a bar for people at a terminal, lines for logs, or nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    Silent,
    /// A bar per epoch.
    Bar,
    /// A line per epoch.
    Lines,
}

impl Verbosity {
    /// `--verbose`, or a bar; a bar becomes lines where it would garble a log.
    pub fn choose(verbose: Option<u8>) -> Verbosity {
        match verbose {
            Some(0) => Verbosity::Silent,
            Some(2) => Verbosity::Lines,
            _ if bars_suit() => Verbosity::Bar,
            _ => Verbosity::Lines,
        }
    }
}

/// Whether stderr is a terminal that a bar may be drawn on.
fn bars_suit() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    std::io::stderr().is_terminal() && !set("CI") && !set("NO_COLOR") && !dumb
}

/// Redraws no more often than this: drawing costs more than a step of a small network.
const REDRAW: Duration = Duration::from_millis(100);

/// Progress of a whole run.
#[derive(Debug)]
pub struct Progress {
    verbosity: Verbosity,
    epochs: usize,
    bar: Option<ProgressBar>,
    drawn: Instant,
    /// When the last epoch's line was written beside bars.
    lined: Option<Instant>,
}

impl Progress {
    pub fn new(verbosity: Verbosity, epochs: usize) -> Progress {
        Progress { verbosity, epochs, bar: None, drawn: Instant::now(), lined: None }
    }

    /// A line of its own, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match (&self.bar, self.verbosity) {
            (_, Verbosity::Silent) => {}
            (Some(bar), _) => bar.suspend(|| eprintln!("{line}")),
            (None, _) => eprintln!("{line}"),
        }
    }

    /// An epoch (from 0) of so many batches begins, some of which may be done already. The bar shows
    /// itself with the first batch that is late enough for people to wait for.
    pub fn begin(&mut self, epoch: usize, batches: usize, done: usize) {
        if self.verbosity != Verbosity::Bar {
            return;
        }
        let style = "Epoch {prefix} {pos:>5}/{len} {bar:16.cyan/dim} {eta} left  {wide_msg}";
        let style =
            ProgressStyle::with_template(style).expect("the template is correct").progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(batches as u64), ProgressDrawTarget::hidden());
        bar.set_style(style);
        bar.set_prefix(format!("{}/{}", epoch + 1, self.epochs));
        bar.set_position(done as u64);
        self.bar = Some(bar);
        self.drawn = Instant::now();
    }

    /// A batch is done. `figures` is asked only when the bar is redrawn.
    pub fn batch(&mut self, done: usize, figures: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar
            && self.drawn.elapsed() >= REDRAW
        {
            if bar.is_hidden() {
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            }
            bar.set_position(done as u64);
            bar.set_message(figures());
            self.drawn = Instant::now();
        }
    }

    /// The epoch ends early: the bar goes, so that what is said next stands alone.
    pub fn abandon(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// The epoch is done: its line stays. Beside bars, epochs of a few milliseconds are not all
    /// written (the history has them); in a log they are.
    pub fn end(&mut self, epoch: usize, figures: &str) {
        self.abandon();
        let flood = self.lined.is_some_and(|l| l.elapsed() < REDRAW) && epoch + 1 < self.epochs;
        if self.verbosity == Verbosity::Silent || self.verbosity == Verbosity::Bar && flood {
            return;
        }
        self.lined = Some(Instant::now());
        let width = self.epochs.to_string().len();
        eprintln!("Epoch {:>width$}/{}  {figures}", epoch + 1, self.epochs);
    }
}

/// `loss 0.1234  accuracy 0.9876  ...`: four significant digits are what a reader takes in.
pub fn figures(names: &[String], values: &[f64]) -> String {
    names.iter().zip(values).map(|(n, v)| format!("{n} {}", number(*v))).collect::<Vec<_>>().join("  ")
}

/// A number for people: four decimals in the middle range, scientific beyond.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-3..1e4).contains(&magnitude) {
        format!("{value:.4}")
    } else if (1e4..1e7).contains(&magnitude) {
        format!("{value:.0}")
    } else {
        format!("{value:.3e}")
    }
}

/// `35 ms`, `8.2 s`, `12 min 5 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:.0} s", (s / 60.0) as u64, s % 60.0),
    }
}
