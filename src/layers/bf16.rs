//! Layers with products in bfloat16: what they give is what f32 gives on rounded operands, for the
//! product of two bfloat16 numbers is exact in f32.

use crate::graph::Precision;
use crate::kernels::bf16::Pair;
use crate::testing::battery::{LayerCase, Run};
use crate::testing::golden::all_close;

fn noise(len: usize, step: f64) -> Vec<f64> {
    (0..len).map(|i| f64::from((i as f64 * step).sin() as f32)).collect()
}

/// The nearest bfloat16 of each.
fn rounded(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| f64::from(Pair::new(*v as f32, 0.0).first())).collect()
}

/// A batch of some samples through the layer, forward and backward.
struct Batch {
    x: Vec<f64>,
    cotangent: Vec<f64>,
    samples: usize,
}

impl Batch {
    fn rounded(&self) -> Batch {
        Batch { x: rounded(&self.x), cotangent: rounded(&self.cotangent), samples: self.samples }
    }

    fn run(&self, case: &LayerCase, (capacity, threads, fused): (usize, usize, bool)) -> Run {
        let weights = |name: &str, len: usize| {
            let draws = noise(len, 0.7);
            // A bias is added in f32.
            Some(if name == "bias" { draws } else { rounded(&draws) })
        };
        case.run_with(&[&self.x], &self.cotangent, self.samples, capacity, threads, fused, weights)
    }
}

fn check(toml: &str, shape: &[usize], samples: usize) {
    let what = format!("{toml} on {shape:?}, {samples} samples");
    let mut case = LayerCase::new(toml, &[shape]);
    let (size, out_size) = (shape.iter().product::<usize>(), case.output_shape().size());
    let batch = Batch { x: noise(samples * size, 1.3), cotangent: noise(samples * out_size, 2.1), samples };
    let expected = batch.rounded().run(&case, (samples, 1, true));
    let single = batch.run(&case, (samples, 1, true));
    case.precision = Precision::Bf16;
    let run = batch.run(&case, (samples, 1, true));
    assert_ne!(run.output, single.output, "{what}: is rounded");
    all_close(&run.output, &expected.output, 1e-5, &format!("{what}: output"));
    all_close(&run.input_grads[0], &expected.input_grads[0], 1e-5, &format!("{what}: input gradient"));
    let gradients = run.weight_grads.iter().zip(expected.weight_grads.iter().zip(&single.weight_grads));
    for ((name, ours), ((_, expected), (_, single))) in gradients {
        let expected = if name == "bias" { single } else { expected };
        all_close(ours, expected, 1e-5, &format!("{what}: gradient of {name}"));
    }
    for threads in [2, 5, 40] {
        assert_eq!(batch.run(&case, (samples, threads, true)), run, "{what}: {threads} threads and 1");
    }
    assert_eq!(batch.run(&case, (samples + 5, 2, true)), run, "{what}: in a plan for more samples");

    let mut activated = LayerCase::new(&format!("{toml}\nactivation = \"relu\""), &[shape]);
    activated.precision = Precision::Bf16;
    let fused = batch.run(&activated, (samples, 3, true));
    assert_eq!(batch.run(&activated, (samples, 1, false)), fused, "{what}: fused and unfused");
    let rectified: Vec<f64> = run.output.iter().map(|v| v.max(0.0)).collect();
    assert_eq!(fused.output, rectified, "{what}: rectified");
}

#[test]
fn layers_give_what_f32_gives_on_rounded_numbers() {
    let conv = "type = \"Conv2D\"\nkernel_size = 3\n";
    for samples in [1, 2, 3, 5, 40] {
        check(&format!("{conv}filters = 16\npadding = \"same\""), &[7, 9, 3], samples);
        check(&format!("{conv}filters = 5\nstrides = 2\nuse_bias = false"), &[8, 9, 4], samples);
        check(&format!("{conv}filters = 40\ngroups = 2\ndilation_rate = 2"), &[7, 6, 2], samples);
        check("type = \"Conv2D\"\nkernel_size = 1\nfilters = 7", &[3, 4, 5], samples);
        check("type = \"Conv1D\"\nkernel_size = 5\nfilters = 6\npadding = \"causal\"", &[11, 3], samples);
        check("type = \"Dense\"\nunits = 10", &[33], samples);
        check("type = \"Dense\"\nunits = 70\nuse_bias = false", &[3, 20], samples);
    }
    check("type = \"Dense\"\nunits = 70", &[300], 130);
}

/// The products of attention's kernels are rounded too, what lies between them is not.
#[test]
fn attention_in_bfloat16_stays_close_to_f32() {
    let toml = "type = \"TransformerEncoder\"\nnum_heads = 2\nintermediate_dim = 20";
    let mut case = LayerCase::new(toml, &[&[5, 8]]);
    let batch = Batch { x: noise(4 * 40, 1.3), cotangent: noise(4 * 40, 2.1), samples: 4 };
    let single = batch.run(&case, (4, 1, true));
    case.precision = Precision::Bf16;
    let run = batch.run(&case, (4, 1, true));
    assert_ne!(run.output, single.output);
    assert_eq!(batch.run(&case, (6, 3, true)), run, "the same bits for any threads");
    all_close(&run.output, &single.output, 0.05, "output");
}
