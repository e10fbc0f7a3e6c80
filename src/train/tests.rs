//! Ten steps of training against Keras: every optimizer on a small network, and a CNN with batch
//! normalization and a regularizer.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::data::preprocessing::{
    Column, ColumnEncoding, InputEncoding, NamedTarget, Preprocessing, TargetEncoding, ValueColumn,
};
use crate::data::{Dataset, Part, Rows, Table};
use crate::graph::Precision;
use crate::kernels::par::Pool;
use crate::model::Experiment;
use crate::model::lower::{Model, PREDICT};
use crate::shape::Shape;
use crate::testing::golden;
use crate::train::trainer::Trainer;
use crate::train::{Options, Prepared};

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
            window: None,
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
        let prepared = Prepared { experiment, dataset, class_weights: None, initial: Default::default() };
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
        golden::all_close(&wide(trainer.session.output(PREDICT, 0, batch)), &expected, tolerance, name);
    }
}

/// A network with blocks.
const BLOCKS: &str = r#"
[blocks.convolution]
required = ["filters"]
params = { strides = 1 }
layers = [
  { type = "Conv2D", filters = "$filters", strides = "$strides", kernel_size = 3, padding = "same" },
  { type = "BatchNormalization" },
]
[blocks.residual]
required = ["filters"]
params = { strides = 1 }
layers = [
  { type = "convolution", name = "residue", filters = "$filters", strides = "$strides" },
  { type = "Conv2D", name = "shortcut", filters = "$filters", kernel_size = 1, strides = "$strides", from = "$input", when = "shape_differs" },
  { type = "Add", from = ["residue", "shortcut"] },
  { type = "ReLU" },
]
[[layers]]
type = "residual"
filters = 4
[[layers]]
type = "residual"
filters = 4
repeat = 2
[[layers]]
type = "residual"
filters = 6
strides = 2
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"#;

/// The same, its layers written out under the names that blocks give them, with `.` for `/`.
fn written_out() -> String {
    let mut toml = String::new();
    let mut input = "input".to_string();
    let uses = [("residual", 4, 1, true), ("residual_1.1", 4, 1, false), ("residual_1.2", 4, 1, false)];
    for (name, filters, strides, projected) in uses.into_iter().chain([("residual_2", 6, 2, true)]) {
        let conv =
            format!("type = \"Conv2D\"\nfilters = {filters}\nstrides = {strides}\nfrom = \"{input}\"\n");
        toml += &format!(
            "[[layers]]\n{conv}name = \"{name}.residue.conv2d\"\nkernel_size = 3\npadding = \"same\"\n"
        );
        let normalized = format!("{name}.residue.batch_normalization");
        toml += &format!("[[layers]]\ntype = \"BatchNormalization\"\nname = \"{normalized}\"\n");
        if projected {
            toml += &format!("[[layers]]\n{conv}name = \"{name}.shortcut\"\nkernel_size = 1\n");
            input = format!("{name}.shortcut");
        }
        toml += &format!(
            "[[layers]]\ntype = \"Add\"\nname = \"{name}.add\"\nfrom = [\"{normalized}\", \"{input}\"]\n"
        );
        toml += &format!("[[layers]]\ntype = \"ReLU\"\nname = \"{name}.re_lu\"\n");
        input = format!("{name}.re_lu");
    }
    toml + "[[layers]]\ntype = \"Flatten\"\n[[layers]]\ntype = \"Dense\"\nunits = 10\nactivation = \"softmax\"\n"
}

/// From the same weights both take the same steps, to the same bits.
#[test]
fn blocks_are_the_layers_written_out() {
    let pool = Arc::new(Pool::new(2));
    let [blocks, flat] = [BLOCKS.to_string(), written_out()].map(|layers| {
        let toml = format!(
            "[dataset]\ntype = \"digits\"\n{layers}[training]\nbatch_size = 16\noptimizer = \"adam\"\n\
             loss = \"sparse_categorical_crossentropy\"\n"
        );
        let experiment = Experiment::parse("blocks", &toml, &[], Path::new("."), "blocks");
        let experiment = experiment.unwrap_or_else(|f| panic!("{}\n{toml}", f.diags()[0]));
        Prepared::new(experiment, &Options::default()).unwrap_or_else(|f| panic!("{}", f.diags()[0]))
    });
    let mut a = Trainer::new(&blocks.0, &blocks.1, pool.clone()).unwrap();
    let mut b = Trainer::new(&flat.0, &flat.1, pool).unwrap();
    let count = blocks.1.params.decls.len();
    assert_eq!(flat.1.params.decls.len(), count);
    for index in 0..count {
        let (ours, other) = (&blocks.1.params.decls[index], &flat.1.params.decls[index]);
        let (layer, weight) = ours.path.rsplit_once('/').unwrap();
        assert_eq!(format!("{}/{weight}", layer.replace('/', ".")), other.path);
        assert_eq!(ours.shape, other.shape);
        b.session.param_mut(index).copy_from_slice(a.session.param(index));
    }
    for trainer in [&mut a, &mut b] {
        trainer.begin_epoch(0);
    }
    for step in 0..5 {
        let losses =
            [a.train_step(&blocks.0.dataset.train).unwrap(), b.train_step(&flat.0.dataset.train).unwrap()];
        assert_eq!(losses[0].to_bits(), losses[1].to_bits(), "step {step}: {losses:?}");
    }
    for index in 0..count {
        let bits = |t: &Trainer| t.session.param(index).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&a), bits(&b), "{}", blocks.1.params.decls[index].path);
    }
}

