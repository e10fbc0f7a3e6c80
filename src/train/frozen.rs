//! `trainable = false`: frozen weights stay as they are, byte for byte, and cost no backward pass.

use std::path::Path;
use std::sync::Arc;

use crate::compile::Step;
use crate::kernels::par::Pool;
use crate::model::Experiment;
use crate::model::lower::{EVAL, Model, TRAIN};
use crate::train::trainer::Trainer;
use crate::train::{Options, Prepared};

/// Frozen layers between trained ones, with everything that could move them.
const NETWORK: &str = r#"
[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 3
[[layers]]
type = "BatchNormalization"
name = "frozen_norm"
trainable = false
gamma_regularizer = "l2"
[[layers]]
type = "Conv2D"
name = "frozen"
filters = 4
kernel_size = 3
trainable = false
kernel_regularizer = { type = "L1L2", l1 = 0.1, l2 = 0.1 }
[[layers]]
type = "PReLU"
name = "frozen_slope"
trainable = false
alpha_initializer = { type = "Constant", value = 0.25 }
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"#;

const SGD: &str = "\"sgd\"";

fn prepared(layers: &str, optimizer: &str) -> (Prepared, Model) {
    // With no epochs asked for a network may also be frozen as a whole.
    let toml = format!(
        "[dataset]\ntype = \"digits\"\nlimit = 64\n{layers}[training]\nepochs = 0\nbatch_size = 16\n\
         optimizer = {optimizer}\nloss = \"sparse_categorical_crossentropy\"\n"
    );
    let experiment = Experiment::parse("frozen", &toml, &[], Path::new("."), "frozen");
    let experiment = experiment.unwrap_or_else(|f| panic!("{}\n{toml}", f.diags()[0]));
    Prepared::new(experiment, &Options::default()).unwrap_or_else(|f| panic!("{}", f.diags()[0]))
}

/// Weights by path, as bits.
type Weights = Vec<(String, Vec<u32>)>;

fn weights(trainer: &Trainer) -> Weights {
    let decls = trainer.session.params().decls.iter().enumerate();
    let bits = |i| trainer.session.param(i).iter().map(|w| w.to_bits()).collect();
    decls.map(|(i, decl)| (decl.path.clone(), bits(i))).collect()
}

/// Trains for two epochs; the losses, and all weights before and after.
fn train(layers: &str, optimizer: &str) -> (Vec<f64>, [Weights; 2]) {
    let (prepared, model) = prepared(layers, optimizer);
    let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
    let before = weights(&trainer);
    let mut losses = vec![];
    for epoch in 0..2 {
        trainer.begin_epoch(epoch);
        while trainer.steps_done < trainer.steps_per_epoch() {
            losses.push(trainer.train_step(&prepared.dataset.train).unwrap());
        }
    }
    (losses, [before, weights(&trainer)])
}

#[test]
fn no_optimizer_moves_frozen_weights() {
    for optimizer in [
        "{ type = \"SGD\", momentum = 0.9, nesterov = true, weight_decay = 0.1 }",
        "{ type = \"Adam\", weight_decay = 0.1, global_clipnorm = 1.0 }",
        "{ type = \"AdamW\", amsgrad = true, clipnorm = 0.5 }",
        "{ type = \"Adam\", use_ema = true, ema_momentum = 0.9, ema_overwrite_frequency = 3 }",
        "{ type = \"RMSprop\", momentum = 0.5, centered = true }",
        "{ type = \"Lion\", weight_decay = 0.1 }",
        "{ type = \"Nadam\", gradient_accumulation_steps = 2 }",
    ] {
        let (_, [before, after]) = train(NETWORK, optimizer);
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            let frozen = path.starts_with("frozen");
            assert_eq!(before == after, frozen, "{optimizer}: {path}");
        }
    }
}

/// As in Keras, whose `trainable = False` on this layer means inference.
#[test]
fn a_frozen_batch_normalization_infers() {
    let (prepared, model) = prepared(NETWORK, SGD);
    let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
    let place = |name: &str| model.params.find(&format!("frozen_norm/{name}")).unwrap();
    trainer.session.param_mut(place("moving_mean")).copy_from_slice(&[0.5, -0.25, 0.0, 1.0]);
    trainer.session.param_mut(place("moving_variance")).copy_from_slice(&[4.0, 0.5, 1.0, 0.1]);
    trainer.begin_epoch(0);
    // Both programs see the weights from before the update.
    let rows: Vec<u32> = (0..16).collect();
    let outputs = [TRAIN, EVAL].map(|program| {
        crate::train::setup::fill(&mut trainer.session, program, &prepared.dataset.train, &rows, None);
        trainer.session.run(program, 16, 0);
        trainer.session.output(program, 0, 16).to_vec()
    });
    for (a, b) in outputs[0].iter().zip(&outputs[1]) {
        assert!((a - b).abs() < 1e-6, "{a} in training, {b} in inference");
    }
}

/// Keras: `Layer.losses` goes over trainable weights only.
#[test]
fn frozen_weights_have_no_penalty() {
    let free = NETWORK.lines().filter(|line| !line.contains("regularizer")).collect::<Vec<_>>().join("\n");
    assert_eq!(train(NETWORK, SGD), train(&format!("{free}\n"), SGD));
    let trained = NETWORK.replace("trainable = false", "trainable = true");
    let free = free.replace("trainable = false", "trainable = true");
    let [(with, _), (without, _)] = [trained, format!("{free}\n")].map(|layers| train(&layers, SGD));
    assert!(with[0] > without[0] + 0.1, "{with:?} {without:?}");
}

/// Layers that have backward steps, and how many gradients those make for the samples.
fn backward(layers: &str) -> Vec<(String, bool)> {
    let (prepared, model) = prepared(layers, SGD);
    let trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(1))).unwrap();
    let program = trainer.session.program(TRAIN);
    let steps = program.steps.iter().filter_map(|step| match step {
        Step::Backward(s) => Some((program.nodes[s.node].layer.clone(), s.dx[0].is_some())),
        _ => None,
    });
    steps.collect()
}

#[test]
fn nothing_is_computed_below_the_lowest_trained_layer() {
    let layers = r#"
[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 3
activation = "relu"
trainable = false
[[layers]]
type = "BatchNormalization"
trainable = false
[[layers]]
type = "MaxPooling2D"
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 12
activation = "relu"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"#;
    let steps = backward(layers);
    let names: Vec<&str> = steps.iter().map(|(layer, _)| layer.as_str()).collect();
    assert_eq!(names[names.len() - 2..], ["dense_1", "dense"], "{steps:?}");
    assert!(
        !names.iter().any(|n| ["conv2d", "batch_normalization", "max_pooling2d"].contains(n)),
        "{steps:?}"
    );
    assert!(steps[names.len() - 2].1 && !steps[names.len() - 1].1, "no gradient of the features: {steps:?}");
    // Thawed, the first layer has its step again.
    let thawed = backward(&layers.replacen("trainable = false", "trainable = true", 1));
    assert_eq!(thawed.last().unwrap().0, "conv2d");
}

#[test]
fn a_network_may_be_frozen_as_a_whole() {
    let layers = "[[layers]]\ntype = \"Flatten\"\n[[layers]]\ntype = \"Dense\"\nunits = 10\n\
                  activation = \"softmax\"\ntrainable = false\n";
    let (losses, [before, after]) = train(layers, "{ type = \"AdamW\", use_ema = true, clipnorm = 1.0 }");
    assert_eq!(losses.len(), 8);
    assert_eq!(before, after);
    assert_eq!(backward(layers), []);
}
