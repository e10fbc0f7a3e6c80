//! Blocks: names, edges, conditions, and the config that is stored.

use std::path::Path;

use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use crate::model::Experiment;
use crate::model::layers::{LayerNode, Network};
use crate::model::lower::Model;
use crate::model::scope::Feed;
use crate::shape::Shape;

fn parse(layers: &str) -> Experiment {
    let frame = "[dataset]\ntype = \"digits\"\n[training]\noptimizer = \"sgd\"\nloss = \"mse\"\n";
    parse_whole(&format!("{frame}{layers}"))
}

fn parse_whole(toml: &str) -> Experiment {
    let parsed = Experiment::parse("c.toml", toml, &[], Path::new("."), "c");
    parsed.unwrap_or_else(|f| panic!("{}\n{toml}", f.diags()[0]))
}

fn network(experiment: &Experiment) -> &Network {
    experiment.task.networks()[0]
}

/// `name <- inputs` of every layer.
fn edges(experiment: &Experiment) -> Vec<String> {
    let layers = &network(experiment).layers;
    let name = |feed: &Feed| match feed {
        Feed::Input(i) => network(experiment).inputs[*i].as_str(),
        Feed::Layer(i) => &layers[*i].name,
    };
    let from = |node: &LayerNode| node.from.iter().map(name).collect::<Vec<_>>().join(", ");
    layers.iter().map(|node| format!("{} <- {}", node.name, from(node))).collect()
}

/// The model for inputs of this shape, whose target has as many numbers as the output.
fn lower(experiment: &Experiment, input: &[usize], outputs: usize) -> Model {
    let preprocessing = Preprocessing {
        window: None,
        input: InputEncoding::Pixels { shape: input.to_vec(), divisor: 1.0 },
        target: TargetEncoding::Classes {
            column: "y".into(),
            names: (0..outputs).map(|i| i.to_string()).collect(),
            one_hot: true,
        },
    };
    Model::lower(experiment, &Shape::batch(input), &preprocessing)
        .unwrap_or_else(|f| panic!("{}", f.diags()[0]))
}

const NESTED: &str = r#"
[blocks.dense]
required = ["units"]
params = { activation = "relu" }
layers = [
  { type = "Dense", units = "$units", activation = "$activation" },
  { type = "Dense", units = 4 },
]
[blocks.Skip]
params = { norm = "BatchNormalization", regularizer = { type = "L2", l2 = 0.25 } }
layers = [
  { type = "dense", units = 4 },
  { type = "$norm" },
  { type = "Dense", units = 4, kernel_regularizer = "$regularizer", name = "out", trainable = false },
  { type = "Add", from = ["$input", "out"] },
]
[[layers]]
type = "Dense"
units = 4
[[layers]]
type = "Skip"
[[layers]]
type = "Skip"
name = "tail"
repeat = 2
norm = "LayerNormalization"
regularizer = "l1"
[[layers]]
type = "Skip"
from = "dense"
trainable = false
[[layers]]
type = "Concatenate"
from = ["tail", "skip_1", "input"]
"#;

#[test]
fn layers_are_named_after_their_use() {
    let expected = [
        "dense <- input",
        "skip/dense/dense <- dense",
        "skip/dense/dense_1 <- skip/dense/dense",
        "skip/batch_normalization <- skip/dense/dense_1",
        "skip/out <- skip/batch_normalization",
        "skip/add <- dense, skip/out",
        "tail/1/dense/dense <- skip/add",
        "tail/1/dense/dense_1 <- tail/1/dense/dense",
        "tail/1/layer_normalization <- tail/1/dense/dense_1",
        "tail/1/out <- tail/1/layer_normalization",
        "tail/1/add <- skip/add, tail/1/out",
        "tail/2/dense/dense <- tail/1/add",
        "tail/2/dense/dense_1 <- tail/2/dense/dense",
        "tail/2/layer_normalization <- tail/2/dense/dense_1",
        "tail/2/out <- tail/2/layer_normalization",
        "tail/2/add <- tail/1/add, tail/2/out",
        "skip_1/dense/dense <- dense",
        "skip_1/dense/dense_1 <- skip_1/dense/dense",
        "skip_1/batch_normalization <- skip_1/dense/dense_1",
        "skip_1/out <- skip_1/batch_normalization",
        "skip_1/add <- dense, skip_1/out",
        "concatenate <- tail/2/add, skip_1/add, input",
    ];
    assert_eq!(edges(&parse(NESTED)), expected);
}

