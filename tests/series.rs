//! Series from outside: a stateful network sees windows that follow one another as one long sequence.

use std::path::{Path, PathBuf};
use std::process::Command;

fn succeed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nntrain")).args(args).output().expect("the binary starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A series of 60 points, of which the second half is held out.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.points("all.csv", &Folder::series(0..60));
        folder
    }

    fn series(points: std::ops::Range<usize>) -> Vec<f32> {
        points.map(|i| (i as f32 * 0.37).sin() + 0.2 * (i as f32 * 1.7).cos()).collect()
    }

    fn points(&self, name: &str, points: &[f32]) -> String {
        let rows: String = points.iter().map(|v| format!("{v}\n")).collect();
        std::fs::write(self.path(name), format!("value\n{rows}")).unwrap();
        text(&self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Two recurrent layers of these keys.
    fn config(&self, name: &str, dataset: &str, keys: &str) -> String {
        let toml = format!(
            "[dataset]\ntype = \"series\"\ntrain = \"all.csv\"\ntarget = \"value\"\nnormalize = \"none\"\n\
             validation = 0.5\n{dataset}\n\
             [[layers]]\ntype = \"LSTM\"\nunits = 6\nreturn_sequences = true\ndropout = 0.1\n{keys}\n\
             [[layers]]\ntype = \"GRU\"\nunits = 5\n{keys}\n\
             [[layers]]\ntype = \"Dense\"\nunits = 1\n\
             [training]\nbatch_size = 3\noptimizer = {{ type = \"Adam\", learning_rate = 0.02 }}\nloss = \"mse\"\n"
        );
        std::fs::write(self.path(name), toml).unwrap();
        text(&self.path(name))
    }

    /// A run of the first weights, which follow from the seed and the layers' names alone.
    fn first_weights(&self, name: &str, dataset: &str, keys: &str) -> String {
        let config = self.config(&format!("{name}.toml"), dataset, keys);
        let run = text(&self.path(name));
        succeed(&["fit", &config, "--epochs", "0", "--run-dir", &run]);
        run
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// What a run says comes behind the points of a file.
fn predicted(run: &str, file: &str, steps: usize) -> Vec<f32> {
    let said = succeed(&["predict", run, file, "--steps", &steps.to_string()]);
    said.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_stateful_network_has_seen_all_of_the_series() {
    let folder = Folder::new();
    let walk = folder.first_weights("walk", "window = 4\nstride = 4", "stateful = true");
    let long = folder.first_weights("long", "window = 29", "");
    let cut = folder.first_weights("cut", "window = 4\nstride = 4", "");
    let mut points = Folder::series(0..29);
    let known = folder.points("known.csv", &points);
    let all = predicted(&walk, &known, 3);
    assert_eq!(all[..1], predicted(&long, &known, 1), "windows of one sequence");
    assert_ne!(all[..1], predicted(&cut, &known, 1), "without a state the last window is all there is");
    // What was predicted is gone on from.
    points.push(all[0]);
    assert_eq!(all[1..], predicted(&walk, &folder.points("more.csv", &points), 2));
}

#[test]
fn a_stateful_network_is_judged_on_a_walk() {
    let folder = Folder::new();
    let judged = |run: &str| {
        let said = succeed(&["eval", run, "--json"]);
        let object: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(object["samples"], 8);
        object["loss"].as_f64().unwrap()
    };
    let run = folder.first_weights("walk", "window = 4\nstride = 4", "stateful = true");
    // The first target is the first point that is held out.
    let wrong = (0..8).map(|window| {
        let end = 30 + 4 * window;
        let file = folder.points("seen.csv", &Folder::series(26..end));
        let error = f64::from(predicted(&run, &file, 1)[0]) - f64::from(Folder::series(end..end + 1)[0]);
        error * error
    });
    let expected = wrong.sum::<f64>() / 8.0;
    assert!((judged(&run) - expected).abs() < 1e-7, "{} against {expected}", judged(&run));
    let cut = folder.first_weights("cut", "window = 4\nstride = 4", "");
    assert!((judged(&cut) - expected).abs() > 1e-5);
}

#[test]
fn training_goes_on_from_batch_to_batch() {
    let folder = Folder::new();
    // 7 windows in batches of 3: three stretches, of which the first has a third window.
    let fit = |name: &str, keys: &str, args: &[&str]| {
        let config = folder.config(&format!("{name}.toml"), "window = 4\nstride = 4", keys);
        let run = folder.path(name);
        succeed(&[&["fit", &config, "--run-dir", &text(&run)], args].concat());
        run
    };
    let weights = |run: &Path| std::fs::read(run.join("last.safetensors")).unwrap();
    let rows = |run: &Path| {
        let file = std::fs::read_to_string(run.join("history.csv")).unwrap();
        file.lines().map(|l| l.rsplitn(3, ',').nth(2).unwrap().to_string()).collect::<Vec<_>>()
    };
    let in_order = ["--set", "training.shuffle=false"];
    let with = |more: &[&'static str]| [&in_order[..], more].concat();
    let walk = "stateful = true";
    let whole = fit("whole", walk, &with(&["--epochs", "3", "--threads", "1"]));
    let threads = fit("threads", walk, &with(&["--epochs", "3", "--threads", "3"]));
    let parts = fit("parts", walk, &with(&["--epochs", "1"]));
    succeed(&["fit", "--resume", &text(&parts), "--epochs", "3"]);
    for other in [&threads, &parts] {
        assert_eq!(rows(&whole), rows(other), "{}", other.display());
        let tensors = [&whole, other].map(|run| {
            let bytes = weights(run);
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let mut all: Vec<(String, Vec<u8>)> =
                tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
            all.sort();
            all
        });
        assert_eq!(tensors[0], tensors[1], "{}", other.display());
    }
    let losses = |run: &Path| rows(run)[1].split(',').nth(1).unwrap().to_string();
    let from_zeros = fit("zeros", "", &with(&["--epochs", "1"]));
    assert_ne!(losses(&whole), losses(&from_zeros));
}
