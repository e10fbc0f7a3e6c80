//! `nntrain summary`: layers, shapes, parameters, memory, work.

use std::fmt::Write;

use crate::cli::args::SummaryArgs;
use crate::diag::Result;
use crate::model::Experiment;
use crate::model::lower::{EVAL, Model, PREDICT, Purpose, TRAIN};
use crate::report::table::{Align, bytes, count, flops, table};
use crate::shape::Shape;
use crate::train::saved::training_bytes;
use crate::train::setup::{self, Prepared};

/// The summary of a config, or of a checkpoint's.
pub fn summary(args: &SummaryArgs) -> Result<String> {
    let options = args.common.options(true);
    let is_config = args.path.extension().is_some_and(|e| e == "toml");
    let (experiment, model, batch) = if is_config {
        let (prepared, model) = Prepared::new(Experiment::open(&args.path, &args.set)?, &options)?;
        let batch = prepared.batch_size();
        (prepared.experiment, model, batch)
    } else {
        let file = setup::checkpoint_file(&args.path)?;
        let meta = crate::checkpoint::read(&file)?.meta;
        let experiment = setup::experiment_of(&meta, &file.display().to_string(), &args.set)?;
        let model = Model::lower(&experiment, &Shape::batch(meta.input_shape.clone()), &meta.preprocessing)?;
        let batch = experiment.training.batch_size;
        (experiment, model, batch)
    };
    let mut text = layers(&experiment.name, &model);
    let (trained, other) = model.params.counts();
    let frozen: usize = model.rows.iter().filter(|row| row.frozen).map(|row| row.parameters).sum();
    let kept = experiment.task.optimizer_numbers(&model.params);
    let work: f64 = model.rows.iter().map(|r| r.flops).sum();
    let programs = model.plan(Purpose::Train, batch, options.threads())?;
    let number = size_of::<f32>();
    writeln!(text, "Trained weights   {:>14}   {}", count(trained), bytes(trained * number)).unwrap();
    if frozen > 0 {
        writeln!(text, "Frozen weights    {:>14}   {}", count(frozen), bytes(frozen * number)).unwrap();
    }
    let other = other - frozen;
    writeln!(text, "Other weights     {:>14}   {}", count(other), bytes(other * number)).unwrap();
    writeln!(text, "Optimizer state   {:>14}   {}", count(kept), bytes(kept * number)).unwrap();
    let total = training_bytes(&model.params, &programs, &experiment.task);
    writeln!(text, "Memory of training with batch {batch}: {}, besides the data", bytes(total)).unwrap();
    let arena = |p: usize| bytes(programs[p].arena_len * number);
    writeln!(
        text,
        "  of it working memory: training {}, evaluation {}, prediction {}",
        arena(TRAIN),
        arena(EVAL),
        arena(PREDICT)
    )
    .unwrap();
    writeln!(text, "Work per sample: {} forward", flops(work)).unwrap();
    Ok(text)
}

fn layers(name: &str, model: &Model) -> String {
    let rows: Vec<Vec<String>> = model
        .rows
        .iter()
        .map(|row| {
            vec![
                format!("{} ({}{})", row.name, row.kind, if row.frozen { ", frozen" } else { "" }),
                row.output.to_string(),
                count(row.parameters),
                flops(row.flops),
                row.from.join(", "),
            ]
        })
        .collect();
    let columns = [
        ("Layer (type)", Align::Left),
        ("Output shape", Align::Left),
        ("Param #", Align::Right),
        ("Forward", Align::Right),
        ("Connected to", Align::Left),
    ];
    let mut text = format!("Model \"{name}\"\n{}\n", table(&columns, &rows));
    if !model.left_out.is_empty() {
        writeln!(text, "Left out, as the shape stays: {}\n", model.left_out.join(", ")).unwrap();
    }
    text
}
