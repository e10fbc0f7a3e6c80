//! Layers over sequences: masks, and batches so large that threads and blocks of steps come in.

use crate::graph::Mode;
use crate::testing::battery::{LayerCase, Run};
use crate::testing::golden::{self, all_close};

/// The battery, with steps of each of the three samples that do not count.
fn check_masked(toml: &str, inputs: &[&[usize]]) {
    for mode in [Mode::Train, Mode::Eval] {
        let mut case = LayerCase::new(toml, inputs);
        case.mode = mode;
        // Padding behind, padding before, and a hole.
        let steps = inputs[0][0];
        let counts = |n: usize, t: usize| [t < steps / 2, t > 0, t != 1][n];
        let all = (0..3).flat_map(|n| (0..steps).map(move |t| f64::from(u8::from(counts(n, t)))));
        case.mask = Some(all.collect());
        case.check();
    }
}

#[test]
fn masked_steps_leave_the_state_as_it_is() {
    for layer in [
        "type = \"SimpleRNN\"\nunits = 2",
        "type = \"SimpleRNN\"\nunits = 2\nreturn_sequences = true\ngo_backwards = true",
        "type = \"LSTM\"\nunits = 2",
        "type = \"LSTM\"\nunits = 2\nreturn_sequences = true\nrecurrent_dropout = 0.5",
        "type = \"LSTM\"\nunits = 17\ngo_backwards = true",
        "type = \"LSTM\"\nunits = 2\nstateful = true",
        "type = \"GRU\"\nunits = 2",
        "type = \"GRU\"\nunits = 2\nreturn_sequences = true\nrecurrent_dropout = 0.5",
        "type = \"GRU\"\nunits = 2\nreset_after = false\nrecurrent_dropout = 0.5",
        "type = \"GRU\"\nunits = 2\nreset_after = false\nreturn_sequences = true",
        "type = \"Bidirectional\"\nlayer = { type = \"LSTM\", units = 2 }",
        "type = \"Bidirectional\"\nlayer = { type = \"GRU\", units = 2, return_sequences = true }",
    ] {
        check_masked(layer, &[&[4, 2]]);
    }
}

/// As [`LayerCase::run_with`], with numbers from a sine.
fn run(case: &LayerCase, x: &[f64], cotangent: &[f64], samples: usize, threads: usize) -> Run {
    case.run_with(&[x], cotangent, samples, samples, threads, true, numbers)
}

/// Weights from a sine.
fn numbers(name: &str, len: usize) -> Option<Vec<f64>> {
    Some((0..len).map(|i| f64::from((i as f64 * 0.7 + name.len() as f64).sin() as f32) * 0.4).collect())
}

