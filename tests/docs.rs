//! The documentation names every word of the config language.

use std::path::Path;

use nntrain::activations::ACTIVATIONS;
use nntrain::data::DATASETS;
use nntrain::initializers::INITIALIZERS;
use nntrain::layers::LAYERS;
use nntrain::losses::LOSSES;
use nntrain::metrics::METRICS;
use nntrain::model::Experiment;
use nntrain::optim::{OPTIMIZERS, SCHEDULES};
use nntrain::regularizers::REGULARIZERS;
use nntrain::train::{Options, Prepared};

#[test]
fn the_config_reference_names_every_word() {
    let path = format!("{}/configs/README.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let words = [
        ACTIVATIONS.names(),
        DATASETS.names(),
        INITIALIZERS.names(),
        LAYERS.names(),
        LOSSES.names(),
        METRICS.names(),
        OPTIMIZERS.names(),
        SCHEDULES.names(),
        REGULARIZERS.names(),
    ];
    let missing: Vec<&str> =
        words.concat().into_iter().filter(|w| !text.contains(&format!("`{w}`"))).collect();
    assert!(missing.is_empty(), "not in configs/README.md: {missing:?}");
}

/// Every config that ships has its row of results.
#[test]
fn the_results_name_every_config() {
    let folder = format!("{}/configs", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            assert!(text.contains(&format!("| `{name}` |")), "{name} has no row in configs/README.md");
        }
    }
}

/// The example of blocks is one that works.
#[test]
fn the_example_of_blocks_is_read() {
    let path = format!("{}/configs/README.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("## [blocks.NAME]").nth(1).expect("it has its section");
    let example = section.split("```").nth(1).and_then(|e| e.strip_prefix("toml")).expect("with an example");
    let rest = "[dataset]\ntype = \"digits\"\n[training]\noptimizer = \"adam\"\nloss = \"mse\"\n";
    let read = Experiment::parse("README.md", &format!("{example}{rest}"), &[], Path::new("."), "x");
    let experiment = read.unwrap_or_else(|f| panic!("{}", f.diags()[0]));
    assert_eq!(experiment.task.networks()[0].layers.len(), 4 * 4);
}

/// The example of several inputs and outputs is one that trains.
#[test]
fn the_example_of_inputs_and_outputs_is_lowered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("configs/README.md")).unwrap();
    let section = text.split("## Several inputs and outputs").nth(1).expect("it has its section");
    let example = section.split("```").nth(1).and_then(|e| e.strip_prefix("toml")).expect("with an example");
    let read = Experiment::parse("README.md", example, &[], &root.join("data"), "x");
    let experiment = read.unwrap_or_else(|f| panic!("{}", f.diags()[0]));
    let (_, model) =
        Prepared::new(experiment, &Options::default()).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
    let names: Vec<_> = model.outputs.iter().map(|output| output.name.as_deref()).collect();
    assert_eq!(names, [Some("digit"), Some("sum")]);
}
