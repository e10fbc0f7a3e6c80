//! Training to the results that the README claims. The bundled digits always; MNIST where
//! `NNTRAIN_DATA` names it. Meant for `cargo test --release`: a debug build leaves MNIST out.

use std::path::Path;
use std::process::Command;

fn fit(config: &str, run: &Path, more: &[&str]) -> Vec<Vec<f64>> {
    let config = format!("{}/configs/{config}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    command.args(["fit", &config, "--verbose", "0", "--run-dir"]).arg(run).args(more);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{config}: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(run.join("history.csv")).unwrap();
    text.lines().skip(1).map(|l| l.split(',').map(|c| c.parse().unwrap()).collect()).collect()
}

/// A column of the history, by name.
fn column(run: &Path, name: &str, rows: &[Vec<f64>]) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("history.csv")).unwrap();
    let index = text.lines().next().unwrap().split(',').position(|c| c == name).unwrap();
    rows.iter().map(|r| r[index]).collect()
}

/// `None` where the data is not there, or the build is too slow to train in a test.
fn mnist() -> Option<()> {
    let there = std::env::var_os("NNTRAIN_DATA").is_some_and(|d| Path::new(&d).join("mnist").is_dir());
    (there && !cfg!(debug_assertions)).then_some(())
}

#[test]
fn digits_reach_98_percent() {
    let folder = tempfile::tempdir().unwrap();
    let rows = fit("cnn_digits", folder.path(), &[]);
    let best = column(folder.path(), "val_accuracy", &rows).into_iter().fold(0.0, f64::max);
    assert!(best >= 0.98, "{best}");
}

/// With 90 samples to learn from, features of another set are worth five points.
#[test]
fn features_of_mnist_help_with_other_digits() {
    if cfg!(debug_assertions) {
        return;
    }
    let [transferred, scratch] = ["transfer_digits", "transfer_digits_scratch"].map(|config| {
        let folder = tempfile::tempdir().unwrap();
        let rows = fit(config, folder.path(), &[]);
        *column(folder.path(), "val_accuracy", &rows).last().unwrap()
    });
    assert!(transferred >= 0.93 && transferred > scratch + 0.03, "{transferred} against {scratch}");
}

#[test]
fn inception_reaches_98_percent_of_digits() {
    if cfg!(debug_assertions) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rows = fit("inception_digits", folder.path(), &[]);
    let best = column(folder.path(), "val_accuracy", &rows).into_iter().fold(0.0, f64::max);
    assert!(best >= 0.98, "{best}");
}

/// Four of the eight epochs, whose accuracies were 0.28, 0.756, 0.981 and 0.99.
#[test]
fn directions_are_told_from_clips() {
    if cfg!(debug_assertions) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rows = fit("conv3d_moving_shapes", folder.path(), &["--epochs", "4"]);
    let best = column(folder.path(), "val_accuracy", &rows).into_iter().fold(0.0, f64::max);
    assert!(best >= 0.98, "{best}");
}

#[test]
fn recurrent_networks_learn_a_sine() {
    for (config, most) in
        [("rnn_sine", 0.01), ("lstm_sine", 0.001), ("gru_sine", 0.001), ("lstm_relu", 0.001)]
    {
        let folder = tempfile::tempdir().unwrap();
        let rows = fit(config, folder.path(), &[]);
        let loss = *column(folder.path(), "loss", &rows).last().unwrap();
        assert!(loss < most, "{config}: {loss}");
        assert!(folder.path().join("forecast.svg").exists());
    }
}

/// Better by 5 % than saying the last value again (14.84 and 1.953).
#[test]
fn forecasts_beat_persistence() {
    let there = std::env::var_os("NNTRAIN_DATA").is_some_and(|d| Path::new(&d).join("series").is_dir());
    if !there || cfg!(debug_assertions) {
        return;
    }
    for (config, persistence) in [("lstm_sunspots", 14.8369), ("gru_temperatures", 1.9527)] {
        let folder = tempfile::tempdir().unwrap();
        let rows = fit(config, folder.path(), &[]);
        let best = column(folder.path(), "val_mae", &rows).into_iter().fold(f64::INFINITY, f64::min);
        assert!(best < 0.95 * persistence, "{config}: {best}");
    }
}

