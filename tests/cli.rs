//! The program from outside: runs, files, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn nntrain(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    nntrain(args).output().expect("the binary starts")
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

fn config(name: &str) -> String {
    format!("{}/configs/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

fn data(name: &str) -> String {
    format!("{}/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_string()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// History rows without the columns that hold times.
fn history(run: &Path) -> Vec<String> {
    let file = String::from_utf8(read(&run.join("history.csv"))).unwrap();
    let timeless = |line: &str| line.rsplitn(3, ',').nth(2).unwrap().to_string();
    file.lines().map(timeless).collect()
}

fn assert_same_run(a: &Path, b: &Path, what: &str) {
    assert_eq!(history(a), history(b), "{what}: history");
    for file in ["last.safetensors", "best.safetensors"] {
        assert!(tensors(&a.join(file)) == tensors(&b.join(file)), "{what}: {file} differs");
    }
}

/// Names and bytes of all tensors; the metadata names folders, which differ.
fn tensors(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = read(path);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn fit_eval_and_predict_on_bundled_digits() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let fit = succeed(&["fit", &config("cnn_digits"), "--epochs", "3", "--run-dir", &text(&run_dir)]);
    assert_eq!(stdout(&fit).trim(), text(&run_dir), "standard output names the folder");
    assert!(stderr(&fit).contains("Epoch 3/3"), "{}", stderr(&fit));
    for file in ["config.toml", "history.csv", "history.svg", "last.safetensors", "best.safetensors"] {
        assert!(run_dir.join(file).exists(), "{file} is written");
    }
    let header = String::from_utf8(read(&run_dir.join("history.csv"))).unwrap();
    let columns = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds,samples_per_second";
    assert_eq!(header.lines().next(), Some(columns));

    let eval = succeed(&["eval", &text(&run_dir), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&eval)).unwrap();
    assert!(json["accuracy"].as_f64().unwrap() > 0.9, "{json}");
    assert_eq!(json["classes"].as_array().unwrap().len(), 10);
    assert_eq!(json["confusion_matrix"].as_array().unwrap().len(), 10);

    let out = folder.path().join("out.csv");
    succeed(&["predict", &text(&run_dir), &data("digits.csv"), "-o", &text(&out), "--probabilities"]);
    let predicted = String::from_utf8(read(&out)).unwrap();
    assert_eq!(predicted.lines().count(), 1798);
    let truth = String::from_utf8(read(Path::new(&data("digits.csv")))).unwrap();
    let pairs = predicted.lines().skip(1).zip(truth.lines().skip(1));
    let hits = pairs.filter(|(p, t)| p.split(',').next() == t.rsplit(',').next()).count();
    assert!(hits > 1650, "{hits} of 1797");
}

#[test]
fn the_stored_config_reproduces_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    succeed(&["fit", &config("house_prices"), "--epochs", "50", "--run-dir", &text(&a)]);
    succeed(&["fit", &text(&a.join("config.toml")), "--run-dir", &text(&b)]);
    assert_same_run(&a, &b, "the stored config");
}

#[test]
fn threads_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let dirs: Vec<PathBuf> = ["1", "2", "5"].iter().map(|n| folder.path().join(n)).collect();
    for (dir, threads) in dirs.iter().zip(["1", "2", "5"]) {
        succeed(&[
            "fit",
            &config("cnn_digits"),
            "--epochs",
            "2",
            "--threads",
            threads,
            "--run-dir",
            &text(dir),
        ]);
    }
    assert_same_run(&dirs[0], &dirs[1], "2 threads");
    assert_same_run(&dirs[0], &dirs[2], "5 threads");
}

/// Kills the run as soon as a checkpoint of a new kind is there, goes on, and compares with a run
/// that was left alone. Where exactly it dies differs from time to time: the result must not.
#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let sets = ["--epochs", "12", "--set", "callbacks.backup_and_restore.save_freq=7"];
    let fit = |dir: &Path| {
        let dir = text(dir);
        let config = config("cnn_digits");
        nntrain(&[&["fit", &config, "--run-dir", &dir], &sets[..]].concat())
    };
    assert!(fit(&whole).output().unwrap().status.success());
    for checkpoints in [1, 3, 9, 17] {
        let dir = folder.path().join(format!("killed{checkpoints}"));
        let mut child = fit(&dir).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut seen = std::collections::HashSet::new();
        while seen.len() < checkpoints && child.try_wait().unwrap().is_none() {
            if let Ok(bytes) = std::fs::read(dir.join("last.safetensors")) {
                seen.insert(bytes);
            }
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "killed before it ended");
        succeed(&["fit", "--resume", &text(&dir)]);
        assert_same_run(&whole, &dir, &format!("killed after {checkpoints} checkpoints"));
    }
}

/// Everything that has a state of its own, killed inside an epoch: moving statistics, dropout's
/// numbers, accumulated gradients, averaged weights, Nadam's product, a plateau, a warm-up, metrics.
#[test]
fn every_kind_of_state_survives_a_kill() {
    const NETWORK: &str = r#"
[dataset]
type = "digits"
validation = 0.2
limit = 400
[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 3
[[layers]]
type = "BatchNormalization"
[[layers]]
type = "ReLU"
[[layers]]
type = "Flatten"
[[layers]]
type = "Dropout"
rate = 0.3
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
kernel_regularizer = "l2"
[training]
epochs = 12
batch_size = 10
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy", "auc", "f1_score"]
class_weight = "balanced"
"#;
    const STATES: [&str; 3] = [
        "optimizer = { type = \"Nadam\", use_ema = true, ema_momentum = 0.9, global_clipnorm = 1.0 }\n[callbacks]\n\
         reduce_lr_on_plateau = { factor = 0.5, patience = 1 }\nlearning_rate_warmup = { epochs = 2 }\n",
        "optimizer = { type = \"Adam\", amsgrad = true, weight_decay = 0.01 }\ngradient_accumulation_steps = 3\n\
         [callbacks]\nearly_stopping = { patience = 4, restore_best_weights = true }\n",
        "optimizer = { type = \"SGD\", momentum = 0.9, learning_rate = { type = \"CosineDecayRestarts\", \
         initial_learning_rate = 0.05, first_decay_steps = 40 } }\n[callbacks]\n",
    ];
    let folder = tempfile::tempdir().unwrap();
    for (number, state) in STATES.iter().enumerate() {
        let config = folder.path().join(format!("{number}.toml"));
        std::fs::write(&config, format!("{NETWORK}{state}backup_and_restore = {{ save_freq = 7 }}\n"))
            .unwrap();
        let (whole, dir) =
            (folder.path().join(format!("{number}w")), folder.path().join(format!("{number}k")));
        succeed(&["fit", &text(&config), "--run-dir", &text(&whole)]);
        let mut child = nntrain(&["fit", &text(&config), "--run-dir", &text(&dir)])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut seen = std::collections::HashSet::new();
        while seen.len() < 8 && child.try_wait().unwrap().is_none() {
            if let Ok(bytes) = std::fs::read(dir.join("last.safetensors")) {
                seen.insert(bytes);
            }
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "killed before it ended");
        let begun =
            nntrain::checkpoint::read(&dir.join("last.safetensors")).unwrap().meta.resume.unwrap().begun;
        succeed(&["fit", "--resume", &text(&dir)]);
        assert_same_run(&whole, &dir, &format!("{state}, killed at {:?}", begun.map(|b| b.steps)));
    }
}

#[test]
fn a_finished_run_is_extended() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    succeed(&["fit", &config("cnn_digits"), "--epochs", "3", "--run-dir", &text(&whole)]);
    succeed(&["fit", &config("cnn_digits"), "--epochs", "1", "--run-dir", &text(&parts)]);
    succeed(&["fit", "--resume", &text(&parts), "--epochs", "3"]);
    assert_same_run(&whole, &parts, "1 epoch and 2 more");
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dir) = (folder.path().join("whole"), folder.path().join("run"));
    let sets = ["--epochs", "20", "--set", "callbacks.backup_and_restore.save_freq=50"];
    let args = |dir: &Path| {
        [
            &["fit".to_string(), config("cnn_digits"), "--run-dir".into(), text(dir)][..],
            &sets.map(String::from)[..],
        ]
        .concat()
    };
    let spawn = |dir: &Path| {
        let args = args(dir);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        nntrain(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    };
    assert!(spawn(&whole).wait_with_output().unwrap().status.success());
    let child = spawn(&dir);
    while !dir.join("last.safetensors").exists() {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("nntrain fit --resume"), "{}", stderr(&output));
    succeed(&["fit", "--resume", &text(&dir)]);
    assert_same_run(&whole, &dir, "interrupted");
}

#[test]
fn divergence_is_said_and_the_last_good_state_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let output = run(&[
        "fit",
        &config("house_prices"),
        "--run-dir",
        &text(&dir),
        "--set",
        "training.optimizer.learning_rate=1e30",
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("the loss became") && said.contains("hint:"), "{said}");
    for tensor in tensors(&dir.join("last.safetensors")) {
        let numbers = tensor.1.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        assert!(numbers.into_iter().all(f32::is_finite), "{} is finite", tensor.0);
    }
}

#[test]
fn no_epochs_write_the_first_weights() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    succeed(&["fit", &config("cnn_digits"), "--epochs", "0", "--run-dir", &text(&dir)]);
    succeed(&["eval", &text(&dir)]);
    assert_eq!(history(&dir).len(), 1, "a header and no rows");
}

