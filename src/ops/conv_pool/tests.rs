//! The battery over convolutions with pooling behind them; which of them become one op.

use crate::graph::Mode;
use crate::rng::Stream;
use crate::testing::battery::LayerCase;
use crate::testing::golden::all_close;

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

/// Wide enough for tiles, which the convolution alone takes too: the same outputs, bit for bit, for any
/// number of threads and images; the gradients, summed in another order, but for rounding.
#[test]
fn by_tiles_as_the_convolution_alone() {
    let conv = |more: &str| format!("type = \"Conv2D\"\nfilters = 48\nkernel_size = 3\n{more}");
    for (conv, input) in [
        (conv("activation = \"relu\""), [13, 13, 32]),
        (conv("padding = \"same\"\nuse_bias = false"), [16, 10, 32]),
    ] {
        let case = LayerCase::stack(&[&conv, POOL], &[&input]);
        assert_eq!(case.ops(), ["conv+max_pool"], "{conv}");
        let batch = 9;
        let draw = |name: &str, len: usize| -> Vec<f64> {
            let stream = Stream::new(5, name);
            (0..len).map(|i| f64::from(stream.normal(0, i as u64) as f32)).collect()
        };
        let x = draw("x", batch * input.iter().product::<usize>());
        let dy = draw("dy", batch * case.output_shape().size());
        let run = |threads, fused| case.run_with(&[&x], &dy, batch, 16, threads, fused, |_, _| None);
        let (fused, alone) = (run(1, true), run(1, false));
        assert!((2..6).all(|threads| run(threads, true) == fused), "{conv}: for any number of threads");
        assert_eq!(fused.output, alone.output, "{conv}");
        let close = |ours: &[f64], theirs: &[f64], what: &str| {
            let largest = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let [ours, theirs] = [ours, theirs].map(|x| x.iter().map(|v| v / largest).collect::<Vec<f64>>());
            all_close(&ours, &theirs, 5e-6, &format!("{what} of {conv}"));
        };
        close(&fused.input_grads[0], &alone.input_grads[0], "input gradient");
        for ((name, ours), (_, theirs)) in fused.weight_grads.iter().zip(&alone.weight_grads) {
            close(ours, theirs, name);
        }
        // One image is done in parts.
        let image = x.len() / batch;
        let one = |threads| {
            let dy = &dy[..dy.len() / batch];
            case.run_with(&[&x[..image]], dy, 1, 16, threads, true, |_, _| None).output
        };
        assert!(one(3) == fused.output[..fused.output.len() / batch], "{conv}: one image");
    }
}