#[test]
fn a_frozen_use_freezes_all_that_is_in_it() {
    let experiment = parse(NESTED);
    for node in &network(&experiment).layers {
        let trained = !node.name.starts_with("skip_1/") && !node.name.ends_with("/out");
        assert_eq!(node.trainable, trained, "{}", node.name);
    }
}

/// A name that a use gives means a layer beside the use, however the block passes it on; several
/// inputs are one `$input`.
#[test]
fn names_belong_to_where_they_are_written() {
    let experiment = parse(
        r#"
[blocks.inner]
required = ["other"]
layers = [{ type = "Add", name = "a", from = ["$other", "$input"] }, { type = "ReLU" }]
[blocks.outer]
required = ["other", "others"]
layers = [
  { type = "Concatenate", from = "$input", name = "a" },
  { type = "inner", other = "$other", name = "first" },
  { type = "inner", other = "a", name = "second" },
  { type = "inner", other = "$input", name = "third" },
  { type = "Add", from = ["third", "$others"] },
]
[[layers]]
type = "ReLU"
name = "a"
[[layers]]
type = "ReLU"
name = "b"
from = "input"
[[layers]]
type = "outer"
from = ["a", "b"]
other = "a"
others = ["a", "b"]
"#,
    );
    let expected = [
        "a <- input",
        "b <- input",
        "outer/a <- a, b",
        "outer/first/a <- a, outer/a",
        "outer/first/re_lu <- outer/first/a",
        "outer/second/a <- outer/a, outer/first/re_lu",
        "outer/second/re_lu <- outer/second/a",
        "outer/third/a <- a, b, outer/second/re_lu",
        "outer/third/re_lu <- outer/third/a",
        "outer/add <- outer/third/re_lu, a, b",
    ];
    assert_eq!(edges(&experiment), expected);
}

/// The stored config is the same network, and storing it again changes nothing.
#[test]
fn the_stored_config_is_the_same_network() {
    let experiment = parse(NESTED);
    let stored = experiment.resolved(Path::new("."));
    let again = parse_whole(&stored);
    assert_eq!(edges(&again), edges(&experiment), "{stored}");
    assert_eq!(network(&again).conditionals, network(&experiment).conditionals);
    for (a, b) in network(&again).layers.iter().zip(&network(&experiment).layers) {
        assert_eq!(format!("{:?} {}", a.layer, a.trainable), format!("{:?} {}", b.layer, b.trainable));
    }
    assert_eq!(again.resolved(Path::new(".")), stored);
}

/// Defaults are filled in, what a param stands for stays one, and a default that depends on a param
/// is left to it.
#[test]
fn the_stored_config_keeps_its_blocks() {
    let stored = parse(NESTED).resolved(Path::new("."));
    let lines: Vec<&str> = stored.lines().collect();
    for line in [
        "[blocks.dense]",
        "required = [\"units\"]",
        "params = { activation = \"relu\" }",
        "[[blocks.dense.layers]]",
        "units = \"$units\"",
        "activation = \"$activation\"",
        "kernel_initializer = \"GlorotUniform\"",
        "type = \"$norm\"",
        "epsilon = 0.001",
        "kernel_regularizer = \"$regularizer\"",
        "from = [\"$input\", \"out\"]",
        "name = \"skip_1\"",
        "repeat = 1",
        "repeat = 2",
        "norm = \"LayerNormalization\"",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{stored}");
    }
    let layers = stored.split("[training]").next().unwrap();
    assert!(!layers.contains("momentum"), "only one of the two norms has it:\n{stored}");
    assert!(!stored.contains("skip/") && !stored.contains("[blocks]"), "{stored}");
}

