//! `nntrain check`: everything that `fit` checks, and what training will take, without training.

use crate::cli::args::CheckArgs;
use crate::cli::print;
use crate::diag::{Failure, Result};
use crate::model::Experiment;
use crate::train::Prepared;

/// Checks every config; says of each that it is good, or all that is wrong.
pub fn check(args: &CheckArgs) -> Result<()> {
    let mut wrong = vec![];
    for config in &args.configs {
        let options = args.common.options(true);
        let prepared = Experiment::open(config, &args.set).and_then(|e| Prepared::new(e, &options));
        match prepared {
            Ok((prepared, model)) => {
                let (weights, _) = model.params.counts();
                let (batch, samples) = (prepared.batch_size(), prepared.dataset.train.len());
                let epochs = prepared.experiment.training.epochs;
                let steps = samples.div_ceil(batch);
                let line = format!(
                    "{}: good. {} training samples, {weights} weights, {epochs} epochs of {steps} steps\n",
                    config.display(),
                    samples,
                );
                print(&line)?;
                prepared.dataset.notes.iter().try_for_each(|note| print(&format!("  {note}\n")))?;
            }
            // A failure of the machine ends the command; mistakes in one config do not hide another's.
            Err(Failure::Input(diags)) => wrong.extend(diags),
            Err(other) => return Err(other),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Input(wrong)) }
}
