//! Fine-tuning from outside: weights of another run, frozen layers, statistics of the training part.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn succeed(args: &[&str]) -> Output {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}\n{}", output.status, stderr(&output));
    output
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_string()
}

/// Names and bytes of all tensors.
fn tensors(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.data().to_vec())).collect();
    all.sort();
    all
}

/// Those of some layers, without the optimizer's.
fn of(run: &Path, file: &str, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut tensors = tensors(&run.join(file));
    tensors.retain(|(name, _)| name.starts_with(prefix));
    tensors
}

/// A network whose features are named `features/...`; `trainable` and the head's width to be filled in.
fn config(trainable: bool, units: usize, training: &str) -> String {
    format!(
        r#"
[dataset]
type = "digits"
validation = 0.2
limit = 200
[blocks.stage]
required = ["filters"]
layers = [
  {{ type = "Conv2D", filters = "$filters", kernel_size = 3 }},
  {{ type = "BatchNormalization" }},
  {{ type = "ReLU" }},
]
[[layers]]
type = "stage"
name = "features"
filters = 4
trainable = {trainable}
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
name = "hidden"
units = {units}
activation = "relu"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
[training]
epochs = 2
batch_size = 16
optimizer = {{ type = "AdamW", use_ema = true }}
loss = "sparse_categorical_crossentropy"
{training}
"#
    )
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    let (first, second) = (dir("first.toml"), dir("second.toml"));
    std::fs::write(&first, config(true, 8, "")).unwrap();
    succeed(&["fit", &text(&first), "--run-dir", &text(&dir("first"))]);
    let features = of(&dir("first"), "best.safetensors", "features/");
    assert_eq!(features.len(), 6);

    // The head is another one, so the layers are chosen.
    let key = "initial_weights = { file = \"first\", layers = [\"features\"] }";
    std::fs::write(&second, config(false, 12, key)).unwrap();
    let report =
        ["loaded from first: features (56 weights)", "drawn anew: hidden, dense; not used of the file"];
    let check = stdout(&succeed(&["check", &text(&second)]));
    let fit = succeed(&["fit", &text(&second), "--run-dir", &text(&dir("whole"))]);
    for part in report {
        assert!(
            check.contains(part) && stderr(&fit).contains(part),
            "{part} is not in\n{check}\n{}",
            stderr(&fit)
        );
    }
    for file in ["best.safetensors", "last.safetensors"] {
        assert!(of(&dir("whole"), file, "features/") == features, "{file}: frozen weights have moved");
    }
    assert!(
        of(&dir("whole"), "last.safetensors", "optimizer/").iter().all(|(n, _)| !n.contains("features/"))
    );
    let summary = stdout(&succeed(&["summary", &text(&second)]));
    for part in
        ["features/conv2d (Conv2D, frozen)", "features/batch_normalization (BatchNormalization, frozen)"]
    {
        assert!(summary.contains(part), "{part} is not in\n{summary}");
    }
    let counts: Vec<&str> =
        summary.lines().filter(|l| l.starts_with("Frozen") || l.starts_with("Other")).collect();
    assert!(counts[0].contains(" 56 ") && counts[1].contains(" 0 "), "{summary}");

    // No epochs: the weights as they were loaded, found from the stored config too.
    succeed(&["fit", &text(&second), "--epochs", "0", "--run-dir", &text(&dir("none"))]);
    let stored = text(&dir("whole/config.toml"));
    succeed(&["fit", &stored, "--epochs", "0", "--run-dir", &text(&dir("stored/deep"))]);
    for run in ["none", "stored/deep"] {
        assert!(of(&dir(run), "best.safetensors", "features/") == features, "{run}");
    }
    assert!(tensors(&dir("none/best.safetensors")) == tensors(&dir("stored/deep/best.safetensors")));

    // A run that goes on does not need the file any more.
    succeed(&["fit", &text(&second), "--epochs", "1", "--run-dir", &text(&dir("parts"))]);
    std::fs::rename(dir("first"), dir("gone")).unwrap();
    let resumed = succeed(&["fit", "--resume", &text(&dir("parts")), "--epochs", "2"]);
    assert!(!stderr(&resumed).contains("loaded from"), "{}", stderr(&resumed));
    for file in ["best.safetensors", "last.safetensors"] {
        assert!(tensors(&dir("whole").join(file)) == tensors(&dir("parts").join(file)), "{file}");
    }
    let anew = run(&["fit", &text(&dir("parts/config.toml")), "--run-dir", &text(&dir("anew"))]);
    assert_eq!(anew.status.code(), Some(2), "{}", stderr(&anew));
    assert!(stderr(&anew).contains("../first") && !dir("anew").exists(), "{}", stderr(&anew));
}

/// All of a run's weights are taken over where nothing else is said, moving statistics too.
#[test]
fn a_whole_network_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    std::fs::write(dir("c.toml"), config(true, 8, "")).unwrap();
    succeed(&["fit", &text(&dir("c.toml")), "--run-dir", &text(&dir("first"))]);
    // Of the last checkpoint the optimizer's state is nobody's weight.
    for file in ["first/last.safetensors", "first/best.safetensors"] {
        let key = format!("training.initial_weights={:?}", file);
        let args =
            ["fit", &text(&dir("c.toml")), "--epochs", "0", "--set", &key, "--run-dir", &text(&dir("next"))];
        let output = succeed(&[&args[..], &["--overwrite"]].concat());
        let (ours, mut theirs) = (tensors(&dir("next/best.safetensors")), tensors(&dir(file)));
        theirs.retain(|(name, _)| !name.starts_with("optimizer/"));
        assert!(ours == theirs, "{file}");
        assert!(!stderr(&output).contains("drawn anew"), "{}", stderr(&output));
    }
}

/// Mean and variance are taken once, from the training part, and are weights of the checkpoint.
#[test]
fn a_fitted_normalization_is_part_of_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    let toml =
        config(true, 8, "").replacen("[[layers]]", "[[layers]]\ntype = \"Normalization\"\n[[layers]]", 1);
    std::fs::write(dir("c.toml"), toml).unwrap();
    succeed(&["fit", &text(&dir("c.toml")), "--run-dir", &text(&dir("whole"))]);
    succeed(&["fit", &text(&dir("c.toml")), "--epochs", "1", "--run-dir", &text(&dir("parts"))]);
    succeed(&["fit", "--resume", &text(&dir("parts")), "--epochs", "2"]);
    assert!(tensors(&dir("whole/last.safetensors")) == tensors(&dir("parts/last.safetensors")));
    let statistics = of(&dir("whole"), "best.safetensors", "normalization/");
    let number = |i: usize| f32::from_le_bytes(statistics[i].1[..].try_into().unwrap());
    assert_eq!(
        statistics.iter().map(|s| s.0.as_str()).collect::<Vec<_>>(),
        ["normalization/mean", "normalization/variance"]
    );
    // Of 200 scans: about 0.305 and 0.141 over all.
    assert!((0.29..0.32).contains(&number(0)) && (0.13..0.15).contains(&number(1)), "{statistics:?}");
    succeed(&["eval", &text(&dir("whole"))]);
}
