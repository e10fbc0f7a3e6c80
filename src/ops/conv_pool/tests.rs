//! The battery over convolutions with pooling behind them; which of them become one op.

use crate::graph::Mode;
use crate::testing::battery::LayerCase;

const CONV: &str = "type = \"Conv2D\"\nfilters = 3\nkernel_size = 3\n";
const RELU: &str = "type = \"ReLU\"";
const POOL: &str = "type = \"MaxPooling2D\"";

fn conv(more: &str) -> String {
    format!("{CONV}{more}")
}

/// All that must agree, in training and in inference, for layers that become one op.
fn check(layers: &[&str], input: &[usize]) {
    for mode in [Mode::Train, Mode::Eval] {
        let mut case = LayerCase::stack(layers, &[input]);
        case.mode = mode;
        assert_eq!(case.ops(), ["conv+max_pool"], "{layers:?}");
        case.check();
    }
}

#[test]
fn battery() {
    check(&[&conv("activation = \"relu\""), POOL], &[6, 7, 2]);
    check(&[&conv("activation = \"tanh\"\nuse_bias = false"), POOL], &[7, 6, 2]);
    check(&[&conv("padding = \"same\"\nactivation = \"elu\""), POOL], &[5, 4, 2]);
    check(&[&conv("strides = 2\npadding = \"same\""), POOL], &[9, 7, 3]);
    check(&[&conv("dilation_rate = [1, 2]"), "type = \"MaxPooling2D\"\npool_size = [1, 3]"], &[4, 8, 2]);
    check(&[&conv("groups = 3\nactivation = \"sigmoid\""), POOL], &[5, 5, 3]);
    check(&[&conv(""), "type = \"MaxPooling2D\"\npadding = \"same\""], &[5, 7, 2]);
    check(&[&conv(""), "type = \"GlobalMaxPooling2D\""], &[5, 6, 2]);
    check(&["type = \"Conv2D\"\nfilters = 5\nkernel_size = 1\nactivation = \"relu\"", POOL], &[4, 6, 3]);
    check(
        &[
            "type = \"Conv1D\"\nfilters = 4\nkernel_size = 3\npadding = \"causal\"\nactivation = \"relu\"",
            "type = \"MaxPooling1D\"",
        ],
        &[9, 2],
    );
}

#[test]
fn functions_of_their_own_layers_fuse_too() {
    check(&[CONV, RELU, POOL], &[6, 6, 2]);
    check(&[CONV, POOL, RELU], &[6, 6, 2]);
    check(&[CONV, POOL, "type = \"Activation\"\nactivation = \"softplus\""], &[6, 6, 2]);
}

#[test]
fn what_does_not_tile_is_not_fused() {
    let ops = |layers: &[&str], input: &[usize]| LayerCase::stack(layers, &[input]).ops();
    let overlapping = "type = \"MaxPooling2D\"\npool_size = 3\nstrides = 2";
    assert_eq!(ops(&[CONV, overlapping], &[7, 7, 2]), ["conv", "max_pool"]);
    let begins_outside = "type = \"MaxPooling2D\"\npool_size = 3\npadding = \"same\"";
    assert_eq!(ops(&[CONV, begins_outside], &[9, 9, 2]), ["conv", "max_pool"]);
    assert_eq!(ops(&[&conv("activation = \"gelu\""), POOL], &[6, 6, 2]), ["conv", "gelu", "max_pool"]);
    assert_eq!(ops(&[&conv("activation = \"relu\""), POOL, RELU], &[6, 6, 2]), ["conv+max_pool", "relu"]);
    let average = "type = \"AveragePooling2D\"\npool_size = 2";
    assert_eq!(ops(&[CONV, average], &[6, 6, 2]), ["conv", "average_pool"]);
}

#[test]
fn all_dead_gives_zeros_and_a_nan_is_carried_on() {
    let case = LayerCase::stack(&[&conv("activation = \"relu\""), POOL], &[&[4, 4, 1]]);
    let run = |x: f64, weight: f64| {
        let inputs = vec![x; 16];
        let weights = |name: &str, len: usize| Some(vec![if name == "bias" { 0.0 } else { weight }; len]);
        case.run_with(&[&inputs], &[1.0; 3], 1, 1, 1, true, weights)
    };
    let dead = run(1.0, -1.0);
    let gradients = dead.weight_grads.iter().map(|(_, g)| g).chain(&dead.input_grads);
    assert!(gradients.chain([&dead.output]).flatten().all(|v| *v == 0.0));
    assert!(run(1.0, 1.0).output.iter().all(|y| *y == 9.0));
    assert!(run(f64::NAN, 1.0).output.iter().all(|y| y.is_nan()));
}