#[test]
fn a_batch_is_its_samples_on_any_number_of_threads() {
    let (samples, steps, features) = (70, 20, 3);
    for layer in [
        "type = \"SimpleRNN\"\nunits = 24",
        "type = \"LSTM\"\nunits = 24\nreturn_sequences = true",
        "type = \"LSTM\"\nunits = 17\nactivation = \"relu\"",
        "type = \"GRU\"\nunits = 24",
        "type = \"GRU\"\nunits = 24\nreset_after = false",
        "type = \"Bidirectional\"\nlayer = { type = \"GRU\", units = 20, return_sequences = true }",
        "type = \"TimeDistributed\"\nlayer = { type = \"Dense\", units = 20, activation = \"tanh\" }",
    ] {
        let case = LayerCase::new(layer, &[&[steps, features]]);
        let (per_sample, out) = (steps * features, case.output_shape().size());
        let numbers = |len: usize, step: f64| -> Vec<f64> {
            (0..len).map(|i| f64::from((i as f64 * step).sin() as f32)).collect()
        };
        let (x, cotangent) = (numbers(samples * per_sample, 1.3), numbers(samples * out, 2.1));
        let whole = run(&case, &x, &cotangent, samples, 1);
        for threads in [2, 3, 7] {
            assert_eq!(run(&case, &x, &cotangent, samples, threads), whole, "{layer} on {threads} threads");
        }
        let mut sums: Vec<Vec<f64>> = whole.weight_grads.iter().map(|(_, g)| vec![0.0; g.len()]).collect();
        for n in 0..samples {
            let (x, c) = (&x[n * per_sample..][..per_sample], &cotangent[n * out..][..out]);
            let one = run(&case, x, c, 1, 1);
            assert_eq!(one.output, whole.output[n * out..][..out], "{layer}: sample {n}");
            all_close(
                &one.input_grads[0],
                &whole.input_grads[0][n * per_sample..][..per_sample],
                1e-6,
                layer,
            );
            for (sums, (_, gradient)) in sums.iter_mut().zip(&one.weight_grads) {
                sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        for (sums, (name, gradient)) in sums.iter().zip(&whole.weight_grads) {
            all_close(gradient, sums, 1e-5, &format!("{layer}: gradient of {name}"));
        }
    }
}

#[test]
fn a_walk_in_windows_is_one_long_sequence() {
    let (windows, steps, features) = (6, 5, 3);
    for layer in [
        "type = \"SimpleRNN\"\nunits = 17",
        "type = \"LSTM\"\nunits = 17",
        "type = \"LSTM\"\nunits = 4\nactivation = \"relu\"",
        "type = \"GRU\"\nunits = 17",
        "type = \"GRU\"\nunits = 17\nreset_after = false",
    ] {
        let case = |keys: &str, steps: usize| {
            let mut case = LayerCase::new(&format!("{layer}{keys}"), &[&[steps, features]]);
            case.mode = Mode::Eval;
            case
        };
        let x: Vec<f64> =
            (0..windows * steps * features).map(|i| f64::from((i as f32 * 1.3).sin())).collect();
        let sequences = "\nreturn_sequences = true";
        let long = case(sequences, windows * steps);
        let expected = run(&long, &x, &vec![1.0; long.output_shape().size()], 1, 1).output;
        let units = expected.len() / (windows * steps);

        // In batches of two windows; what one run leaves is what the next begins with.
        let walk = case(&format!("{sequences}\nstateful = true"), steps);
        let mut state = vec![0.0; 2 * units];
        let mut output = vec![];
        for x in x.chunks(2 * steps * features) {
            let weights = |name: &str, len: usize| match name {
                "state" => Some(state[..len].to_vec()),
                _ => numbers(name, len),
            };
            let run = walk.run_with(&[x], &vec![1.0; 2 * steps * units], 2, 2, 2, true, weights);
            output.extend(run.output);
            state = run.weights.into_iter().find(|(name, _)| name == "state").unwrap().1;
        }
        assert_eq!(output, expected, "{layer}");
        assert_eq!(
            state[..units],
            expected[expected.len() - units..],
            "{layer}: the state is the last output"
        );

        // Without `return_sequences` each window gives its last step.
        let last = case("\nstateful = true", steps);
        let from_zeros =
            |name: &str, len| if name == "state" { Some(vec![0.0; len]) } else { numbers(name, len) };
        let run = last.run_with(&[&x], &vec![1.0; windows * units], windows, windows, 1, true, from_zeros);
        for (window, y) in run.output.chunks(units).enumerate() {
            assert_eq!(
                y,
                &expected[((window + 1) * steps - 1) * units..][..units],
                "{layer}: window {window}"
            );
        }
    }
}

#[test]
fn a_walk_is_keras_s() {
    let file = golden::load("stateful.json");
    for case in golden::cases(&file) {
        let name = golden::text(case, "name");
        let flat = |value: &serde_json::Value| golden::tensor(value).iter().copied().collect::<Vec<f64>>();
        let x = golden::tensor(&case["input"]);
        let mut layer = LayerCase::new(golden::text(case, "toml"), &[&x.shape()[1..]]);
        layer.mode = Mode::Eval;
        layer.mask = case.get("mask").map(flat);
        let weights = |weight: &str, len: usize| match weight {
            "state" => Some(vec![0.0; len]),
            _ => Some(flat(&case["weights"][weight])),
        };
        let (expected, samples) = (flat(&case["output"]), x.shape()[0]);
        let cotangent = vec![1.0; expected.len()];
        let run = layer.run_with(&[&flat(&case["input"])], &cotangent, samples, samples, 2, true, weights);
        all_close(&run.output, &expected, 1e-5, name);
    }
}
