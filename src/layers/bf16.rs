//! Layers with products in bfloat16: what they give is what f32 gives on rounded operands, for the
//! product of two bfloat16 numbers is exact in f32. What lies between them is stored as bfloat16, where
//! all who touch it can do with that.

use crate::graph::{Builder, Mismatch, Mode, Precision, Var};
use crate::kernels::bf16::Pair;
use crate::layers::{self, Layer};
use crate::testing::battery::{LayerCase, Run, example};
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
            Some(match name {
                // A bias is added in f32.
                "bias" => draws,
                _ if name.ends_with("variance") => draws.iter().map(|v| v.abs() + 0.5).collect(),
                _ => rounded(&draws),
            })
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

/// Layers one after the other, each with weights of its own.
#[derive(Debug)]
struct Chain(Vec<String>);

fn lower(g: &mut Builder<'_>, name: &str, toml: &str, x: &[Var]) -> Result<Var, Mismatch> {
    g.enter(&format!("layer/{name}"), true);
    layers::lower(&*example(toml), g, x)
}

impl Layer for Chain {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        self.0.iter().enumerate().try_fold(x[0], |y, (i, toml)| lower(g, &i.to_string(), toml, &[y]))
    }
}

fn chain(tomls: &[&str], shape: &[usize]) -> LayerCase {
    let mut case = LayerCase::of(Box::new(Chain(tomls.iter().map(|t| t.to_string()).collect())), &[shape]);
    case.precision = Precision::Bf16;
    case
}

/// Small whole numbers, most of them zero: their sums are exact in bfloat16.
fn whole(len: usize, seed: usize) -> Vec<f64> {
    let draw = |i: usize| (i * 2_654_435_761 + seed * 40_503) >> 7;
    (0..len).map(|i| [0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 2.0, 0.0][draw(i) % 9]).collect()
}

/// What is exact is the same however it is stored.
#[test]
fn stored_as_bfloat16_whole_numbers_are_the_same() {
    let conv = |filters: usize, more: &str| {
        format!("type = \"Conv2D\"\nkernel_size = 3\npadding = \"same\"\nfilters = {filters}\n{more}")
    };
    let relu = "activation = \"relu\"";
    let per_step = "type = \"TimeDistributed\"\n[layer]\ntype = \"Conv1D\"\nkernel_size = 3\npadding = \"same\"\nfilters = 4".to_string();
    let stacks = [
        vec![conv(4, ""), conv(6, ""), conv(3, "")],
        vec![conv(4, relu), conv(6, relu), conv(5, "use_bias = false")],
        vec![conv(34, relu), conv(4, "strides = 2"), conv(2, relu)],
        vec![conv(4, "strides = 2\nuse_bias = false"), conv(70, ""), conv(2, "")],
        vec![conv(6, "dilation_rate = 2"), conv(8, "groups = 2"), conv(4, "")],
        vec![per_step.clone(), per_step.clone(), per_step],
    ];
    for stack in stacks {
        let stack: Vec<&str> = stack.iter().map(String::as_str).collect();
        let case = chain(&stack, &[7, 6, 3]);
        assert_eq!(case.narrow_values(), 2, "{stack:?}");
        let out = case.output_shape().size();
        for samples in [1, 3, 40] {
            let (x, cotangent) = (whole(samples * 7 * 6 * 3, 1), whole(samples * out, 2));
            let weights = |name: &str, len: usize| {
                let sparse = whole(len, 3 + name.len()).into_iter().enumerate();
                Some(sparse.map(|(i, w)| if i % 5 == 0 { w } else { 0.0 }).collect())
            };
            let run = |threads, narrow| {
                case.run_with(&[&x], &cotangent, samples, samples + 1, threads, narrow, weights)
            };
            let expected = run(1, false);
            for threads in [1, 2, 5] {
                assert_eq!(run(threads, true), expected, "{stack:?}, {samples} samples, {threads} threads");
            }
        }
    }
}

/// Two convolutions with normalization beside a projection, and the mean of all: a residual block.
#[derive(Debug)]
struct Residual {
    between: &'static str,
    behind: &'static str,
    /// Adds what is normalized instead of a projection: it gets two gradients from one op.
    itself: bool,
}

