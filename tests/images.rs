//! Pictures from outside: folders of classes, augmentation, masks, clips.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary starts")
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

/// A PNG of one colour, with a darker corner.
fn write_png(path: &Path, width: u32, height: u32, grey: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut pixels = vec![grey; (width * height) as usize];
    pixels[0] = grey / 2;
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// Names and bytes of all weights of a run's last state.
fn weights(run: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(run.join("last.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.data().to_vec())).collect();
    all.sort();
    all
}

const CLASSIFIER: &str = r#"
[dataset]
type = "image_folder"
train = "pictures"
image_size = [8, 8]
channels = 1
validation = "test"
[[layers]]
type = "RandomFlip"
[[layers]]
type = "RandomRotation"
factor = 0.1
[[layers]]
type = "RandomCrop"
height = 6
width = 6
[[layers]]
type = "RandomContrast"
factor = 0.2
[[layers]]
type = "Conv2D"
filters = 3
kernel_size = 3
activation = "relu"
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 2
activation = "softmax"
[training]
epochs = 8
batch_size = 4
optimizer = { type = "Adam", learning_rate = 0.02 }
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy"]
"#;

/// Eight dark and eight bright pictures of different sizes, and two to test.
fn pictures() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..8u8 {
        let size = 8 + u32::from(i);
        write_png(&folder.path().join(format!("pictures/train/dark/{i}.png")), size, 8, 10 + 5 * i);
        write_png(&folder.path().join(format!("pictures/train/bright/{i}.png")), 8, size, 180 + 5 * i);
    }
    write_png(&folder.path().join("pictures/test/dark/x.png"), 8, 8, 30);
    write_png(&folder.path().join("pictures/test/bright/x.png"), 8, 8, 220);
    let config = folder.path().join("c.toml");
    std::fs::write(&config, CLASSIFIER).unwrap();
    (folder, config)
}

#[test]
fn class_folders_train_predict_and_resume_to_the_same_bits() {
    let (folder, config) = pictures();
    let dir = |name: &str| folder.path().join(name);
    for (name, threads) in [("one", "1"), ("three", "3")] {
        succeed(&["fit", &text(&config), "--run-dir", &text(&dir(name)), "--threads", threads]);
    }
    assert!(weights(&dir("one")) == weights(&dir("three")), "1 thread and 3 give the same bits");
    succeed(&["fit", &text(&config), "--run-dir", &text(&dir("begun")), "--epochs", "3"]);
    succeed(&["fit", "--resume", &text(&dir("begun")), "--epochs", "8"]);
    assert!(weights(&dir("one")) == weights(&dir("begun")), "resumed to the same bits");

    let run = text(&dir("one"));
    let eval = succeed(&["eval", &run, "--data", &text(&dir("pictures")), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&eval).unwrap();
    assert_eq!((json["samples"].as_u64(), json["accuracy"].as_f64()), (Some(2), Some(1.0)), "{json}");

    let predicted = succeed(&["predict", &run, &text(&dir("pictures/test")), "--probabilities"]);
    let lines: Vec<&str> = predicted.lines().collect();
    assert_eq!(lines[0], "file,prediction,p_bright,p_dark");
    assert!(lines[1].starts_with("bright/x.png,bright,") && lines[2].starts_with("dark/x.png,dark,"));
    let one = text(&dir("pictures/test/dark/x.png"));
    assert_eq!(succeed(&["predict", &run, &one]), format!("file,prediction\n{one},dark\n"));
    let list = dir("list.csv");
    std::fs::write(&list, "file\npictures/test/bright/x.png\n").unwrap();
    assert!(succeed(&["predict", &run, &text(&list)]).ends_with("pictures/test/bright/x.png,bright\n"));
    std::fs::write(&list, "file\nnowhere.png\n").unwrap();
    let nowhere = fail(&["predict", &run, &text(&list)]);
    assert!(nowhere.contains("nowhere.png` cannot be read"), "{nowhere}");
    assert!(nowhere.contains("list.csv:2:1"), "{nowhere}");
}

/// What memory has no room for is decoded again: the same bits.
#[test]
fn pictures_beyond_the_memory_limit_are_decoded_again() {
    let (folder, config) = pictures();
    let fit = |name: &str, limit: Option<&str>| {
        let dir = folder.path().join(name);
        let (config, run) = (text(&config), text(&dir));
        let mut args = vec!["fit", &config, "--run-dir", &run, "--epochs", "2"];
        args.extend(["--set", "dataset.image_size=300"]);
        args.extend(limit.iter().flat_map(|limit| ["--set", *limit]));
        succeed(&args);
        weights(&dir)
    };
    assert!(fit("limited", Some("dataset.memory_limit=1")) == fit("whole", None));
    let eval = succeed(&["eval", &text(&folder.path().join("limited")), "--split", "train"]);
    assert!(eval.starts_with("16 samples (train)"), "{eval}");
}

#[test]
fn masks_are_written_in_the_size_of_their_pictures() {
    const CONFIG: &str = r#"
[dataset]
type = "shapes"
samples = 12
test_samples = 4
image_size = 16
validation = "test"
[[layers]]
type = "Conv2D"
filters = 4
kernel_size = 3
padding = "same"
activation = "softmax"
[training]
epochs = 2
batch_size = 4
optimizer = "adam"
loss = "dice"
metrics = ["mean_iou", "dice", "accuracy"]
"#;
    let folder = tempfile::tempdir().unwrap();
    let (config, run) = (folder.path().join("c.toml"), folder.path().join("run"));
    std::fs::write(&config, CONFIG).unwrap();
    succeed(&["fit", &text(&config), "--run-dir", &text(&run)]);
    let json: serde_json::Value = serde_json::from_str(&succeed(&["eval", &text(&run), "--json"])).unwrap();
    assert!(json["mean_iou"].is_f64() && json["per_class"][3]["class"] == "triangle", "{json}");
    assert!(succeed(&["eval", &text(&run)]).contains("iou"));

    let input = folder.path().join("in");
    write_png(&input.join("a.png"), 20, 10, 99);
    write_png(&input.join("deep/b.png"), 16, 16, 9);
    let out = folder.path().join("out");
    succeed(&["predict", &text(&run), &text(&input), "-o", &text(&out)]);
    for (name, size) in [("a.png", (20, 10)), ("deep/b.png", (16, 16))] {
        let file = std::io::BufReader::new(std::fs::File::open(out.join(name)).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut classes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut classes).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (size.0, size.1, png::ColorType::Indexed));
        assert!(classes.iter().all(|class| *class < 4));
    }
    assert!(fail(&["predict", &text(&run), &text(&input)]).contains("-o DIR"));
    // A picture given alone goes by its name, wherever it was found.
    let mut alone = Command::new(env!("CARGO_BIN_EXE_nntrain"));
    alone.args(["predict", &text(&run), "in/deep/b.png", "-o", "alone"]).current_dir(folder.path());
    assert!(alone.status().unwrap().success());
    assert!(folder.path().join("alone/b.png").exists() && !folder.path().join("alone/in").exists());
}

/// Clips that get brighter and clips that get darker: their frames are the same in another order.
#[test]
fn clips_train_evaluate_and_predict() {
    const CONFIG: &str = r#"
[dataset]
type = "video"
train = "clips"
frames = 4
image_size = [4, 6]
channels = 1
validation = "test"
[[layers]]
type = "Conv3D"
filters = 4
kernel_size = [2, 1, 1]
activation = "relu"
[[layers]]
type = "GlobalAveragePooling3D"
[[layers]]
type = "Dense"
units = 2
activation = "softmax"
[training]
epochs = 40
batch_size = 4
optimizer = { type = "Adam", learning_rate = 0.05 }
loss = "sparse_categorical_crossentropy"
metrics = ["accuracy"]
"#;
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    for (part, count) in [("train", 8), ("test", 2)] {
        for i in 0..count {
            // 4 to 11 frames of different sizes; 10 comes behind 9.
            for frame in 0..4 + i {
                let grey = 20 + 20 * frame;
                let (up, down) = (format!("f{frame}.png"), format!("f{}.png", 3 + i - frame));
                for (class, name) in [("brighter", up), ("darker", down)] {
                    let path = dir("clips").join(part).join(class).join(format!("clip{i}")).join(name);
                    write_png(&path, 6 + u32::from(i), 4, grey);
                }
            }
        }
    }
    let (config, run) = (dir("c.toml"), dir("run"));
    std::fs::write(&config, CONFIG).unwrap();
    succeed(&["fit", &text(&config), "--run-dir", &text(&run)]);
    let eval = succeed(&["eval", &text(&run), "--data", &text(&dir("clips")), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&eval).unwrap();
    assert_eq!((json["samples"].as_u64(), json["accuracy"].as_f64()), (Some(4), Some(1.0)), "{json}");

    let predict = |input: &Path| succeed(&["predict", &text(&run), &text(input)]);
    let rows = "brighter/clip0,brighter\nbrighter/clip1,brighter\ndarker/clip0,darker\ndarker/clip1,darker\n";
    assert_eq!(predict(&dir("clips/test")), format!("clip,prediction\n{rows}"));
    let one = dir("clips/train/darker/clip7");
    assert_eq!(predict(&one), format!("clip,prediction\n{},darker\n", text(&one)));
    std::fs::write(dir("list.csv"), "clip\nclips/train/brighter/clip7\n").unwrap();
    assert!(predict(&dir("list.csv")).ends_with("clips/train/brighter/clip7,brighter\n"));
    // As rows of pixels, frame by frame.
    let frame = |grey: &str| vec![grey; 24].join(",");
    let clip = ["200", "150", "100", "50"].map(frame).join(",");
    std::fs::write(dir("rows.csv"), clip).unwrap();
    assert_eq!(predict(&dir("rows.csv")), "prediction\ndarker\n");

    let picture = text(&one.join("f0.png"));
    assert!(fail(&["predict", &text(&run), &picture]).contains("one picture, but this model takes clips"));
    write_png(&dir("new/short/1.png"), 4, 4, 9);
    let short = fail(&["predict", &text(&run), &text(&dir("new"))]);
    assert!(short.contains("short` has 1 frame, 4 are needed"), "{short}");
    std::fs::write(dir("list.csv"), "id,clip\n1,clips/train/brighter/clip7\n2,new/short\n").unwrap();
    let listed = fail(&["predict", &text(&run), &text(&dir("list.csv"))]);
    assert!(listed.contains("has 1 frame") && listed.contains("list.csv:3:3"), "{listed}");
    for i in 0..4 {
        write_png(&dir(&format!("unequal/{i}.png")), 4 + i % 2, 4, 9);
    }
    let unequal = fail(&["predict", &text(&run), &text(&dir("unequal"))]);
    assert!(unequal.contains("1.png` has 4 x 5 pixels, the clip's first frame has 4 x 4"), "{unequal}");
}
