//! `nntrain check`: everything that `fit` checks, and what training will take, without training.

use std::path::Path;

use crate::cli::args::CheckArgs;
use crate::cli::print;
use crate::diag::{Failure, Result};
use crate::model::Experiment;
use crate::model::lower::Purpose;
use crate::report::table::{bytes, count};
use crate::train::saved::training_bytes;
use crate::train::{Options, Prepared};

/// Checks every config; says of each that it is good, or all that is wrong.
pub fn check(args: &CheckArgs) -> Result<()> {
    let (mut wrong, mut failed) = (vec![], None);
    for config in &args.configs {
        match check_one(config, &args.set, &args.common.options(true)) {
            Ok(good) => print(&good)?,
            Err(Failure::Input(diags)) => wrong.extend(diags),
            // What the machine cannot do for one config says nothing of the others.
            Err(Failure::Run(diag)) => failed = failed.or(Some(diag)),
            Err(other) => return Err(other),
        }
    }
    match failed {
        None if wrong.is_empty() => Ok(()),
        Some(diag) if wrong.is_empty() => Err(Failure::Run(diag)),
        failed => {
            wrong.extend(failed);
            Err(Failure::Input(wrong))
        }
    }
}

fn check_one(config: &Path, sets: &[String], options: &Options) -> Result<String> {
    let (prepared, model) = Prepared::new(Experiment::open(config, sets)?, options)?;
    let (batch, samples) = (prepared.batch_size(), prepared.dataset.train.len());
    let programs = model.plan(Purpose::Train, batch, options.threads())?;
    let training = &prepared.experiment.training;
    let memory = bytes(training_bytes(&model.params, &programs, &prepared.experiment.task));
    let forward: f64 = model.rows.iter().map(|r| r.flops).sum();
    // Forward, and both gradients of about the same work each.
    let work = 3.0 * forward * samples as f64;
    let mut lines = vec![format!(
        "{}: good. {} training samples, {} weights, {} epochs of {} steps, {} an epoch, {memory} besides the data",
        config.display(),
        count(samples),
        count(model.params.counts().0),
        training.epochs,
        samples.div_ceil(batch),
        crate::report::table::flops(work),
    )];
    lines.extend(prepared.notes().map(|note| format!("  {note}")));
    Ok(lines.join("\n") + "\n")
}