impl Layer for Residual {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let conv = "type = \"Conv2D\"\npadding = \"same\"\nuse_bias = false\n";
        let norm = "type = \"BatchNormalization\"\nepsilon = 0.1";
        let square = format!("{conv}kernel_size = 3\nfilters = 6");
        let a = lower(g, "a", &square, &[x[0]])?;
        let a = lower(g, "a_norm", norm, &[a])?;
        let a = lower(g, "a_function", self.between, &[a])?;
        let b = lower(g, "b", &square, &[a])?;
        let b_norm = lower(g, "b_norm", norm, &[b])?;
        let aside = match self.itself {
            true => b,
            false => {
                let aside = lower(g, "aside", &format!("{conv}kernel_size = 1\nfilters = 6"), &[x[0]])?;
                lower(g, "aside_norm", norm, &[aside])?
            }
        };
        let sum = lower(g, "sum", "type = \"Add\"", &[b_norm, aside])?;
        let sum = lower(g, "sum_function", self.behind, &[sum])?;
        let c = lower(g, "c", &square, &[sum])?;
        lower(g, "mean", "type = \"GlobalAveragePooling2D\"", &[c])
    }
}

/// How far numbers are off, as part of their whole length: single ones may be small differences of large ones.
fn off(ours: &[f64], expected: &[f64]) -> f64 {
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    length(&mut ours.iter().zip(expected).map(|(a, b)| a - b)) / length(&mut expected.iter().copied())
}

/// Storing what is rounded anyway loses as much again, three times at most.
#[test]
fn a_residual_block_in_bfloat16_stays_close_and_is_the_same_on_any_threads() {
    let activation = |f: &str| format!("type = \"Activation\"\nactivation = \"{f}\"");
    let kinds =
        [("relu", "relu", false), ("silu", "tanh", false), ("elu", "sigmoid", false), ("silu", "tanh", true)];
    for (between, behind, itself) in kinds {
        let [between, behind] = [between, behind].map(|f| &*activation(f).leak());
        for mode in [Mode::Train, Mode::Eval] {
            for samples in [2, 9, 64] {
                let mut case = LayerCase::of(Box::new(Residual { between, behind, itself }), &[&[6, 5, 4]]);
                case.mode = mode;
                let (x, cotangent) = (noise(samples * 120, 1.3), noise(samples * 6, 2.1));
                let batch = Batch { x, cotangent, samples };
                let single = batch.run(&case, (samples, 1, true));
                assert_eq!(case.narrow_values(), 0);
                case.precision = Precision::Bf16;
                // What the convolutions give, what two of them read, and what is added.
                assert_eq!(case.narrow_values(), if itself { 5 } else { 7 }, "{between} {behind} {mode:?}");
                let run = batch.run(&case, (samples, 1, true));
                let products = batch.run(&case, (samples, 1, false));
                let what = format!("{between} {behind} {mode:?}, {samples} samples");
                let near = |of: &str, ours: &[f64], products: &[f64], single: &[f64]| {
                    let (ours, products) = (off(ours, single), off(products, single));
                    assert!(ours <= 3.0 * products + 0.02, "{what}: {of}: {ours} for {products}");
                };
                near("output", &run.output, &products.output, &single.output);
                near("gradient", &run.input_grads[0], &products.input_grads[0], &single.input_grads[0]);
                for (i, (name, ours)) in run.weight_grads.iter().enumerate() {
                    near(name, ours, &products.weight_grads[i].1, &single.weight_grads[i].1);
                }
                for threads in [2, 5] {
                    assert_eq!(batch.run(&case, (samples, threads, true)), run, "{what}: {threads} threads");
                }
                assert_eq!(batch.run(&case, (samples + 5, 2, true)), run, "{what}: in a plan for more");
            }
        }
    }
}

/// Windows that overlap add up their gradients, which is done in f32; so are rows with an odd number of
/// channels, and whatever an op reads that does not know of bfloat16.
#[test]
fn what_others_touch_stays_f32() {
    let conv = "type = \"Conv2D\"\nkernel_size = 3\nfilters = 4";
    let odd = "type = \"Conv2D\"\nkernel_size = 1\nfilters = 3";
    let pool = |stride: usize| format!("type = \"AveragePooling2D\"\npool_size = 2\nstrides = {stride}");
    for (stack, narrow) in [
        (vec![conv, odd], 1),
        (vec![odd, conv], 0),
        (vec![conv, &pool(2)], 1),
        (vec![conv, &pool(1)], 0),
        (vec![conv, "type = \"Softmax\"", conv], 0),
        (vec![conv, "type = \"Flatten\"", "type = \"Dense\"\nunits = 4"], 0),
    ] {
        assert_eq!(chain(&stack, &[8, 8, 2]).narrow_values(), narrow, "{stack:?}");
    }
    // There f32 visits the live outputs alone, which is faster.
    let pooled = chain(&[conv, "type = \"MaxPooling2D\"\npool_size = 2", conv], &[8, 8, 2]);
    assert_eq!((pooled.ops(), pooled.narrow_values()), (vec!["conv+max_pool", "conv_bf16"], 0));
    let mut single = chain(&[conv, odd], &[8, 8, 2]);
    single.precision = Precision::Float32;
    assert_eq!(single.narrow_values(), 0);
}