/// On reviews that no part of training has seen.
#[test]
fn the_order_of_words_counts() {
    let accuracy = |config: &str| {
        let folder = tempfile::tempdir().unwrap();
        fit(config, folder.path(), &[]);
        let mut eval = Command::new(env!("CARGO_BIN_EXE_nntrain"));
        let output =
            eval.arg("eval").arg(folder.path()).args(["--split", "test", "--json"]).output().unwrap();
        let judged: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        judged["accuracy"].as_f64().unwrap()
    };
    let (reader, bag) = (accuracy("bidirectional_gru_text"), accuracy("bag_of_words_text"));
    assert!(reader > 0.93 && bag < 0.45, "{reader} and {bag}");
}

#[test]
fn mnist_reaches_keras_s_accuracy() {
    let Some(()) = mnist() else { return };
    let folder = tempfile::tempdir().unwrap();
    let rows = fit("cnn_mnist", folder.path(), &[]);
    let accuracy = column(folder.path(), "val_accuracy", &rows);
    assert!(accuracy[0] >= 0.985, "{accuracy:?}");
    assert!(accuracy[1] >= 0.988, "{accuracy:?}");
    assert!(accuracy[4] >= 0.990, "{accuracy:?}");
}

#[test]
fn mnist_threads_change_no_bit() {
    let Some(()) = mnist() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    for (dir, threads) in [(&one, "1"), (&two, "2")] {
        fit("cnn_mnist", dir, &["--epochs", "1", "--threads", threads, "--set", "dataset.limit=6400"]);
    }
    let weights = |dir: &Path| {
        let bytes = std::fs::read(dir.join("best.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.data().to_vec())).collect();
        all.sort();
        all
    };
    assert!(weights(&one) == weights(&two));
}

#[test]
fn houses_are_priced_sensibly() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fit("house_prices", &run, &[]);
    let input = folder.path().join("new.csv");
    std::fs::write(&input, "size,age\n110,7\n85,12\n").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_nntrain")).arg("predict").arg(&run).arg(&input).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let prices: Vec<f64> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    // Neighbours in the table: 115 m2 / 11 years costs 215, 105 / 9 costs 175; 85 / 14 costs 185.
    assert!((195.0..235.0).contains(&prices[0]) && (155.0..195.0).contains(&prices[1]), "{prices:?}");
}

/// Samples of the bundled GAN, as a classifier of real digits sees them: it is sure of most, and there are
/// digits of every class.
#[test]
fn a_gan_draws_digits() {
    if cfg!(debug_assertions) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fit("gan_digits", &path("gan"), &[]);
    fit("cnn_digits", &path("cnn"), &[]);
    let nntrain = |args: &[&std::ffi::OsStr]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nntrain")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let samples = path("samples.csv");
    nntrain(&[
        "generate".as_ref(),
        path("gan").as_ref(),
        "-n".as_ref(),
        "1000".as_ref(),
        "-o".as_ref(),
        samples.as_ref(),
    ]);
    let told =
        nntrain(&["predict".as_ref(), path("cnn").as_ref(), samples.as_ref(), "--probabilities".as_ref()]);
    let mut counts = std::collections::BTreeMap::new();
    let mut sum = 0.0;
    for row in told.lines().skip(1) {
        let (class, probabilities) = row.split_once(',').unwrap();
        *counts.entry(class.to_string()).or_insert(0) += 1;
        sum += probabilities.split(',').map(|p| p.parse::<f64>().unwrap()).fold(0.0, f64::max);
    }
    assert!(sum / 1000.0 > 0.9, "the likeliest class has {} on average", sum / 1000.0);
    assert!(counts.len() == 10 && counts.values().all(|n| *n <= 250), "{counts:?}");
}
