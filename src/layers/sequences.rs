//! Layers over sequences: masks, and batches so large that threads and blocks of steps come in.

use crate::graph::Mode;
use crate::testing::battery::{LayerCase, Run};
use crate::testing::golden::all_close;

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
    let weights = |name: &str, len: usize| {
        Some((0..len).map(|i| f64::from((i as f64 * 0.7 + name.len() as f64).sin() as f32) * 0.4).collect())
    };
    case.run_with(&[x], cotangent, samples, samples, threads, true, weights)
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
