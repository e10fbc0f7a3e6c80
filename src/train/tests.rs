//! Ten steps of training against Keras: every optimizer on a small network, and a CNN with batch
//! normalization and a regularizer.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::data::{Dataset, Part, Rows, Table};
use crate::graph::Precision;
use crate::kernels::par::Pool;
use crate::model::Experiment;
use crate::model::lower::{Model, OUTPUT, PREDICT};
use crate::shape::Shape;
use crate::testing::golden;
use crate::train::Prepared;
use crate::train::trainer::Trainer;

fn inline(body: &str) -> String {
    format!("{{ {} }}", body.trim().replace('\n', ", "))
}

/// The case's config, not shuffled, in the batches that Keras was given.
fn experiment(case: &Value, model: &Value, batch: usize) -> Experiment {
    let layers = model["layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap());
    let layers: String = layers.map(|l| format!("[[layers]]\n{l}\n")).collect();
    let (optimizer, loss) = (inline(golden::text(case, "optimizer")), inline(golden::text(case, "loss")));
    let toml = format!(
        "[dataset]\ntype = \"digits\"\n{layers}[training]\nbatch_size = {batch}\nshuffle = false\n\
         optimizer = {optimizer}\nloss = {loss}\n"
    );
    Experiment::parse("curve", &toml, &[], Path::new("."), "curve")
        .unwrap_or_else(|f| panic!("{}\n{toml}", f.diags()[0]))
}

/// All batches one after the other as a dataset.
fn dataset(model: &Value, classes: usize) -> Dataset {
    let numbers = |key: &str| -> Vec<f32> {
        let batches = model["batches"].as_array().unwrap().iter();
        batches.flat_map(|b| golden::tensor(&b[key]).iter().map(|v| *v as f32).collect::<Vec<_>>()).collect()
    };
    let shape: Vec<usize> = golden::numbers(&model["input_shape"]).iter().map(|v| *v as usize).collect();
    let inputs = Rows::F32 { data: numbers("x"), width: shape.iter().product() };
    let targets = Rows::F32 { data: numbers("y"), width: 1 };
    Dataset {
        input_shape: Shape::batch(shape.clone()),
        train: Part::whole(Table { inputs, targets, weights: None }),
        validation: None,
        test: None,
        preprocessing: Preprocessing {
            input: InputEncoding::Pixels { shape, divisor: 1.0 },
            target: TargetEncoding::Classes {
                column: "y".into(),
                names: (0..classes).map(|c| c.to_string()).collect(),
                one_hot: false,
            },
        },
        fingerprint: String::new(),
        notes: vec![],
    }
}

#[test]
fn ten_steps_follow_keras() {
    follow_keras(Precision::Float32, 1e-5, 1e-4);
}

/// Rounding the operands of all products changes losses and weights little.
#[test]
fn ten_steps_in_bf16_stay_close_to_keras() {
    follow_keras(Precision::Bf16, 1e-2, 2e-2);
}

/// Losses within the first tolerance, weights and predictions within the second.
fn follow_keras(precision: Precision, loss_tolerance: f64, tolerance: f64) {
    let file = golden::load("curves.json");
    for case in golden::cases(&file) {
        let name = golden::text(case, "name");
        let model = &file["models"][golden::text(case, "model")];
        let prediction = golden::tensor(&case["prediction"]);
        let batch = prediction.shape()[0];
        let mut experiment = experiment(case, model, batch);
        experiment.training.precision = precision;
        let dataset = dataset(model, prediction.shape()[1]);
        let lowered = Model::lower(&experiment, &dataset.input_shape, &dataset.preprocessing)
            .unwrap_or_else(|f| panic!("{name}: {}", f.diags()[0]));
        let prepared = Prepared { experiment, dataset, class_weights: None };
        let mut trainer = Trainer::new(&prepared, &lowered, Arc::new(Pool::new(2))).unwrap();
        let paths: Vec<String> = lowered.params.decls.iter().map(|d| d.path.clone()).collect();
        for (index, path) in paths.iter().enumerate() {
            let values = golden::tensor(&model["initial_weights"][path]);
            trainer.session.param_mut(index).iter_mut().zip(&values).for_each(|(p, v)| *p = *v as f32);
        }
        trainer.begin_epoch(0);
        for (step, expected) in golden::numbers(&case["losses"]).into_iter().enumerate() {
            let loss = trainer.train_step(&prepared.dataset.train).unwrap();
            golden::close(loss, expected, loss_tolerance, &format!("{name}: loss of step {step}"));
        }
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        for (index, path) in paths.iter().enumerate() {
            let expected: Vec<f64> = golden::tensor(&case["final_weights"][path]).iter().copied().collect();
            golden::all_close(
                &wide(trainer.session.param(index)),
                &expected,
                tolerance,
                &format!("{name}: {path}"),
            );
        }
        let x = golden::tensor(&model["batches"][0]["x"]);
        trainer.session.input(PREDICT, 0, batch).iter_mut().zip(&x).for_each(|(i, v)| *i = *v as f32);
        trainer.session.run(PREDICT, batch, 0);
        let expected: Vec<f64> = prediction.iter().copied().collect();
        golden::all_close(&wide(trainer.session.output(PREDICT, OUTPUT, batch)), &expected, tolerance, name);
    }
}
