//! The command line: arguments to calls, failures to messages and exit codes.

mod args;
mod check;
mod summary;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser;

use crate::cli::args::{Cli, Command, EvalArgs, FitArgs, Split};
use crate::diag::{Failure, Result};
use crate::model::Experiment;
use crate::train::evaluate::{self, Chosen};
use crate::train::fit::{self, FitOptions, INTERRUPTED};
use crate::train::predict;
use crate::train::progress::Verbosity;

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
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    for diag in failure.diags() {
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
            let options = args.common.options(false);
            let output = args.output.as_deref();
            let notes = predict::predict(&args.run, &args.input, output, args.probabilities, &options)?;
            notes.iter().for_each(|note| eprintln!("note: {note}"));
            Ok(())
        }
        Command::Summary(args) => print(&summary::summary(&args)?),
        Command::Check(args) => check::check(&args),
    }
}

fn fit(args: &FitArgs) -> Result<()> {
    let verbosity = Verbosity::choose(args.verbose);
    let options = FitOptions { common: args.common.options(verbosity != Verbosity::Silent), verbosity };
    let folder = match (&args.config, &args.resume) {
        (Some(config), _) => {
            let experiment = Experiment::open(config, &args.sets())?;
            catch_interrupts()?;
            fit::fit(experiment, args.run_dir.as_deref(), args.overwrite, &options)?
        }
        (None, Some(run)) => {
            catch_interrupts()?;
            fit::resume(run, args.epochs, &options)?
        }
        (None, None) => unreachable!("clap demands one of the two"),
    };
    print(&format!("{}\n", folder.path().display()))
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
    print(&if args.json { format!("{:#}\n", evaluation.json()) } else { evaluation.text() })
}

/// The first Ctrl-C finishes the step and saves; the second quits at once.
fn catch_interrupts() -> Result<()> {
    let set = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nInterrupted: saving after this step. Again to quit at once.");
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
