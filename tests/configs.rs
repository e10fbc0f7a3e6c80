//! Every config that ships compiles, for the data that it names.

use std::collections::HashSet;
use std::path::Path;

use nntrain::compile::Step;
use nntrain::data::Part;
use nntrain::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding};
use nntrain::diag::Failure;
use nntrain::model::Experiment;
use nntrain::model::lower::{Model, Purpose};
use nntrain::shape::Shape;
use nntrain::train::{Options, Prepared};

fn say(failure: &Failure) -> String {
    failure.diags().iter().map(|d| d.render(false)).collect::<Vec<_>>().join("\n")
}

fn image(names: usize, shape: &[usize], one_hot: bool) -> Preprocessing {
    Preprocessing {
        window: None,
        input: InputEncoding::Pixels { shape: shape.to_vec(), divisor: 255.0 },
        target: TargetEncoding::Classes {
            column: "label".into(),
            names: (0..names).map(|n| n.to_string()).collect(),
            one_hot,
        },
    }
}

/// Files of the names and kinds that the configs read, with made-up content.
fn stand_ins() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for (name, column) in [("monthly-sunspots", "Sunspots"), ("daily-min-temperatures", "Temp")] {
        let points = (0..400).map(|i| format!("{i},{}\n", i % 7));
        write(&format!("series/{name}.csv"), format!("time,{column}\n{}", points.collect::<String>()));
    }
    // As many different characters as there are in Shakespeare.
    let text = (0..6500).map(|i| char::from(b' ' + (i % 65) as u8));
    write("text/tinyshakespeare.txt", text.collect());
    folder
}

#[test]
fn every_config_compiles() {
    let data = stand_ins();
    let options = Options { data_dir: Some(data.path().into()), ..Options::default() };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let experiment = Experiment::open(&path, &[]).unwrap_or_else(|f| panic!("{}", say(&f)));
        assert_eq!(
            experiment.name,
            path.file_stem().unwrap().to_str().unwrap(),
            "a config's name is its file's"
        );
        let one_hot = text.contains("label_mode = \"categorical\"");
        // Data that does not ship is stood for by its shape.
        let stand_in = if text.contains("mnist\"") {
            Some(image(10, &[28, 28, 1], one_hot))
        } else if text.contains("\"cifar10\"") || text.contains("\"image_folder\"") {
            Some(image(10, &[32, 32, 3], one_hot))
        } else {
            None
        };
        let compiled = match stand_in {
            Some(preprocessing) => {
                let InputEncoding::Pixels { shape, .. } = &preprocessing.input else { unreachable!() };
                Model::lower(&experiment, &Shape::batch(shape.clone()), &preprocessing)
            }
            None => Prepared::new(experiment, &options).map(|(_, model)| model),
        };
        compiled.unwrap_or_else(|f| panic!("{}: {}", path.display(), say(&f)));
    }
    assert!(seen >= 18, "{seen} configs");
}

/// 0.27 million weights (table 6 of the paper), and those of the two 1x1 convolutions.
#[test]
fn resnet20_has_its_size() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/resnet20_cifar10.toml");
    let experiment = Experiment::open(&path, &[]).unwrap_or_else(|f| panic!("{}", say(&f)));
    let preprocessing = image(10, &[32, 32, 3], false);
    let model = Model::lower(&experiment, &Shape::batch([32, 32, 3]), &preprocessing)
        .unwrap_or_else(|f| panic!("{}", say(&f)));
    // 19 convolutions and a dense layer; a shortcut where the width changes.
    let count =
        |part: &str| model.rows.iter().filter(|r| r.kind == "Conv2D" && r.name.contains(part)).count();
    assert_eq!((count(""), count("shortcut")), (21, 2));
    assert_eq!(model.params.counts().0, 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64));
}

/// The convolutions of the MNIST network and the poolings behind them are one op each, in training
/// and out of it.
#[test]
fn convolutions_and_poolings_are_fused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/cnn_mnist.toml");
    let experiment = Experiment::open(&path, &[]).unwrap_or_else(|f| panic!("{}", say(&f)));
    let model = Model::lower(&experiment, &Shape::batch([28, 28, 1]), &image(10, &[28, 28, 1], false))
        .unwrap_or_else(|f| panic!("{}", say(&f)));
    let programs = model.plan(Purpose::Train, 32, 2).unwrap_or_else(|f| panic!("{}", say(&f)));
    for program in programs {
        let ops = program.steps.iter().filter_map(|step| match step {
            Step::Forward(s) => Some(program.nodes[s.node].op.name()),
            _ => None,
        });
        let images: Vec<&str> = ops.filter(|name| name.contains("conv") || name.contains("pool")).collect();
        assert_eq!(images, ["conv+max_pool"; 2]);
    }
}

/// No image that is judged was trained on, though each stands in two rows.
#[test]
fn two_input_holds_out_whole_images() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/two_input.toml");
    let experiment = Experiment::open(&path, &[]).unwrap_or_else(|f| panic!("{}", say(&f)));
    let prepared = Prepared::new(experiment, &Options::default());
    let (Prepared { dataset, .. }, _) = prepared.unwrap_or_else(|f| panic!("{}", say(&f)));
    let images = |part: &Part| -> HashSet<Vec<u32>> {
        let mut row = vec![0.0; part.table.inputs.width()];
        let image = |r: &u32| {
            part.table.inputs.copy_row(*r as usize, &mut row);
            row[..64].iter().map(|pixel| pixel.to_bits()).collect()
        };
        part.rows.iter().map(image).collect()
    };
    let (train, held_out) = (images(&dataset.train), images(&dataset.validation.expect("it has a part")));
    assert_eq!((train.len() + held_out.len(), held_out.len()), (1797, 359));
    assert!(train.is_disjoint(&held_out));
}