const SHORTCUTS: &str = r#"
[blocks.project]
required = ["filters"]
layers = [{ type = "Conv2D", filters = "$filters", kernel_size = 1 }, { type = "BatchNormalization" }]
[blocks.residual]
required = ["filters"]
layers = [
  { type = "Conv2D", filters = "$filters", kernel_size = 3, padding = "same", name = "residue" },
  { type = "project", filters = "$filters", from = "$input", when = "shape_differs" },
  { type = "Add", from = ["residue", "project"] },
]
[[layers]]
type = "residual"
filters = 4
repeat = 2
[[layers]]
type = "BatchNormalization"
when = "shape_differs"
[[layers]]
type = "residual"
filters = 6
[[layers]]
type = "GlobalAveragePooling2D"
"#;

#[test]
fn a_conditional_part_stands_where_it_changes_the_shape() {
    let model = lower(&parse(SHORTCUTS), &[5, 5, 3], 6);
    let rows: Vec<String> =
        model.rows.iter().map(|r| format!("{} <- {}", r.name, r.from.join(", "))).collect();
    let expected = [
        "residual/1/residue <- input",
        "residual/1/project/conv2d <- input",
        "residual/1/project/batch_normalization <- residual/1/project/conv2d",
        "residual/1/add <- residual/1/residue, residual/1/project/batch_normalization",
        "residual/2/residue <- residual/1/add",
        "residual/2/add <- residual/2/residue, residual/1/add",
        "residual_1/residue <- residual/2/add",
        "residual_1/project/conv2d <- residual/2/add",
        "residual_1/project/batch_normalization <- residual_1/project/conv2d",
        "residual_1/add <- residual_1/residue, residual_1/project/batch_normalization",
        "global_average_pooling2d <- residual_1/add",
    ];
    assert_eq!(rows, expected);
    assert_eq!(model.left_out, ["residual/2/project", "batch_normalization"]);
    assert!(model.params.find("residual/1/project/conv2d/kernel").is_some());
    assert!(model.params.find("residual/2/project/conv2d/kernel").is_none());
}

/// Each condition is decided once: conditions in conditions in conditions take no time.
#[test]
fn conditions_may_lie_deep() {
    let mut toml =
        String::from("[blocks.b0]\nlayers = [{ type = \"Dense\", units = 4, when = \"shape_differs\" }]\n");
    for depth in 1..60 {
        let inner = format!("{{ type = \"b{}\", when = \"shape_differs\" }}", depth - 1);
        toml.push_str(&format!("[blocks.b{depth}]\nlayers = [{inner}, {{ type = \"ReLU\" }}]\n"));
    }
    let toml = format!("{toml}[[layers]]\ntype = \"b59\"\nwhen = \"shape_differs\"\nrepeat = 2\n");
    let model = lower(&parse(&toml), &[3], 4);
    // The first repetition makes 4 of 3, its ReLUs inside stand with it; the second changes nothing.
    assert_eq!(model.rows.len(), 60);
    assert_eq!(model.left_out, ["b59/2"]);
}

