//! Models that make samples: GANs and variational autoencoders, from the command line.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn nntrain(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    nntrain(args).output().expect("the binary starts")
}

fn succeed(args: &[&str]) -> String {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn fail(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_string()
}

/// A PNG's height and width.
fn size(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let reader = png::Decoder::new(file).read_info().unwrap();
    (reader.info().height, reader.info().width)
}

/// Bytes of the weights and of the optimizers' states.
fn tensors(run: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(run.join("last.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<(String, Vec<u8>)> =
        file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    all.sort();
    all
}

/// The history without what depends on time.
fn history(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("history.csv")).unwrap();
    let cut = |line: &str| line.rsplitn(3, ',').nth(2).unwrap().to_string();
    text.lines().map(cut).collect()
}

/// Kills a run when it has written some states, and lets it go on.
fn kill_and_resume(config: &str, dir: &Path) {
    let fit = ["fit", config, "--threads", "1", "--run-dir", &text(dir)];
    let mut child = nntrain(&fit).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 4 && child.try_wait().unwrap().is_none() {
        seen.extend(std::fs::read(dir.join("last.safetensors")));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "killed before it ended");
    succeed(&["fit", "--resume", &text(dir)]);
}

const GAN: &str = r#"
task = "gan"
[dataset]
type = "digits"
limit = 300
[networks.generator]
optimizer = { type = "Adam", beta_1 = 0.5 }
layers = [
  { type = "Dense", units = 64, use_bias = false },
  { type = "BatchNormalization" },
  { type = "ReLU" },
  { type = "Reshape", target_shape = [4, 4, 4] },
  { type = "Conv2DTranspose", filters = 1, kernel_size = 4, strides = 2, padding = "same", activation = "sigmoid" },
]
[networks.discriminator]
optimizer = { type = "RMSprop", learning_rate = 1e-3, use_ema = true, ema_momentum = 0.9 }
layers = [
  { type = "Conv2D", filters = 8, kernel_size = 3, strides = 2 },
  { type = "LeakyReLU" },
  { type = "Dropout", rate = 0.3 },
  { type = "Flatten" },
  { type = "Dense", units = 1, activation = "sigmoid" },
]
[training]
epochs = 12
batch_size = 10
[gan]
latent_dim = 8
d_steps = 2
label_noise = 0.05
grid = [2, 3]
[callbacks]
backup_and_restore = { save_freq = 5 }
"#;

#[test]
fn a_gan_is_trained_and_makes_samples() {
    let folder = tempfile::tempdir().unwrap();
    let (config, dir) = (folder.path().join("gan.toml"), folder.path().join("run"));
    std::fs::write(&config, GAN).unwrap();
    let fit = run(&["fit", &text(&config), "--verbose", "2", "--threads", "2", "--run-dir", &text(&dir)]);
    let said = String::from_utf8(fit.stderr).unwrap();
    assert!(said.contains("Last epoch 12: ") && !said.contains("Best epoch"), "{said}");
    let header = "epoch,d_loss,g_loss,d_accuracy_real,d_accuracy_fake,g_learning_rate,d_learning_rate";
    assert_eq!(history(&dir)[0], header);
    assert_eq!(history(&dir).len(), 13);
    for epoch in 1..=12 {
        assert_eq!(size(&dir.join(format!("samples/epoch_{epoch:04}.png"))), (66, 100));
    }
    let picture = std::fs::read_to_string(dir.join("history.svg")).unwrap();
    assert!(picture.contains("12 epochs<"), "none of them is the best");

    let grid = |name: &str, more: &[&str]| {
        let file = folder.path().join(name);
        succeed(&[&["generate", &text(&dir), "-o", &text(&file)], more].concat());
        (size(&file), std::fs::read(&file).unwrap())
    };
    let nine = grid("a.png", &["-n", "9"]);
    assert_eq!(nine.0, (100, 100));
    assert_eq!(grid("b.png", &["-n", "9", "--threads", "1"]), nine);
    assert_ne!(grid("c.png", &["-n", "9", "--seed", "1"]).1, nine.1);
    let csv = folder.path().join("s.csv");
    succeed(&["generate", &text(&dir), "-n", "5", "-o", &text(&csv)]);
    let rows = std::fs::read_to_string(&csv).unwrap();
    assert!(rows.starts_with("pixel_0_0,pixel_0_1,") && rows.lines().count() == 6, "{rows}");

    let resumed = folder.path().join("resumed");
    kill_and_resume(&text(&config), &resumed);
    assert_eq!(tensors(&resumed), tensors(&dir), "killed and resumed");
    assert_eq!(history(&resumed), history(&dir));
    let stored = folder.path().join("stored");
    succeed(&["fit", &text(&dir.join("config.toml")), "--verbose", "0", "--run-dir", &text(&stored)]);
    assert_eq!(tensors(&stored), tensors(&dir), "the stored config");

    let summary = succeed(&["summary", &text(&config)]);
    for part in ["generator/conv2d_transpose", "discriminator/conv2d", "noise"] {
        assert!(summary.contains(part), "{part} is not in\n{summary}");
    }
    succeed(&["check", &text(&config)]);
    assert!(fail(&["eval", &text(&dir)]).contains("no targets"));
    assert!(fail(&["predict", &text(&dir), &text(&csv)]).contains("nntrain generate"));
    assert!(fail(&["generate", &text(&dir)]).contains("-o grid.png"));
    assert!(fail(&["generate", &text(&dir), "--prompt", "x", "-o", "a.png"]).contains("--prompt"));
    assert!(fail(&["generate", &text(&dir), "-o", "a.gif"]).contains("neither a PNG nor a CSV"));
}

const VAE: &str = r#"
task = "autoencode"
[dataset]
type = "digits"
limit = 300
validation = 0.2
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 24
activation = "relu"
name = "encoded"
[[layers]]
type = "Dense"
units = 3
name = "z_mean"
[[layers]]
type = "Dense"
units = 3
name = "z_log_var"
from = "encoded"
[[layers]]
type = "Sampling"
from = ["z_mean", "z_log_var"]
kl_weight = 0.02
[[layers]]
type = "Dense"
units = 24
activation = "relu"
[[layers]]
type = "Dense"
units = 64
activation = "sigmoid"
[[layers]]
type = "Reshape"
target_shape = [8, 8, 1]
[training]
epochs = 12
batch_size = 10
optimizer = "adam"
loss = "binary_crossentropy"
metrics = ["mse"]
[callbacks]
backup_and_restore = { save_freq = 5 }
"#;

#[test]
fn a_variational_autoencoder_reconstructs_and_makes_samples() {
    let folder = tempfile::tempdir().unwrap();
    let (config, dir) = (folder.path().join("vae.toml"), folder.path().join("run"));
    std::fs::write(&config, VAE).unwrap();
    succeed(&["fit", &text(&config), "--verbose", "0", "--threads", "2", "--run-dir", &text(&dir)]);
    let rows = history(&dir);
    let own = "loss,reconstruction_loss,kl_loss,mean_squared_error";
    let header = rows[0].replace("mse", "mean_squared_error");
    assert_eq!(
        header,
        format!(
            "epoch,{own},{},learning_rate",
            own.split(',').map(|c| format!("val_{c}")).collect::<Vec<_>>().join(",")
        )
    );
    let row: Vec<f64> = rows[12].split(',').map(|c| c.parse().unwrap()).collect();
    let first: Vec<f64> = rows[1].split(',').map(|c| c.parse().unwrap()).collect();
    assert!((row[1] - (row[2] + 0.02 * row[3])).abs() < 1e-9, "the loss is the sum of its parts: {row:?}");
    assert!(row[2] < 0.8 * first[2] && row[3] > 0.0, "{first:?} {row:?}");
    assert!(dir.join("samples/epoch_0012.png").exists());
    let grid = folder.path().join("grid.png");
    succeed(&["generate", &text(&dir), "-n", "4", "-o", &text(&grid)]);
    assert_eq!(size(&grid), (66, 66));
    let called = fail(&["predict", &text(&dir), "any.csv", "-o", "recon.png"]);
    assert!(called.contains("rows of a CSV, and `recon.png` is called a picture"), "{called}");

    let digits = format!("{}/data/digits.csv", env!("CARGO_MANIFEST_DIR"));
    let made = succeed(&["predict", &text(&dir), &digits]);
    let (header, first) = made.split_once('\n').unwrap();
    assert!(header.starts_with("prediction_pixel_0_0,prediction_pixel_0_1"), "{header}");
    let pixels: Vec<f64> = first.lines().next().unwrap().split(',').map(|c| c.parse().unwrap()).collect();
    assert!(pixels.len() == 64 && pixels.iter().all(|p| (0.0..=16.0).contains(p)), "{pixels:?}");
    let judged: serde_json::Value = serde_json::from_str(&succeed(&["eval", &text(&dir), "--json"])).unwrap();
    assert!(judged["kl_loss"].as_f64().unwrap() > 0.0, "{judged}");

    let resumed = folder.path().join("resumed");
    kill_and_resume(&text(&config), &resumed);
    assert_eq!(tensors(&resumed), tensors(&dir), "killed and resumed");
    assert_eq!(history(&resumed), history(&dir));
}

const SERIES: &str = r#"
[dataset]
type = "series"
train = "s.csv"
target = "value"
normalize = "minmax"
window = 4
[training]
epochs = 2
batch_size = 10
"#;

/// Nothing is forecast where the input is the target.
#[test]
fn windows_of_a_series_are_reconstructed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let points = (0..40).fold("value\n".to_string(), |all, i| all + &format!("{}\n", 10 + i % 4));
    std::fs::write(path("s.csv"), points).unwrap();
    let network = r#"
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 4
[[layers]]
type = "Reshape"
target_shape = [4, 1]
"#;
    let training = SERIES.replace("batch_size = 10", "batch_size = 10\noptimizer = \"adam\"\nloss = \"mse\"");
    std::fs::write(path("ae.toml"), format!("task = \"autoencode\"\n{training}{network}")).unwrap();
    let checked = succeed(&["check", &path("ae.toml")]);
    assert!(checked.contains("training: 36 windows\n") && !checked.contains("last value"), "{checked}");
    succeed(&["fit", &path("ae.toml"), "--verbose", "0", "--run-dir", &path("run")]);
    assert!(!folder.path().join("run/forecast.svg").exists());

    std::fs::write(path("new.csv"), "value\n10\n11\n12\n13\n10\n").unwrap();
    let made = succeed(&["predict", &path("run"), &path("new.csv")]);
    let lines: Vec<&str> = made.lines().collect();
    assert_eq!(lines[0], "prediction_value_0,prediction_value_1,prediction_value_2,prediction_value_3");
    assert_eq!(lines.len(), 3, "two windows of four points: {made}");
    let cells = |line: &str| line.split(',').map(|c| c.parse().unwrap()).collect::<Vec<f64>>();
    assert!(lines[1..].iter().all(|line| cells(line).len() == 4), "{made}");
    let steps = fail(&["predict", &path("run"), &path("new.csv"), "--steps", "3"]);
    assert!(steps.contains("this model gives back what it is given"), "{steps}");
    std::fs::write(path("new.csv"), "value\n10\n").unwrap();
    assert!(fail(&["predict", &path("run"), &path("new.csv")]).contains("1 points"));
}

#[test]
fn a_sample_of_a_series_is_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let points = (0..40).fold("value\n".to_string(), |all, i| all + &format!("{}\n", 10 + i % 4));
    std::fs::write(path("s.csv"), points).unwrap();
    let networks = r#"
[networks.generator]
optimizer = "adam"
layers = [{ type = "Dense", units = 4, activation = "sigmoid" }, { type = "Reshape", target_shape = [4, 1] }]
[networks.discriminator]
optimizer = "adam"
layers = [{ type = "Flatten" }, { type = "Dense", units = 1, activation = "sigmoid" }]
"#;
    std::fs::write(path("gan.toml"), format!("task = \"gan\"\n{SERIES}{networks}")).unwrap();
    succeed(&["fit", &path("gan.toml"), "--verbose", "0", "--run-dir", &path("run")]);
    succeed(&["generate", &path("run"), "-n", "2", "-o", &path("made.csv")]);
    let made = std::fs::read_to_string(path("made.csv")).unwrap();
    let lines: Vec<&str> = made.lines().collect();
    assert_eq!((lines[0], lines.len()), ("value_0,value_1,value_2,value_3", 3), "{made}");
    let within = |cell: &str| (10.0..=13.0).contains(&cell.parse::<f64>().unwrap());
    assert!(lines[1].split(',').all(within) && lines[1] != lines[2], "{made}");
}
