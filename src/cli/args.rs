//! What may stand on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::train::Options;
use crate::train::timing::MOST_STEPS;

/// Trains neural networks from a TOML file.
#[derive(Debug, Parser)]
#[command(name = "nntrain", version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network
    #[command(after_help = "Examples:
  nntrain fit configs/cnn_digits.toml
  nntrain fit configs/cnn_mnist.toml --epochs 2 --set training.optimizer.learning_rate=3e-4
  nntrain fit --resume runs/cnn_mnist --epochs 10")]
    Fit(FitArgs),
    /// Loss, metrics and a report on data with known targets
    #[command(after_help = "Examples:
  nntrain eval runs/cnn_digits
  nntrain eval runs/house_prices --data new_houses.csv --json")]
    Eval(EvalArgs),
    /// Predict every row of a CSV file, or pictures, or clips
    #[command(after_help = "Examples:
  nntrain predict runs/house_prices new.csv -o prices.csv
  cat new.csv | nntrain predict runs/iris - --probabilities
  nntrain predict runs/flowers new_pictures/ -o flowers.csv
  nntrain predict runs/lstm_sunspots sunspots.csv --steps 120")]
    Predict(PredictArgs),
    /// Go on with a text, or make pictures of noise, as the model was trained to
    #[command(after_help = "Examples:
  nntrain generate runs/char_transformer --prompt 'ROMEO:' --tokens 500
  nntrain generate runs/char_transformer --tokens 200 --temperature 0.5 --seed 3
  nntrain generate runs/gan_mnist -n 64 -o grid.png")]
    Generate(GenerateArgs),
    /// Layers, output shapes, parameters, memory and FLOPs
    #[command(after_help = "Examples:
  nntrain summary configs/cnn_mnist.toml
  nntrain summary runs/cnn_mnist/best.safetensors")]
    Summary(SummaryArgs),
    /// Find every mistake in configs, without training
    #[command(after_help = "Examples:
  nntrain check configs/*.toml")]
    Check(CheckArgs),
    /// Show where the time of a training step goes
    ///
    /// Trains for about two seconds, as `fit` would, and shows the median times of a step: of each layer's
    /// forward and backward pass, with the arithmetic done and the bytes moved, and of the step's phases. No
    /// run folder is written.
    ///
    /// `Of peak` is the larger of two shares of what this machine was measured to do at most: of the
    /// multiply-adds that its threads do in registers (fma), and of the time in which a copy moves the same
    /// bytes, from the caches or main memory, whichever they must be in by then (copy). `Busy` is the
    /// share of the threads' time in which they had work.
    #[command(after_help = "Examples:
  nntrain time configs/cnn_mnist.toml
  nntrain time configs/mlp_mnist.toml --threads 1 --set training.batch_size=128
  nntrain time configs/cnn_digits.toml --steps 500 --json")]
    Time(TimeArgs),
}

#[derive(Debug, Args)]
pub struct Common {
    /// Where datasets are looked for first, each in DIR/<type>/
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Threads to compute on [default: all that this process may use]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<usize>,
}

impl Common {
    pub fn options(&self, show_progress: bool) -> Options {
        Options { data_dir: self.data_dir.clone(), threads: self.threads, show_progress }
    }
}

fn threads(text: &str) -> Result<usize, String> {
    whole(text, 1024)
}

fn whole(text: &str, most: usize) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(n) if (1..=most as i64).contains(&n) => Ok(n as usize),
        Ok(n) => Err(format!("must be from 1 to {most}, got {n}")),
        Err(_) => Err("must be a whole number".into()),
    }
}

#[derive(Debug, Args)]
pub struct FitArgs {
    /// The config of a new run
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub config: Option<PathBuf>,
    /// Go on with a run from its last checkpoint, with its own config
    #[arg(long, value_name = "RUN", conflicts_with_all = ["set", "run_dir", "overwrite", "seed"])]
    pub resume: Option<PathBuf>,
    /// Change a key of the config; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Number of epochs; with --resume it may extend a finished run
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub epochs: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// The run's folder [default: runs/<name>, or <name>-2, -3, ... where that exists]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Replace the run that the folder holds
    #[arg(long)]
    pub overwrite: bool,
    /// 0: silent, 1: a progress bar, 2: a line per epoch [default: 1 at a terminal, else 2]
    #[arg(long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub verbose: Option<u8>,
    #[command(flatten)]
    pub common: Common,
}

impl FitArgs {
    /// `--set`, `--epochs` and `--seed` as changes of the config.
    pub fn sets(&self) -> Vec<String> {
        let epochs = self.epochs.iter().map(|n| format!("training.epochs={n}"));
        let seed = self.seed.iter().map(|n| format!("seed={n}"));
        self.set.iter().cloned().chain(epochs).chain(seed).collect()
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Split {
    Test,
    Validation,
    Train,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A run's folder (its best checkpoint) or a checkpoint file
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub run: PathBuf,
    /// Judge this file or folder instead of the run's own data
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "split")]
    pub data: Option<PathBuf>,
    /// Which part of the run's data [default: test where there is one, else validation]
    #[arg(long)]
    pub split: Option<Split>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Tell on stderr how long it took, without reading the data
    #[arg(long)]
    pub time: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A run's folder (its best checkpoint) or a checkpoint file
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub run: PathBuf,
    /// CSV with the feature columns (`-` is standard input); for a network on pictures also a folder, a PNG
    /// or JPEG, or a CSV with a column `file`; for one on clips a folder of frames, a folder of such folders, or a
    /// CSV with a column `clip`
    pub input: PathBuf,
    /// Write here instead of to standard output; for masks a folder
    #[arg(short, long, value_name = "OUT.csv|DIR")]
    pub output: Option<PathBuf>,
    /// Also one column p_<class> for each class
    #[arg(long)]
    pub probabilities: bool,
    /// Of a series: how many points to go on, one row each (default: as many as the model predicts at once)
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// A run's folder (its best checkpoint) or a checkpoint file
    #[arg(value_name = "RUN|CHECKPOINT")]
    pub run: PathBuf,
    /// The text to go on with
    #[arg(long)]
    pub prompt: Option<String>,
    /// How many tokens: characters or words, as the model was trained [default: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = tokens)]
    pub tokens: Option<usize>,
    /// Below 1: likelier tokens are preferred; above: less likely ones get their chance; 0: always the
    /// likeliest [default: 1]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Draw only from the K likeliest tokens
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = top_k)]
    pub top_k: Option<usize>,
    /// How many samples, of a model that makes pictures [default: 64]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub samples: Option<u32>,
    /// The PNG to write them to, side by side, or a CSV with a row for each
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Another seed, another text or other pictures
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub common: Common,
}

fn tokens(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number of 0 or more".into())
}

fn top_k(text: &str) -> Result<usize, String> {
    whole(text, u32::MAX as usize)
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(t) if t >= 0.0 && t.is_finite() => Ok(t),
        _ => Err("expected a number of 0 or more".into()),
    }
}

#[derive(Debug, Args)]
pub struct SummaryArgs {
    #[arg(value_name = "CONFIG|CHECKPOINT")]
    pub path: PathBuf,
    /// Change a key of the config; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[arg(required = true, value_name = "CONFIG")]
    pub configs: Vec<PathBuf>,
    /// Change a key of the configs; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct TimeArgs {
    /// The config whose training is timed
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Change a key of the config; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of everything random
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Steps to measure, of whole batches [default: as many as take two seconds]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = steps)]
    pub steps: Option<usize>,
    /// Print one JSON object; times are in seconds
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub common: Common,
}

impl TimeArgs {
    /// `--set` and `--seed` as changes of the config.
    pub fn sets(&self) -> Vec<String> {
        self.set.iter().cloned().chain(self.seed.iter().map(|n| format!("seed={n}"))).collect()
    }
}

fn steps(text: &str) -> Result<usize, String> {
    whole(text, MOST_STEPS)
}
