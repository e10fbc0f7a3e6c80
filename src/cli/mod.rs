//! The command line: arguments to calls, failures to messages and exit codes.

mod args;
mod check;
mod summary;
mod time;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser;

use crate::cli::args::{Cli, Command, EvalArgs, FitArgs, GenerateArgs, Split};
use crate::diag::{Diag, Failure, Result};
use crate::model::Experiment;
use crate::train::evaluate::{self, Chosen};
use crate::train::fit::{self, FitOptions, INTERRUPTED};
use crate::train::generate::{self, Wish};
use crate::train::predict;
use crate::train::progress::Verbosity;
use crate::train::{Loaded, samples};

/// Runs the program; the exit codes are in `diag::Failure`.
pub fn main() -> ExitCode {
    // clap prints its own messages and exits with 2 on bad usage, as we do.
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn report(failure: &Failure) {
    if let Failure::Interrupted(message) = failure {
        eprintln!("{message}");
    }
    let plain = |name: &str, value: Option<&str>| {
        std::env::var(name).is_ok_and(|v| value.map_or(!v.is_empty(), |wanted| v == wanted))
    };
    let colour = std::io::stderr().is_terminal() && !plain("NO_COLOR", None) && !plain("TERM", Some("dumb"));
    let mut diags: Vec<&Diag> = failure.diags().iter().collect();
    // In the order of the file, as a reader goes through it; what has no place comes first.
    diags.sort_by_key(|d| {
        d.at.as_ref().map(|at| (at.source.name.clone(), at.source.first_line, at.span.start))
    });
    for diag in diags {
        eprintln!("{}\n", diag.render(colour));
    }
    if failure.diags().len() > 1 {
        eprintln!("{} errors", failure.diags().len());
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Fit(args) => fit(&args),
        Command::Eval(args) => eval(&args),
        Command::Predict(args) => {
            catch_interrupts("stopping. Again to quit at once.")?;
            let options = args.common.options(false);
            let output = args.output.as_deref();
            let notes =
                predict::predict(&args.run, &args.input, output, args.probabilities, args.steps, &options)?;
            notes.iter().for_each(|note| eprintln!("note: {note}"));
            Ok(())
        }
        Command::Generate(args) => {
            catch_interrupts("stopping. Again to quit at once.")?;
            generate(args)
        }
        Command::Summary(args) => print(&summary::summary(&args)?),
        Command::Check(args) => check::check(&args),
        Command::Time(args) => print(&time::time(&args)?),
    }
}

fn fit(args: &FitArgs) -> Result<()> {
    let verbosity = Verbosity::choose(args.verbose);
    let options = FitOptions { common: args.common.options(verbosity != Verbosity::Silent), verbosity };
    let folder = match (&args.config, &args.resume) {
        (Some(config), _) => {
            let experiment = Experiment::open(config, &args.sets())?;
            catch_interrupts("saving after this step. Again to quit at once.")?;
            fit::fit(experiment, args.run_dir.as_deref(), args.overwrite, &options)?
        }
        (None, Some(run)) => {
            catch_interrupts("saving after this step. Again to quit at once.")?;
            fit::resume(run, args.epochs, &options)?
        }
        (None, None) => unreachable!("clap demands one of the two"),
    };
    print(&format!("{}\n", folder.path().display()))
}

fn generate(args: GenerateArgs) -> Result<()> {
    let loaded = Loaded::open(&args.run, &args.common.options(false))?;
    let GenerateArgs { run, prompt, tokens, temperature, top_k, samples, output, seed, .. } = args;
    let told =
        |words: &[(&str, bool)]| words.iter().find(|(_, there)| *there).map(|(word, _)| word.to_string());
    if loaded.sampler.is_none() {
        if let Some(word) = told(&[("-n", samples.is_some()), ("-o", output.is_some())]) {
            return Err(Diag::new(format!("{word} is for models that make pictures of noise")).into());
        }
        let (tokens, temperature) = (tokens.unwrap_or(200), temperature.unwrap_or(1.0));
        let wish = Wish { prompt: prompt.unwrap_or_default(), tokens, temperature, top_k, seed };
        let note = generate::generate(loaded, &run, &wish, &mut std::io::stdout().lock())?;
        note.iter().for_each(|note| eprintln!("note: {note}"));
        return Ok(());
    }
    let of_text = [
        ("--prompt", prompt.is_some()),
        ("--tokens", tokens.is_some()),
        ("--temperature", temperature.is_some()),
        ("--top-k", top_k.is_some()),
    ];
    if let Some(word) = told(&of_text) {
        return Err(Diag::new(format!("{word} is for models that go on with a text")).into());
    }
    let Some(output) = output else {
        return Err(Diag::new("say where the samples shall go")
            .hint("-o grid.png, or -o samples.csv")
            .into());
    };
    samples::write(loaded, samples.unwrap_or(64) as usize, seed, &output)
}

fn eval(args: &EvalArgs) -> Result<()> {
    let chosen = match (&args.data, args.split) {
        (Some(path), _) => Chosen::Data(path.clone()),
        (None, Some(Split::Test)) => Chosen::Test,
        (None, Some(Split::Validation)) => Chosen::Validation,
        (None, Some(Split::Train)) => Chosen::Train,
        (None, None) => Chosen::Default,
    };
    let evaluation = evaluate::evaluate(&args.run, &chosen, &args.common.options(false))?;
    if let Some(note) = &evaluation.note {
        eprintln!("note: {note}");
    }
    if args.time {
        let (samples, seconds) = (evaluation.samples, evaluation.seconds);
        eprintln!("{samples} samples in {seconds:.3} s: {:.0} samples/s", samples as f64 / seconds);
    }
    print(&if args.json { format!("{:#}\n", evaluation.json()) } else { evaluation.text() })
}

/// The first Ctrl-C lets the command end in its own way, which `what` tells; the second quits at once.
fn catch_interrupts(what: &'static str) -> Result<()> {
    let set = ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nInterrupted: {what}");
    });
    set.map_err(|e| Failure::run(format!("cannot catch Ctrl-C: {e}")))
}

/// Results go to standard output. A reader who has seen enough is no failure.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}