/// Two inputs, a shared layer and two outputs with weighted losses, as Keras trains and judges them.
#[test]
fn several_inputs_and_outputs_follow_keras() {
    let file = golden::load("functional.json");
    let file = &golden::cases(&file)[0];
    let toml = r#"
        [dataset]
        type = "digits"
        [inputs.left]
        columns = "left_*"
        [inputs.right]
        [[layers]]
        type = "Dense"
        units = 5
        activation = "tanh"
        name = "tower"
        from = "left"
        [[layers]]
        type = "Shared"
        layer = "tower"
        from = "right"
        [[layers]]
        type = "Concatenate"
        name = "joint"
        from = ["tower", "shared"]
        [[layers]]
        type = "Dense"
        units = 3
        activation = "softmax"
        name = "kind"
        [[layers]]
        type = "Dense"
        units = 2
        name = "size"
        from = "joint"
        [training]
        shuffle = false
        optimizer = { type = "SGD", learning_rate = 0.1, momentum = 0.9 }
        [[training.loss]]
        output = "kind"
        type = "sparse_categorical_crossentropy"
        metrics = ["accuracy"]
        [[training.loss]]
        output = "size"
        type = "mse"
        weight = 0.25
        metrics = ["mae"]
    "#;
    let batch = file["batch"].as_u64().unwrap();
    let sets = [format!("training.batch_size={batch}")];
    let experiment = Experiment::parse("functional", toml, &sets, Path::new("."), "functional")
        .unwrap_or_else(|f| panic!("{}", f.diags()[0]));
    let names: Vec<String> = experiment.task.measured(false).into_iter().map(|(name, _)| name).collect();
    let dataset = functional_dataset(file);
    let model = Model::lower(&experiment, &dataset.input_shape, &dataset.preprocessing)
        .unwrap_or_else(|f| panic!("{}", f.diags()[0]));
    let dataset = Dataset { validation: Some(dataset.train.clone()), ..dataset };
    let prepared = Prepared { experiment, dataset, class_weights: None, initial: Default::default() };
    let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
    let paths: Vec<String> = model.params.decls.iter().map(|d| d.path.clone()).collect();
    assert_eq!(paths.len(), file["initial_weights"].as_object().unwrap().len(), "{paths:?}");
    for (index, path) in paths.iter().enumerate() {
        let values = golden::tensor(&file["initial_weights"][path]);
        trainer.session.param_mut(index).iter_mut().zip(&values).for_each(|(p, v)| *p = *v as f32);
    }
    let part = &prepared.dataset.train;
    for step in file["steps"].as_array().unwrap() {
        let done = trainer.steps_done;
        trainer.begin_epoch(0);
        trainer.steps_done = done;
        trainer.train_step(part).unwrap();
        for (name, value) in names.iter().zip(trainer.values()) {
            golden::close(value, step[name].as_f64().unwrap(), 1e-5, &format!("step {done}: {name}"));
        }
    }
    for (index, path) in paths.iter().enumerate() {
        let expected: Vec<f64> = golden::tensor(&file["final_weights"][path]).iter().copied().collect();
        let ours: Vec<f64> = trainer.session.param(index).iter().map(|v| f64::from(*v)).collect();
        golden::all_close(&ours, &expected, 1e-5, path);
    }
    for (name, value) in names.iter().zip(trainer.evaluate(part).unwrap()) {
        golden::close(value, file["judged"][name].as_f64().unwrap(), 1e-5, &format!("judged: {name}"));
    }
}

/// Rows of six columns, and two targets.
fn functional_dataset(file: &Value) -> Dataset {
    let numbers = |key: &str| -> Vec<f32> { golden::tensor(&file[key]).iter().map(|v| *v as f32).collect() };
    let (rows, kinds, sizes) = (numbers("rows"), numbers("kinds"), numbers("sizes"));
    let targets = kinds.iter().zip(sizes.chunks(2)).flat_map(|(kind, size)| [*kind, size[0], size[1]]);
    let targets = Rows::F32 { data: targets.collect(), width: 3 };
    let value = |name: &str| ValueColumn { name: name.into(), offset: 0.0, scale: 1.0 };
    let part = |name: &str, encoding| NamedTarget { name: name.into(), encoding };
    let kinds = TargetEncoding::Classes {
        column: "kind".into(),
        names: ["a", "b", "c"].map(String::from).to_vec(),
        one_hot: false,
    };
    let sizes = TargetEncoding::Values { columns: vec![value("size_0"), value("size_1")] };
    let column = |name: &str| Column {
        name: name.into(),
        encoding: ColumnEncoding::Number { offset: 0.0, scale: 1.0, fill: None },
    };
    let names = ["left_0", "left_1", "left_2", "right_0", "right_1", "right_2"];
    Dataset {
        input_shape: Shape::batch([6]),
        train: Part::whole(Table { inputs: Rows::F32 { data: rows, width: 6 }, targets, weights: None }),
        validation: None,
        test: None,
        preprocessing: Preprocessing {
            window: None,
            input: InputEncoding::Columns {
                columns: names.map(column).to_vec(),
                missing_values: vec![],
                header: true,
                delimiter: ',',
            },
            target: TargetEncoding::Several { parts: vec![part("kind", kinds), part("size", sizes)] },
        },
        fingerprint: String::new(),
        notes: vec![],
    }
}
