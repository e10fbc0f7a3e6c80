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
