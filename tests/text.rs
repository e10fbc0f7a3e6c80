//! Texts from outside: a stateful network is judged on a walk, and goes on with a text token by token.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run_of(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nntrain")).args(args).output().expect("the binary starts")
}

fn succeed(args: &[&str]) -> String {
    let output = run_of(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refuse(args: &[&str]) -> String {
    let output = run_of(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A text of 1,201 characters with some order in it, and a config of a network for it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let words = ["to be", "or not", "that is", "the question", "whether"];
        let all = (0..).flat_map(|i: usize| words[(i * i + i / 3) % 5].chars().chain([' ']));
        std::fs::write(folder.path().join("t.txt"), all.take(1201).collect::<String>()).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Two recurrent layers of these keys; the last third is held out.
    fn config(&self, name: &str, dataset: &str, keys: &str) -> String {
        let toml = format!(
            "[dataset]\ntype = \"text\"\ntrain = \"t.txt\"\nvalidation = 0.334\n{dataset}\n\
             [[layers]]\ntype = \"Embedding\"\ninput_dim = 14\noutput_dim = 8\n\
             [[layers]]\ntype = \"LSTM\"\nunits = 12\nreturn_sequences = true\ndropout = 0.1\n{keys}\n\
             [[layers]]\ntype = \"GRU\"\nunits = 9\nreturn_sequences = true\n{keys}\n\
             [[layers]]\ntype = \"Dense\"\nunits = 14\n\
             [training]\nbatch_size = 6\noptimizer = {{ type = \"Adam\", learning_rate = 0.02 }}\n\
             loss = {{ type = \"sparse_categorical_crossentropy\", from_logits = true }}\nmetrics = [\"accuracy\"]\n"
        );
        let path = self.path(name);
        std::fs::write(&path, toml).unwrap();
        text(&path)
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_string()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Loss and accuracy that `eval --json` tells.
fn judged(args: &[&str]) -> (f64, f64, u64) {
    let object: serde_json::Value = serde_json::from_str(&succeed(args)).unwrap();
    let number = |key: &str| object[key].as_f64().unwrap();
    (number("loss"), number("accuracy"), object["samples"].as_u64().unwrap())
}

#[test]
fn a_walk_in_windows_has_the_loss_of_one_long_window() {
    let folder = Folder::new();
    // The same first weights; 400 characters in 50 windows that begin where the one before ends, and as one.
    let runs = [
        ("walk", "sequence_length = 8\nstride = 3", "stateful = true", 50),
        ("long", "sequence_length = 400", "", 1),
        ("cut", "sequence_length = 8", "", 50),
    ];
    let losses = runs.map(|(name, dataset, keys, samples)| {
        let config = folder.config(&format!("{name}.toml"), dataset, keys);
        let run = text(&folder.path(name));
        succeed(&["fit", &config, "--epochs", "0", "--run-dir", &run]);
        let (loss, accuracy, there) = judged(&["eval", &run, "--json"]);
        assert_eq!(there, samples);
        (loss, accuracy)
    });
    assert!((losses[0].0 - losses[1].0).abs() < 1e-6, "{losses:?}");
    assert_eq!(losses[0].1, losses[1].1);
    assert!((losses[2].0 - losses[1].0).abs() > 1e-6, "without a state there is another loss: {losses:?}");
}

#[test]
fn threads_and_resume_change_no_bit() {
    let folder = Folder::new();
    let config = folder.config("walk.toml", "sequence_length = 8\nstride = 3", "stateful = true");
    let fit = |name: &str, args: &[&str]| {
        let run = folder.path(name);
        succeed(&[&["fit", &config, "--run-dir", &text(&run)], args].concat());
        run
    };
    let whole = fit("whole", &["--epochs", "3", "--threads", "1"]);
    let threads = fit("threads", &["--epochs", "3", "--threads", "3"]);
    let parts = fit("parts", &["--epochs", "1"]);
    succeed(&["fit", "--resume", &text(&parts), "--epochs", "3"]);
    let weights = |run: &Path| {
        let bytes = read(&run.join("best.safetensors"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<(String, Vec<u8>)> =
            tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
        all.sort();
        all
    };
    let rows = |run: &Path| {
        let file = String::from_utf8(read(&run.join("history.csv"))).unwrap();
        file.lines().map(|l| l.rsplitn(3, ',').nth(2).unwrap().to_string()).collect::<Vec<_>>()
    };
    for other in [&threads, &parts] {
        assert!(weights(&whole) == weights(other) && rows(&whole) == rows(other), "{}", other.display());
    }
    assert!(weights(&whole).iter().all(|(name, _)| !name.ends_with("/state")), "a state is no weight");

    // What training said of the last epoch is what `eval` says of its weights.
    let last = text(&whole.join("last.safetensors"));
    let (loss, ..) = judged(&["eval", &last, "--json", "--split", "validation"]);
    let row = rows(&whole).pop().unwrap();
    let stored: f64 = row.split(',').nth(3).unwrap().parse().unwrap();
    assert!((loss - stored).abs() < 1e-9, "{loss} against {row}");

    // Windows that overlap are no walk.
    let said = refuse(&["eval", &last, "--split", "train"]);
    assert!(said.contains("train part overlap") && said.contains("`lstm`"), "{said}");
}

#[test]
fn a_stateful_network_goes_on_token_by_token() {
    let folder = Folder::new();
    let walk = folder.config("walk.toml", "sequence_length = 8", "stateful = true");
    let long = folder.config("long.toml", "sequence_length = 100", "");
    let said = [(&walk, "walk"), (&long, "long")].map(|(config, name)| {
        let run = text(&folder.path(name));
        succeed(&["fit", config, "--epochs", "0", "--run-dir", &run]);
        let prompt = "whether that is the question";
        succeed(&["generate", &run, "--prompt", prompt, "--tokens", "60", "--seed", "3"])
    });
    // 88 tokens: a window of 100 has seen all of them at each step.
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0].chars().count(), 89, "{:?}", said[0]);
}

#[test]
fn generate_says_what_is_amiss() {
    let folder = Folder::new();
    let run = text(&folder.path("run"));
    succeed(&[
        "fit",
        &folder.config("c.toml", "sequence_length = 8", ""),
        "--epochs",
        "0",
        "--run-dir",
        &run,
    ]);
    let said = refuse(&["generate", &run, "--prompt", "to be, or not"]);
    assert!(said.contains("the prompt has \",\"") && said.contains("it knows  abehinoqrstuw"), "{said}");
    assert_eq!(succeed(&["generate", &run, "--prompt", "to be", "--tokens", "0"]), "to be\n");
    let likeliest = || succeed(&["generate", &run, "--temperature", "0", "--tokens", "5", "--seed", "1"]);
    assert_eq!(likeliest(), succeed(&["generate", &run, "--top-k", "1", "--tokens", "5", "--seed", "2"]));
    for (arguments, part) in [
        (["--top-k", "0"], "from 1"),
        (["--temperature", "-1"], "0 or more"),
        (["--tokens", "-1"], "0 or more"),
        (["--tokens", "many"], "0 or more"),
    ] {
        let said = refuse(&[&["generate", &run][..], &arguments].concat());
        assert!(said.contains(part), "{arguments:?}: {said}");
    }

    // Words that the model does not know are no mistake, but are told.
    let words = text(&folder.path("words"));
    let config = folder.config("w.toml", "sequence_length = 8\ntokenizer = \"word\"", "");
    let ten = std::fs::read_to_string(&config).unwrap().replace("units = 14", "units = 10");
    std::fs::write(&config, ten).unwrap();
    succeed(&["fit", &config, "--epochs", "0", "--run-dir", &words]);
    let output = run_of(&["generate", &words, "--prompt", "whether to wait", "--tokens", "1"]);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && note.contains("1 of the prompt's 3 words"), "{note}");

    // A network that tells classes goes on with nothing.
    let config = format!("{}/configs/bag_of_words_text.toml", env!("CARGO_MANIFEST_DIR"));
    let classes = text(&folder.path("classes"));
    succeed(&["fit", &config, "--epochs", "0", "--run-dir", &classes]);
    let said = refuse(&["generate", &classes]);
    assert!(said.contains("it tells classes of texts") && said.contains("nntrain predict"), "{said}");
}
