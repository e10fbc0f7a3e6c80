//! Ten steps of training against Keras: every optimizer on a small network, and a CNN with batch
//! normalization and a regularizer.

use std::path::Path;
use std::sync::Arc;

use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::kernels::par::Pool;
use crate::model::Experiment;
use crate::model::lower::{LOSS, Model, OUTPUT, PREDICT, TRAIN};
use crate::optim::Optimizer;
use crate::shape::Shape;
use crate::testing::golden;

fn inline(body: &str) -> String {
    format!("{{ {} }}", body.trim().replace('\n', ", "))
}

#[test]
fn ten_steps_follow_keras() {
    let file = golden::load("curves.json");
    for case in golden::cases(&file) {
        let name = golden::text(case, "name");
        let model = &file["models"][golden::text(case, "model")];
        let layers = model["layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap());
        let layers: String = layers.map(|l| format!("[[layers]]\n{l}\n")).collect();
        let (optimizer, loss) = (inline(golden::text(case, "optimizer")), inline(golden::text(case, "loss")));
        let toml = format!(
            "[dataset]\ntype = \"digits\"\n{layers}[training]\noptimizer = {optimizer}\nloss = {loss}\n"
        );
        let experiment = Experiment::parse("curve", &toml, &[], Path::new("."), "curve")
            .unwrap_or_else(|f| panic!("{name}: {}\n{toml}", f.diags()[0]));
        let shape: Vec<usize> = golden::numbers(&model["input_shape"]).iter().map(|v| *v as usize).collect();
        let batches = model["batches"].as_array().unwrap();
        let classes = golden::tensor(&case["prediction"]).shape()[1];
        let preprocessing = Preprocessing {
            input: InputEncoding::Pixels { shape: shape.clone(), divisor: 1.0 },
            target: TargetEncoding::Classes {
                column: "y".into(),
                names: (0..classes).map(|c| c.to_string()).collect(),
                one_hot: false,
            },
        };
        let lowered = Model::lower(&experiment, &Shape::batch(shape), &preprocessing)
            .unwrap_or_else(|f| panic!("{name}: {}", f.diags()[0]));
        let n = golden::tensor(&batches[0]["x"]).shape()[0];
        let mut session = lowered.session(n, Arc::new(Pool::new(2)));
        for index in 0..session.params().decls.len() {
            let path = session.params().decls[index].path.clone();
            let values = golden::tensor(&model["initial_weights"][&path]);
            session.param_mut(index).iter_mut().zip(&values).for_each(|(p, v)| *p = *v as f32);
        }
        let layout = session.layout().clone();
        let mut tensors: Vec<_> =
            layout.ranges.iter().filter(|r| r.end <= layout.trainable_len).cloned().collect();
        tensors.sort_by_key(|r| r.start);
        let mut optimizer =
            Optimizer::new(experiment.training.optimizer.clone(), &tensors, layout.trainable_len);
        for (step, (batch, expected)) in batches.iter().zip(golden::numbers(&case["losses"])).enumerate() {
            let (x, y) = (golden::tensor(&batch["x"]), golden::tensor(&batch["y"]));
            let [inputs, targets, weights] = session.batch_inputs(TRAIN, n);
            inputs.iter_mut().zip(&x).for_each(|(i, v)| *i = *v as f32);
            targets.iter_mut().zip(&y).for_each(|(t, v)| *t = *v as f32);
            weights.fill(1.0);
            let penalty = session.penalty();
            session.run(TRAIN, n, step as u32);
            let sum: f64 = session.output(TRAIN, LOSS, n).iter().map(|l| f64::from(*l)).sum();
            golden::close(sum / n as f64 + penalty, expected, 1e-5, &format!("{name}: loss of step {step}"));
            let pool = session.pool().clone();
            let (weights, grads) = session.weights_and_grads();
            optimizer.step(&pool, weights, grads);
        }
        for index in 0..session.params().decls.len() {
            let path = session.params().decls[index].path.clone();
            let expected: Vec<f64> = golden::tensor(&case["final_weights"][&path]).iter().copied().collect();
            let ours: Vec<f64> = session.param(index).iter().map(|v| f64::from(*v)).collect();
            golden::all_close(&ours, &expected, 1e-4, &format!("{name}: {path} at the end"));
        }
        let x = golden::tensor(&batches[0]["x"]);
        session.input(PREDICT, 0, n).iter_mut().zip(&x).for_each(|(i, v)| *i = *v as f32);
        session.run(PREDICT, n, 0);
        let ours: Vec<f64> = session.output(PREDICT, OUTPUT, n).iter().map(|v| f64::from(*v)).collect();
        let expected: Vec<f64> = golden::tensor(&case["prediction"]).iter().copied().collect();
        golden::all_close(&ours, &expected, 1e-4, &format!("{name}: prediction"));
    }
}