/// A whole block is applied again with its weights: names, edges and parameters.
#[test]
fn shared_layers_and_blocks_have_their_weights_once() {
    let experiment = parse(
        r#"
[blocks.tower]
layers = [
  { type = "Dense", units = 4, name = "first" },
  { type = "Dense", units = 4, when = "shape_differs" },
  { type = "Add", from = ["first", "dense"] },
]
[[layers]]
type = "Dense"
units = 3
name = "one"
[[layers]]
type = "tower"
repeat = 2
[[layers]]
type = "Shared"
layer = "one"
from = "input"
name = "again"
[[layers]]
type = "Shared"
layer = "tower"
[[layers]]
type = "Shared"
layer = "shared"
from = "again"
[[layers]]
type = "Add"
from = ["tower", "shared", "shared_1"]
"#,
    );
    let expected = [
        "one <- input",
        "tower/1/first <- one",
        "tower/1/dense <- tower/1/first",
        "tower/1/add <- tower/1/first, tower/1/dense",
        "tower/2/first <- tower/1/add",
        "tower/2/dense <- tower/2/first",
        "tower/2/add <- tower/2/first, tower/2/dense",
        "again <- input",
        "shared/1/first <- again",
        "shared/1/dense <- shared/1/first",
        "shared/1/add <- shared/1/first, shared/1/dense",
        "shared/2/first <- shared/1/add",
        "shared/2/dense <- shared/2/first",
        "shared/2/add <- shared/2/first, shared/2/dense",
        "shared_1/1/first <- again",
        "shared_1/1/dense <- shared_1/1/first",
        "shared_1/1/add <- shared_1/1/first, shared_1/1/dense",
        "shared_1/2/first <- shared_1/1/add",
        "shared_1/2/dense <- shared_1/2/first",
        "shared_1/2/add <- shared_1/2/first, shared_1/2/dense",
        "add <- tower/2/add, shared/2/add, shared_1/2/add",
    ];
    assert_eq!(edges(&experiment), expected);
    let model = lower(&experiment, &[2], 4);
    let paths: Vec<&str> = model.params.decls.iter().map(|d| d.path.as_str()).collect();
    let firsts = ["one", "tower/1/first", "tower/2/first"];
    let expected: Vec<String> =
        firsts.iter().flat_map(|l| [format!("{l}/kernel"), format!("{l}/bias")]).collect();
    assert_eq!(paths, expected);
    let stored = experiment.resolved(Path::new("."));
    assert_eq!(edges(&parse_whole(&stored)), edges(&experiment), "{stored}");
}

const DIRECTIONS: &str = r#"
layers = [
  { type = "Reshape", target_shape = [4, 2] },
  { type = "Bidirectional", name = "both", layer = { type = "LSTM", units = 2, return_sequences = true }, merge_mode = "none" },
  { type = "LSTM", units = 3, from = "both/backward_lstm" },
  { type = "Dense", units = 2 },
  { type = "Shared", name = "again", layer = "both", from = "both/forward_lstm" },
  { type = "Flatten", from = "again/backward_lstm" },
  { type = "Flatten", name = "flat", from = "again/forward_lstm" },
  { type = "Concatenate", from = ["flat", "flatten", "dense"] },
]
[dataset]
type = "digits"
[training]
optimizer = "sgd"
loss = "mse"
"#;

#[test]
fn several_outputs_are_read_by_their_names() {
    let experiment = parse_whole(DIRECTIONS);
    let expected = [
        "reshape <- input",
        "both/forward_lstm <- reshape",
        "both/backward_lstm <- reshape",
        "lstm <- both/backward_lstm",
        "dense <- lstm",
        "again/forward_lstm <- both/forward_lstm",
        "again/backward_lstm <- both/forward_lstm",
        "flatten <- again/backward_lstm",
        "flat <- again/forward_lstm",
        "concatenate <- flat, flatten, dense",
    ];
    assert_eq!(edges(&experiment), expected);
    let model = lower(&experiment, &[8], 18);
    let paths: Vec<&str> = model.params.decls.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(paths[..2], ["both/forward_lstm/kernel", "both/forward_lstm/recurrent_kernel"]);
    assert!(paths.contains(&"both/backward_lstm/bias") && !paths.iter().any(|p| p.starts_with("again")));
    let row = |name: &str| model.rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("both/backward_lstm").output.dims, [4, 2]);
    // Four gates of two units, on two features and two units, with biases.
    assert_eq!((row("both/forward_lstm").parameters, row("again/forward_lstm").parameters), (40, 0));
    let stored = experiment.resolved(Path::new("."));
    assert_eq!(edges(&parse_whole(&stored)), expected, "{stored}");
    assert_eq!(stored.matches("merge_mode").count(), 1);
}