#[test]
fn predict_streams_from_stdin_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    succeed(&["fit", &config("house_prices"), "--epochs", "20", "--run-dir", &text(&dir)]);
    let rows: String = (0..1000).map(|i| format!("{},{}\r\n", 60 + i % 100, i % 30)).collect();
    let input = folder.path().join("in.csv");
    // Another order of columns, a column too many, quotes, CRLF and a byte-order mark: all read.
    let swapped: String =
        rows.lines().map(|l| l.split_once(',').unwrap()).map(|(s, a)| format!("x,{a},\"{s}\"\r\n")).collect();
    std::fs::write(&input, format!("\u{feff}note,age,size\r\n{swapped}")).unwrap();
    let from_file = succeed(&["predict", &text(&dir), &text(&input)]);
    let mut child =
        nntrain(&["predict", &text(&dir), "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(format!("size,age\n{rows}").as_bytes()).unwrap();
    let piped = child.wait_with_output().unwrap();
    assert!(piped.status.success());
    assert_eq!(stdout(&piped), stdout(&from_file));
    assert_eq!(stdout(&piped).lines().count(), 1001);
}

#[test]
fn a_bad_row_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, input, out) =
        (folder.path().join("run"), folder.path().join("in.csv"), folder.path().join("out.csv"));
    succeed(&["fit", &config("house_prices"), "--epochs", "1", "--run-dir", &text(&dir)]);
    std::fs::write(&input, "size,age\n100,5\n90,old\n").unwrap();
    for args in [vec!["predict", "RUN", "IN", "-o", "OUT"], vec!["predict", "RUN", "IN"]] {
        let (r, i, o) = (text(&dir), text(&input), text(&out));
        let args: Vec<&str> = args
            .into_iter()
            .map(|a| match a {
                "RUN" => &r,
                "IN" => &i,
                "OUT" => &o,
                a => a,
            })
            .collect();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("in.csv:3:4"), "{}", stderr(&output));
        assert!(stdout(&output).is_empty() && !out.exists());
    }
}

