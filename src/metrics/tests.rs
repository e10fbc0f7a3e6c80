use serde_json::Value as Json;

use super::*;
use crate::config::tree::{Data, Value, parse};
use crate::config::write::{Plain, inline};
use crate::diag::{At, Diag, Source};
use crate::shape::Shape;

fn value(toml: &str) -> Value {
    let source = Source::new("t.toml", toml);
    let table = parse(&source).unwrap_or_else(|e| panic!("{}", e[0]));
    Value { data: Data::Table(table), at: At::new(&source, 0..1) }
}

fn metric(toml: &str) -> Box<dyn Metric> {
    let mut diags = vec![];
    let read = METRICS.read(&value(toml), &mut diags);
    read.unwrap_or_else(|| panic!("{toml}: {}", diags[0])).0
}

fn bind(metric: &dyn Metric, output: &OutputKind) -> Box<dyn Accumulator> {
    metric.bind(output).unwrap_or_else(|wrong| panic!("{}: {}", metric.name(), wrong.message))
}

fn golden() -> Vec<Json> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut json: Json = serde_json::from_str(&text).unwrap();
    let Json::Array(cases) = json["cases"].take() else { panic!("{path} has no cases") };
    cases
}

fn numbers(json: &Json) -> Vec<f32> {
    json["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn shape(json: &Json) -> Vec<usize> {
    json["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

struct Batch {
    y_true: Vec<f32>,
    y_pred: Vec<f32>,
    weights: Vec<f32>,
}

/// The output that a case's arrays are of, and its batches; `None` for weights per step.
fn read_case(case: &Json) -> Option<(OutputKind, Vec<Batch>)> {
    let batches = case["batches"].as_array().unwrap();
    let (true_shape, pred_shape) = (shape(&batches[0]["y_true"]), shape(&batches[0]["y_pred"]));
    let units = *pred_shape.last().unwrap();
    let all: Vec<f32> = batches.iter().flat_map(|b| numbers(&b["y_true"])).collect();
    let one_hot = units > 1
        && all
            .chunks(units)
            .all(|row| row.iter().sum::<f32>() == 1.0 && row.iter().all(|t| *t == 0.0 || *t == 1.0));
    let sparse = true_shape.len() < pred_shape.len() || (true_shape.last() == Some(&1) && units > 1);
    let targets = match (sparse, one_hot) {
        (true, _) => TargetKind::ClassIndex { classes: units },
        (false, true) => TargetKind::OneHot { classes: units },
        (false, false) => TargetKind::Values,
    };
    let mut read = vec![];
    for batch in batches {
        let samples = shape(&batch["y_pred"])[0];
        let weights = match &batch["sample_weight"] {
            Json::Null => vec![1.0; samples],
            weights if shape(weights).len() > 1 => return None,
            weights => numbers(weights),
        };
        read.push(Batch { y_true: numbers(&batch["y_true"]), y_pred: numbers(&batch["y_pred"]), weights });
    }
    Some((OutputKind { shape: Shape::batch(&pred_shape[1..]), targets, ignore: None }, read))
}

#[test]
fn keras_values() {
    let (mut compared, mut words) = (0, std::collections::BTreeSet::new());
    for case in golden() {
        let (name, toml) = (case["name"].as_str().unwrap(), case["toml"].as_str().unwrap());
        // Lists of thresholds and weights per step are no part of ours.
        let Some((output, batches)) = read_case(&case) else { continue };
        if toml.contains("thresholds = [") {
            continue;
        }
        let expected = match &case["result"] {
            // Keras's default average is none; ours is their mean.
            Json::Array(list) => list.iter().map(|v| v.as_f64().unwrap()).sum::<f64>() / list.len() as f64,
            result => result.as_f64().unwrap(),
        };
        let metric = metric(toml);
        let mut accumulator = bind(&*metric, &output);
        accumulator.update(&batches[0].y_true, &batches[0].y_pred, &batches[0].weights);
        accumulator.reset();
        for (i, batch) in batches.iter().enumerate() {
            if i == 2 {
                let mut resumed = bind(&*metric, &output);
                resumed.restore(&accumulator.state()).unwrap();
                assert!(resumed.restore(&[]).is_err());
                accumulator = resumed;
            }
            accumulator.update(&batch.y_true, &batch.y_pred, &batch.weights);
        }
        let found = accumulator.value();
        assert!(
            (found - expected).abs() <= 2e-6 * expected.abs().max(1.0),
            "{name}: {found}, not {expected}"
        );
        compared += 1;
        words.insert(METRICS.find(toml.split('"').nth(1).unwrap()).unwrap().name);
    }
    assert!(compared > 150, "{compared} cases");
    // Of overlaps `overlap` has the values of Keras's documentation; Keras has no metrics `dice` and `box_iou`.
    words.extend(["box_iou", "dice", "mean_iou"]);
    assert_eq!(Vec::from_iter(words), METRICS.names(), "words that Keras's values were compared for");
}

#[test]
fn every_word_has_a_direction_and_a_name() {
    let falling = ["error", "entropy", "hinge", "divergence", "poisson", "cosh"];
    for entry in METRICS.entries {
        let (metric, _) = METRICS.make(entry.name);
        assert_eq!(metric.name(), entry.name);
        let falls = falling.iter().any(|part| entry.name.contains(part));
        assert_eq!(metric.higher_is_better(), !falls, "{}", entry.name);
    }
}

type List = (Vec<Box<dyn Metric>>, Plain);

fn read(toml: &str) -> Result<List, Vec<Diag>> {
    let source = Source::new("t.toml", format!("metrics = {toml}"));
    let mut diags = vec![];
    let table = parse(&source).unwrap();
    read_list(&table.entries[0].value, &mut diags).ok_or(diags)
}

#[test]
fn a_list_names_its_columns_as_keras_does() {
    let text = "[\"acc\", \"mse\", \"AUC\", { type = \"precision\", name = \"precision_b\" }, \"recall\"]";
    let (metrics, plain) = read(text).unwrap_or_else(|diags| panic!("{}", diags[0]));
    let names: Vec<&str> = metrics.iter().map(|m| m.name()).collect();
    assert_eq!(names, ["acc", "mse", "AUC", "precision_b", "recall"]);
    // What is stored gives the same columns again.
    let (again, plain_again) = read(&inline(&plain)).unwrap_or_else(|diags| panic!("{}", diags[0]));
    assert_eq!(again.iter().map(|m| m.name()).collect::<Vec<_>>(), names);
    assert_eq!(plain, plain_again);
    assert!(inline(&plain).starts_with("[{ type = \"accuracy\", name = \"acc\" }"), "{}", inline(&plain));
}

#[test]
fn mistakes_are_named() {
    for (toml, expected) in [
        ("\"accuracy\"", "expected an array of metrics, found a string"),
        ("[\"accuracy\", \"accuracy\"]", "two metrics are named `accuracy`"),
        ("[\"acuracy\"]", "unknown metric `acuracy`"),
        ("[{ type = \"mse\", name = \"loss\" }]", "`loss` is a column that the history has anyway"),
        ("[{ type = \"mse\", name = \"a,b\" }]", "`a,b` cannot name a column"),
        ("[{ type = \"precision\", thresholds = [0.1, 0.2] }]", "expected a number, found an array"),
        ("[{ type = \"precision\", thresholds = 1.5 }]", "must be at most 1, got 1.5"),
        (
            "[{ type = \"f1_score\", average = \"mean\" }]",
            "`mean` is not one of \"macro\", \"micro\", \"weighted\"",
        ),
        ("[{ type = \"auc\", num_thresholds = 1 }]", "must be at least 2, got 1"),
        ("[{ type = \"top_k_categorical_accuracy\", k = 0 }]", "must be at least 1, got 0"),
        ("[{ type = \"accuracy\", threshold = 0.5 }]", "unknown key `threshold`"),
    ] {
        let diags = read(toml).err().unwrap_or_else(|| panic!("{toml} is accepted"));
        assert!(diags.len() == 1 && diags[0].message.contains(expected), "{toml}: {}", diags[0]);
        assert!(diags[0].at.is_some());
    }
}

fn output(units: usize, targets: TargetKind) -> OutputKind {
    OutputKind { shape: Shape::batch([units]), targets, ignore: None }
}

const SPARSE: TargetKind = TargetKind::ClassIndex { classes: 4 };
const ONE_HOT: TargetKind = TargetKind::OneHot { classes: 4 };

#[test]
fn metrics_that_do_not_fit_say_so() {
    for (toml, output, expected, hint) in [
        ("type = \"mse\"", output(4, SPARSE), "compares number by number", "accuracy"),
        ("type = \"categorical_accuracy\"", output(4, SPARSE), "one-hot", "sparse_categorical_accuracy"),
        (
            "type = \"sparse_categorical_accuracy\"",
            output(4, ONE_HOT),
            "class numbers",
            "`categorical_accuracy`",
        ),
        ("type = \"sparse_top_k_categorical_accuracy\"", output(1, SPARSE), "one unit per class", "accuracy"),
        (
            "type = \"sparse_top_k_categorical_accuracy\"",
            output(4, SPARSE),
            "k = 5 of 4 classes",
            "less than 4",
        ),
        ("type = \"precision\"\nclass_id = 4", output(4, SPARSE), "class_id = 4", "from 0 to 3"),
        ("type = \"recall\"\nclass_id = 1", output(1, SPARSE), "class_id = 1", "leave `class_id` out"),
        ("type = \"recall\"\ntop_k = 4", output(4, SPARSE), "all would say yes", ""),
        ("type = \"r2_score\"", output(4, SPARSE), "compares number by number", ""),
        ("type = \"box_iou\"", output(4, SPARSE), "the targets are class numbers", ""),
        ("type = \"box_iou\"", output(2, TargetKind::Values), "the output is [N,2]", ""),
    ] {
        let wrong = metric(toml).bind(&output).err().unwrap_or_else(|| panic!("{toml} binds"));
        assert!(wrong.message.contains(expected), "{toml}: {}", wrong.message);
        assert!(wrong.hint.unwrap_or_default().contains(hint), "{toml}");
    }
}

#[test]
fn class_numbers_count_as_one_hot() {
    let stream = crate::rng::Stream::new(3, "metrics");
    let classes: Vec<f32> = (0..50).map(|i| (stream.bits(0, i) % 4) as f32).collect();
    let one_hot: Vec<f32> = classes
        .iter()
        .flat_map(|class| (0..4).map(move |c| f32::from(u8::from(c as f32 == *class))))
        .collect();
    let y_pred: Vec<f32> = (0..200).map(|i| stream.uniform(1, i)).collect();
    for toml in [
        "type = \"precision\"\nclass_id = 2",
        "type = \"recall\"\ntop_k = 2",
        "type = \"f1_score\"",
        "type = \"f1_score\"\naverage = \"weighted\"",
        "type = \"auc\"",
        "type = \"accuracy\"",
    ] {
        let value = |targets: TargetKind, y_true: &[f32]| {
            let mut accumulator = bind(&*metric(toml), &output(4, targets));
            accumulator.update(y_true, &y_pred, &[1.0; 50]);
            accumulator.value()
        };
        let found = value(SPARSE, &classes);
        assert_eq!(found, value(ONE_HOT, &one_hot), "{toml}");
        assert!(found > 0.0 && found < 1.0, "{toml}: {found}");
    }
}

#[test]
fn nothing_seen_is_zero() {
    for entry in METRICS.entries {
        let (metric, _) = METRICS.make(entry.name);
        let outputs = [output(8, SPARSE), output(8, ONE_HOT), output(4, TargetKind::Values)];
        let fits = outputs.iter().find_map(|output| metric.bind(output).ok());
        let accumulator = fits.unwrap_or_else(|| panic!("{} fits no output", entry.name));
        assert_eq!(accumulator.value(), 0.0, "{}", entry.name);
    }
}

#[test]
fn one_sigmoid_unit_has_an_f1_score() {
    let mut f1 = bind(&*metric("type = \"f1_score\""), &output(1, TargetKind::ClassIndex { classes: 2 }));
    f1.update(&[1.0, 0.0, 1.0, 0.0], &[0.9, 0.8, 0.2, 0.1], &[1.0; 4]);
    assert!((f1.value() - 0.5).abs() < 1e-6, "{}", f1.value());
}

#[test]
fn large_values_that_differ_little_keep_their_variance() {
    let mut r2 = bind(&*metric("type = \"r2_score\""), &output(1, TargetKind::Values));
    r2.update(&[8_000_000.0, 8_000_001.0, 8_000_002.0], &[8_000_000.0, 8_000_001.0, 8_000_001.0], &[1.0; 3]);
    assert_eq!(r2.value(), 0.5);
}