#[test]
fn damaged_checkpoints_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    succeed(&["fit", &config("house_prices"), "--epochs", "1", "--run-dir", &text(&dir)]);
    let good = read(&dir.join("best.safetensors"));
    let check = |name: &str, bytes: &[u8], part: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let output = run(&["eval", &text(&file), "--data", &data("houses.csv")]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{name}: {}", stderr(&output));
    };
    check("truncated.safetensors", &good[..good.len() - 10], "not a complete safetensors file");
    check("empty.safetensors", b"", "not a complete safetensors file");
    check("text.safetensors", b"hello, this is not a checkpoint", "not a complete safetensors file");
    // One bit anywhere in the tensors or in the metadata.
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut flipped = good.clone();
    flipped[header + 5] ^= 1;
    check("flipped.safetensors", &flipped, "checksum");
    let key = b"\\\"format\\\":1";
    let version = good.windows(key.len()).position(|w| w == key).expect("the format is in the metadata");
    let mut other = good.clone();
    other[version + 11] = b'9';
    check("version.safetensors", &other, "format version 9");
}

/// Every single bit of the metadata matters: none can flip unnoticed.
#[test]
fn no_flipped_bit_of_the_header_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    succeed(&["fit", &config("house_prices"), "--epochs", "0", "--run-dir", &text(&dir)]);
    let good = read(&dir.join("best.safetensors"));
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let file = folder.path().join("flipped.safetensors");
    let mut unnoticed = vec![];
    for at in (0..header).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bytes).unwrap();
        if nntrain::checkpoint::read(&file).is_ok() {
            unnoticed.push(at);
        }
    }
    // A flip that turns padding after the header from one white space into another changes nothing.
    unnoticed.retain(|at| good[*at] != b' ');
    assert!(unnoticed.is_empty(), "flips at {unnoticed:?} of {header}");
}

#[test]
fn an_unwritable_run_folder_is_found_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let output = run(&["fit", &config("house_prices"), "--run-dir", &text(&file.join("run"))]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot make the run folder"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    succeed(&["fit", &config("house_prices"), "--epochs", "1", "--run-dir", &text(&dir)]);
    let output = nntrain(&["predict", &text(&dir), &data("houses.csv")])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
}

#[test]
fn usage_mistakes_exit_with_2_and_help_has_examples() {
    for args in [
        &["fit"][..],
        &["fit", "a", "--resume", "b"],
        &["no-such-command"],
        &["fit", "x.toml", "--threads", "0"],
        &["time", "x.toml", "--steps", "0"],
        &["time", "x.toml", "--steps", "-3"],
        &["time", "x.toml", "--steps", "many"],
        &["time", "no/such.toml"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    let missing = run(&["fit", "no/such.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("no/such.toml"), "{}", stderr(&missing));
    for command in ["fit", "eval", "predict", "summary", "check", "time"] {
        assert!(stdout(&succeed(&[command, "--help"])).contains("Examples:"), "{command}");
    }
}

#[test]
fn verbosity_and_streams() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |n: &str| text(&folder.path().join(n));
    let silent =
        succeed(&["fit", &config("house_prices"), "--epochs", "2", "--verbose", "0", "--run-dir", &dir("a")]);
    assert!(stderr(&silent).is_empty(), "{}", stderr(&silent));
    let lines = succeed(&["fit", &config("house_prices"), "--epochs", "2", "--run-dir", &dir("b")]);
    let said = stderr(&lines);
    assert_eq!(said.matches("Epoch ").count(), 2, "no terminal: a line per epoch, no bar: {said}");
    assert!(!said.contains('\r') && !said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn summary_counts_parameters() {
    let output = succeed(&["summary", &config("cnn_digits")]);
    let said = stdout(&output);
    for part in ["conv2d", "(Conv2D)", "dense_1", "[N,10]", "320", "9,248"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

/// Every layer has its rows, their shares are the step, and nothing is written.
#[test]
fn time_shows_where_the_step_goes() {
    let folder = tempfile::tempdir().unwrap();
    let time = |more: &[&str]| {
        let config = config("cnn_digits");
        let args = [&["time", &config, "--steps", "5", "--threads", "2"], more].concat();
        let output = nntrain(&args).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let said = time(&[]);
    for part in
        ["conv2d + relu", "max_pooling2d", "flatten", "dropout", "dense_1", "loss", "optimizer", "samples/s"]
    {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    // The first percentage of a row is its share of the step.
    let share = |line: &str| -> Option<f64> { line.split(" %").next()?.split(' ').next_back()?.parse().ok() };
    let row = |line: &&str| line.contains("forward  ") || line.contains("backward  ");
    let outside = |line: &&str| ["data ", "metrics ", "optimizer "].iter().any(|p| line.starts_with(p));
    let (layers, phases) = said.split_once("\nPhase").unwrap();
    let shares = layers.lines().filter(row).chain(phases.lines().filter(outside)).map(|l| share(l).unwrap());
    let sum: f64 = shares.sum();
    assert!((sum - 100.0).abs() < 2.0, "the shares' sum is {sum} in\n{said}");

    let json: serde_json::Value = serde_json::from_str(&time(&["--json", "--seed", "3"])).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("no number: {value}"));
    let seconds: Vec<f64> =
        json["step"]["phases"].as_object().unwrap().values().map(|p| number(&p["seconds"])).collect();
    let step = number(&json["step"]["seconds"]);
    assert_eq!((seconds.len(), &json["step"]["measured"]), (5, &5.into()));
    assert!((seconds.iter().sum::<f64>() / step - 1.0).abs() < 1e-9, "{json:#}");
    let passes = json["layers"].as_array().unwrap().iter().flat_map(|l| [&l["forward"], &l["backward"]]);
    let passes: f64 = passes.filter(|p| !p.is_null()).map(|p| number(&p["seconds"])).sum();
    let both = number(&json["step"]["phases"]["forward"]["seconds"])
        + number(&json["step"]["phases"]["backward"]["seconds"]);
    assert!((passes / both - 1.0).abs() < 1e-9, "{json:#}");
    assert_eq!(json["machine"]["threads"], 2);
    assert!(number(&json["machine"]["fma_gflops"]) > 0.0 && number(&json["machine"]["copy_gb_per_s"]) > 0.0);
    assert_eq!(
        (&json["layers"][0]["name"], &json["layers"][0]["fused"][0]),
        (&"conv2d".into(), &"relu".into())
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no run folder is made");
}

/// Mistakes are told as by the other commands, and a step that diverges ends it.
#[test]
fn time_refuses_what_fit_refuses() {
    let wrong = run(&["time", &config("cnn_digits"), "--set", "layers.conv2d.filter=3"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("filter"), "{}", stderr(&wrong));
    let rate = "training.optimizer.learning_rate=1e30";
    let diverged = run(&["time", &config("house_prices"), "--set", rate]);
    assert_eq!(diverged.status.code(), Some(3), "{}", stderr(&diverged));
}

/// A csv with a test part and no validation part: the test part is judged at the end.
#[test]
fn a_test_part_needs_no_validation_part() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows: usize| {
        let rows: String = (0..rows).map(|i| format!("{i},{}\n", 2 * i)).collect();
        std::fs::write(folder.path().join(name), format!("x,y\n{rows}")).unwrap();
    };
    file("train.csv", 20);
    file("test.csv", 50);
    let config = folder.path().join("line.toml");
    let toml = "[dataset]\ntype = \"csv\"\ntrain = \"train.csv\"\ntest = \"test.csv\"\ntarget = \"y\"\n\
                normalize_target = \"standard\"\n[[layers]]\ntype = \"Dense\"\nunits = 1\n[training]\nepochs = 3\n\
                batch_size = 8\noptimizer = \"sgd\"\nloss = \"mse\"\nmetrics = [\"mae\"]\n";
    std::fs::write(&config, toml).unwrap();
    let dir = folder.path().join("run");
    let output = succeed(&["fit", &text(&config), "--run-dir", &text(&dir)]);
    assert!(stderr(&output).contains("Test: loss"), "{}", stderr(&output));
    let eval = stdout(&succeed(&["eval", &text(&dir)]));
    assert!(eval.starts_with("50 samples (test)"), "{eval}");
    let timed = succeed(&["eval", &text(&dir), "--time"]);
    assert_eq!(stdout(&timed), eval);
    let said = stderr(&timed);
    assert!(said.starts_with("50 samples in 0.") && said.ends_with(" samples/s\n"), "{said}");

    // With averaged weights, and a best epoch that is not the last, both tell of the same weights.
    let dir = folder.path().join("averaged");
    let sets = ["optimizer.use_ema=true", "optimizer.ema_momentum=0.5"].map(|s| format!("training.{s}"));
    let worst = ["monitor=loss", "mode=max"].map(|s| format!("callbacks.model_checkpoint.{s}"));
    let sets: Vec<&str> = sets.iter().chain(&worst).flat_map(|s| ["--set", s.as_str()]).collect();
    let output = succeed(&[&["fit", &text(&config), "--run-dir", &text(&dir)], &sets[..]].concat());
    let said = stderr(&output);
    assert!(said.contains("Best epoch 1:"), "{said}");
    let figures = said.split("Test: ").nth(1).unwrap().trim();
    let eval = stdout(&succeed(&["eval", &text(&dir)]));
    assert!(eval.lines().next().unwrap().ends_with(figures), "{figures} in\n{eval}");
}

/// A validation loss that is not finite ends the run too, and what is left can be opened.
#[test]
fn an_infinite_validation_loss_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows: String = (0..40).map(|i| format!("{},{}\n", i % 7, i % 5)).collect();
    rows.push_str("1e30,1\n");
    std::fs::write(folder.path().join("t.csv"), format!("x,y\n{rows}")).unwrap();
    let config = folder.path().join("c.toml");
    let toml = "[dataset]\ntype = \"csv\"\ntrain = \"t.csv\"\ntarget = \"y\"\nnormalize = \"none\"\n\
                validation = { type = \"tail\", fraction = 0.1 }\n[[layers]]\ntype = \"Dense\"\nunits = 1\n\
                [training]\nepochs = 3\noptimizer = \"sgd\"\nloss = \"mse\"\n";
    std::fs::write(&config, toml).unwrap();
    let dir = folder.path().join("run");
    let output = run(&["fit", &text(&config), "--run-dir", &text(&dir)]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("`val_loss` is inf in epoch 1"), "{}", stderr(&output));
    succeed(&["eval", &text(&dir.join("last.safetensors")), "--split", "train"]);
}

/// `save_freq` that falls on an epoch's end is kept to, and a run cannot end before what it has done.
#[test]
fn resume_points_at_epoch_ends_and_no_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let steps = "callbacks.backup_and_restore.save_freq=45";
    let config = config("cnn_digits");
    let mut child = nntrain(&["fit", &config, "--epochs", "500", "--set", steps, "--run-dir", &text(&dir)])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let done = || nntrain::checkpoint::read(&dir.join("last.safetensors")).map_or(0, |c| c.meta.epoch);
    while done() < 2 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = read(&dir.join("config.toml"));
    let output = run(&["fit", "--resume", &text(&dir), "--epochs", "1"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("so it cannot end after 1"), "{}", stderr(&output));
    assert_eq!(read(&dir.join("config.toml")), before, "a refused resume changes nothing");
}

/// Blocks through everything that holds a config: changes by `--set`, the run folder's own config,
/// checkpoints, a kill and the way on.
#[test]
fn blocks_are_kept_through_a_run() {
    const CONFIG: &str = r#"
[dataset]
type = "digits"
validation = 0.2
limit = 300
[blocks.residual]
required = ["filters"]
params = { strides = 1 }
layers = [
  { type = "Conv2D", filters = "$filters", kernel_size = 3, strides = "$strides", padding = "same" },
  { type = "BatchNormalization", name = "residue" },
  { type = "Conv2D", name = "shortcut", filters = "$filters", kernel_size = 1, strides = "$strides", from = "$input", when = "shape_differs" },
  { type = "Add", from = ["residue", "shortcut"] },
]
[[layers]]
type = "residual"
filters = 4
repeat = 2
[[layers]]
type = "residual"
filters = 6
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
[training]
epochs = 20
batch_size = 10
optimizer = "adam"
loss = "sparse_categorical_crossentropy"
[callbacks]
backup_and_restore = { save_freq = 7 }
"#;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("blocks.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let dir = |name: &str| folder.path().join(name);
    let sets = ["blocks.residual.params.strides=2", "layers.residual_1.filters=8"];
    let sets = [&sets[..], &["blocks.residual.layers.conv2d.use_bias=false"]].concat();
    let sets: Vec<&str> = sets.iter().flat_map(|s| ["--set", s]).collect();
    let fit = |name: &str| {
        let (config, dir) = (text(&config), text(&dir(name)));
        nntrain(&[&["fit", &config, "--run-dir", &dir], &sets[..]].concat())
    };
    assert!(fit("whole").output().unwrap().status.success());
    let keys: Vec<String> =
        tensors(&dir("whole").join("best.safetensors")).into_iter().map(|t| t.0).collect();
    assert!(keys.contains(&"residual/2/conv2d/kernel".into()), "{keys:?}");
    assert!(keys.contains(&"residual_1/shortcut/bias".into()), "{keys:?}");
    assert!(!keys.iter().any(|k| k.ends_with("conv2d/bias")), "{keys:?}");

    let mut child = fit("killed").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 5 && child.try_wait().unwrap().is_none() {
        if let Ok(bytes) = std::fs::read(dir("killed").join("last.safetensors")) {
            seen.insert(bytes);
        }
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "killed before it ended");
    succeed(&["fit", "--resume", &text(&dir("killed"))]);
    assert_same_run(&dir("whole"), &dir("killed"), "killed and resumed");

    succeed(&["fit", &text(&dir("whole").join("config.toml")), "--run-dir", &text(&dir("stored"))]);
    assert_same_run(&dir("whole"), &dir("stored"), "the stored config");

    let summaries = [&dir("whole").join("config.toml"), &dir("whole").join("best.safetensors")]
        .map(|path| stdout(&succeed(&["summary", &text(path)])));
    for part in ["residual/2/add (Add)", "[N,1,1,8]", "residual_1/shortcut (Conv2D)"] {
        assert!(
            summaries.iter().all(|s| s.contains(part)),
            "{part} is not in\n{}\n{}",
            summaries[0],
            summaries[1]
        );
    }
    let stored = text(&dir("whole").join("config.toml"));
    let unit = succeed(&["summary", &stored, "--set", "blocks.residual.params.strides=1"]);
    assert!(stdout(&unit).contains("Left out, as the shape stays: residual/2/shortcut"), "{}", stdout(&unit));
    succeed(&["eval", &text(&dir("whole"))]);
}

/// A series goes on from its last window; the run shows what it predicts.
#[test]
fn a_series_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, csv) = (folder.path().join("run"), folder.path().join("s.csv"));
    std::fs::write(&csv, (0..40).fold("value\n".to_string(), |all, i| all + &format!("{}\n", i % 4)))
        .unwrap();
    let set =
        format!("dataset={{ type = \"series\", train = {:?}, target = \"value\", window = 4 }}", text(&csv));
    let fit = ["fit", &config("gru_sine"), "--set", &set, "--epochs", "60", "--verbose", "0", "--run-dir"];
    succeed(&[&fit[..], &[&text(&dir)]].concat());
    assert!(dir.join("forecast.svg").exists());
    let output = stdout(&succeed(&["predict", &text(&dir), &text(&csv), "--steps", "6"]));
    let rows: Vec<Vec<f64>> =
        output.lines().skip(1).map(|l| l.split(',').map(|c| c.parse().unwrap()).collect()).collect();
    assert_eq!(output.lines().next(), Some("step,prediction"));
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row[0], (i + 1) as f64);
        assert!((row[1] - (i % 4) as f64).abs() < 0.5, "{output}");
    }
    assert_eq!(rows.len(), 6);
    std::fs::write(&csv, "value\n1\n2\n").unwrap();
    let refused = run(&["predict", &text(&dir), &text(&csv)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("2 points"), "{}", stderr(&refused));
    let refused = run(&["generate", &text(&dir)]);
    assert!(stderr(&refused).contains("does not go on with a text"), "{}", stderr(&refused));
}

/// A text is gone on with: the same seed says the same, and what was learnt by heart is said again.
#[test]
fn a_text_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("run"), folder.path().join("t.toml"));
    std::fs::write(folder.path().join("t.txt"), "hello world, ".repeat(60)).unwrap();
    std::fs::write(
        &file,
        r#"
[dataset]
type = "text"
train = "t.txt"
sequence_length = 16
stride = 3

[[layers]]
type = "Embedding"
input_dim = 9
output_dim = 8

[[layers]]
type = "LSTM"
units = 24
return_sequences = true

[[layers]]
type = "Dense"
units = 9
activation = "softmax"

[training]
epochs = 12
batch_size = 8
optimizer = { type = "Adam", learning_rate = 0.02 }
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy"]
"#,
    )
    .unwrap();
    succeed(&["fit", &text(&file), "--verbose", "0", "--run-dir", &text(&dir)]);
    let say =
        |more: &[&str]| stdout(&succeed(&[&["generate", &text(&dir), "--prompt", "hello"], more].concat()));
    assert_eq!(say(&["--tokens", "21", "--temperature", "0"]), "hello world, hello world, \n");
    assert_eq!(say(&["--seed", "3"]), say(&["--seed", "3"]));
    let eval: serde_json::Value =
        serde_json::from_str(&stdout(&succeed(&["eval", &text(&dir), "--split", "train", "--json"])))
            .unwrap();
    assert!(eval["perplexity"].as_f64().unwrap() < 1.5, "{eval}");
    let refused = run(&["generate", &text(&dir), "--prompt", "Hello"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("\"H\""), "{}", stderr(&refused));
    let small = run(&["check", &text(&file)]);
    assert!(small.status.success());
    let broken = std::fs::read_to_string(&file).unwrap().replace("input_dim = 9", "input_dim = 5");
    std::fs::write(&file, broken).unwrap();
    let refused = run(&["check", &text(&file)]);
    assert!(stderr(&refused).contains("the dataset has 9 different tokens"), "{}", stderr(&refused));
}

/// Two inputs and two targets of a table, from the CSV to the reports and the columns of predictions.
#[test]
fn a_table_with_a_class_and_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("run"), folder.path().join("t.toml"));
    let row = |i: usize| {
        let (a, b) = (i * 7 % 20, i * 11 % 19);
        format!("{a},{b},{},{}\n", if a > b { "first" } else { "second" }, 100 * (a + b))
    };
    let rows =
        |range: std::ops::Range<usize>| format!("a,b,larger,sum\n{}", range.map(row).collect::<String>());
    let other = folder.path().join("other.csv");
    std::fs::write(folder.path().join("t.csv"), rows(0..300)).unwrap();
    std::fs::write(&other, rows(300..380)).unwrap();
    std::fs::write(
        &file,
        r#"
[dataset]
type = "csv"
train = "t.csv"
target = ["larger", "sum"]
task = { larger = "classification", sum = "regression" }
normalize_target = "standard"
validation = { type = "stratified", fraction = 0.2 }

[inputs.left]
columns = "a"

[inputs.right]

[[layers]]
type = "Concatenate"
from = ["left", "right"]
name = "both"

[[layers]]
type = "Dense"
units = 2
activation = "softmax"
name = "larger"

[[layers]]
type = "Dense"
units = 1
from = "both"
name = "total"

[training]
epochs = 60
batch_size = 16
optimizer = { type = "Adam", learning_rate = 0.05 }

[[training.loss]]
output = "larger"
type = "sparse_categorical_crossentropy"
metrics = ["accuracy"]

[[training.loss]]
output = "total"
target = "sum"
type = "mse"
weight = 0.5
metrics = ["mae"]
"#,
    )
    .unwrap();
    let fit = succeed(&["fit", &text(&file), "--verbose", "0", "--run-dir", &text(&dir)]);
    assert!(stderr(&fit).is_empty(), "{}", stderr(&fit));
    let header = String::from_utf8(read(&dir.join("history.csv"))).unwrap();
    let columns = "epoch,loss,larger_loss,total_loss,larger_accuracy,total_mae,val_loss,val_larger_loss,val_total_loss,\
                   val_larger_accuracy,val_total_mae,";
    assert!(header.starts_with(columns), "{header}");

    // The held-out rows, and others by what training has fitted: figures and reports of each output.
    for more in [&[][..], &["--data", &text(&other)]] {
        let json = stdout(&succeed(&[&["eval", &text(&dir), "--json"], more].concat()));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json["larger_accuracy"].as_f64().unwrap() > 0.9, "{json}");
        // In the column's own units.
        assert!(json["total_mae"].as_f64().unwrap() < 50.0, "{json}");
        let (kinds, sums) = (&json["outputs"]["larger"], &json["outputs"]["total"]["per_column"][0]);
        assert_eq!(kinds["classes"], serde_json::json!(["first", "second"]));
        let both = [&sums["mean_absolute_error"], &json["total_mae"]].map(|v| v.as_f64().unwrap());
        assert!(sums["column"] == "sum" && (both[0] - both[1]).abs() < 0.01, "{json}");
        let report = stdout(&succeed(&[&["eval", &text(&dir)], more].concat()));
        for part in ["larger_accuracy", "Output `larger`", "Output `total`", "confusion matrix", "RMSE"] {
            assert!(report.contains(part), "{part} is not in\n{report}");
        }
        assert!(report.lines().skip(1).all(|line| line.chars().count() <= 80), "\n{report}");
    }

    let predicted = stdout(&succeed(&["predict", &text(&dir), &text(&other), "--probabilities"]));
    let mut lines = predicted.lines();
    let columns = "prediction_larger,p_larger_first,p_larger_second,prediction_total";
    assert_eq!(lines.next(), Some(columns));
    let truth = rows(300..380);
    let right = lines.zip(truth.lines().skip(1)).filter(|(predicted, truth)| {
        let (cells, truth): (Vec<&str>, Vec<&str>) =
            (predicted.split(',').collect(), truth.split(',').collect());
        let (p, sum): (Vec<f64>, f64) =
            (cells[1..].iter().map(|c| c.parse().unwrap()).collect(), truth[3].parse().unwrap());
        assert!((p[0] + p[1] - 1.0).abs() < 1e-5 && (p[2] - sum).abs() < 200.0, "{predicted} {truth:?}");
        cells[0] == truth[2]
    });
    assert!(right.count() > 70);

    std::fs::write(&other, "a,b,larger\n1,2,third\n").unwrap();
    let refused = run(&["eval", &text(&dir), "--data", &text(&other)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("the target column `sum` is missing"), "{}", stderr(&refused));
    let sets = ["--set", "dataset.task={ lager = \"classification\" }"];
    let refused = run(&[&["check", &text(&file)], &sets[..]].concat());
    let said = stderr(&refused);
    assert!(said.contains("`lager`, which is no target") && said.contains("did you mean `larger`"), "{said}");
}
