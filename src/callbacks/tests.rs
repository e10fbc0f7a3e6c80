use super::*;
use crate::config::tree;
use crate::diag::{At, Source};
use crate::testing::golden;

fn scene() -> Scene {
    let columns = [("loss", false), ("accuracy", true), ("val_loss", false), ("val_accuracy", true)];
    Scene {
        columns: columns.map(|(n, h)| (n.to_string(), h)).to_vec(),
        scheduled: false,
        one_optimizer: true,
    }
}

fn read(toml: &str, scene: &Scene) -> (Callbacks, Vec<String>) {
    let source = Source::new("t.toml", toml);
    let table = tree::parse(&source).unwrap_or_else(|e| panic!("{toml}: {}", e[0]));
    let mut diags = vec![];
    let mut f = Fields::new(&table, &At::new(&source, 0..0), "`callbacks`", &mut diags);
    let callbacks = Callbacks::read(&mut f, scene);
    f.finish();
    (
        callbacks,
        diags.iter().map(|d| format!("{} {}", d.message, d.hint.clone().unwrap_or_default())).collect(),
    )
}

/// The body of a callback's table as `key = {...}` of the section.
fn section(key: &str, toml: &str) -> String {
    let body: Vec<&str> = toml.lines().filter(|l| !l.starts_with("type")).collect();
    format!("{key} = {{ {} }}", body.join(", "))
}

#[test]
fn early_stopping_and_plateau_decide_as_keras() {
    let file = golden::load("callbacks.json");
    let (mut stopping, mut plateau) = (0, 0);
    for case in golden::cases(&file) {
        let (name, toml) = (golden::text(case, "name"), golden::text(case, "toml"));
        let values = golden::numbers(&case["values"]);
        if toml.contains("EarlyStopping") {
            stopping += 1;
            let (callbacks, diags) = read(&section("early_stopping", toml), &scene());
            assert!(diags.is_empty(), "{name}: {diags:?}");
            let callback = callbacks.early_stopping.unwrap();
            let mut state = callback.start();
            let mut stopped = None;
            let mut waits = vec![];
            for (epoch, value) in values.iter().enumerate() {
                let stop = callback.end_epoch(&mut state, epoch, *value);
                waits.push(state.wait as f64);
                if stop {
                    stopped = Some(epoch as u64);
                    break;
                }
            }
            assert_eq!(stopped, case["stopped_epoch"].as_u64(), "{name}: stopped");
            assert_eq!(Some(state.best_epoch as u64), case["best_epoch"].as_u64(), "{name}: best epoch");
            if let Some(best) = case["best"].as_f64() {
                golden::close(state.best.get(), best, 1e-9, name);
            }
            assert_eq!(waits, golden::numbers(&case["waits"]), "{name}: waits");
        } else {
            plateau += 1;
            let (callbacks, diags) = read(&section("reduce_lr_on_plateau", toml), &scene());
            assert!(diags.is_empty(), "{name}: {diags:?}");
            let callback = callbacks.reduce_lr_on_plateau.unwrap();
            let mut state = callback.start();
            let mut rate = case["initial_learning_rate"].as_f64().unwrap();
            for (value, expected) in values.iter().zip(golden::numbers(&case["learning_rates"])) {
                rate = callback.end_epoch(&mut state, *value, rate).unwrap_or(rate);
                golden::close(rate / expected, 1.0, 1e-6, name);
            }
        }
    }
    assert!(stopping > 10 && plateau > 10, "{stopping} {plateau}");
}

#[test]
fn a_monitor_must_exist() {
    let (_, diags) = read("early_stopping = { monitor = \"val_acc\" }", &scene());
    assert!(diags[0].contains("`val_acc` is not measured") && diags[0].contains("val_accuracy"), "{diags:?}");
    let blind = Scene { columns: vec![("loss".into(), false)], scheduled: false, one_optimizer: true };
    let (_, diags) = read("early_stopping = { patience = 2 }", &blind);
    assert!(diags[0].contains("the default") && diags[0].contains("no validation part"), "{diags:?}");
}

#[test]
fn one_master_of_the_learning_rate() {
    let scheduled = Scene { scheduled: true, ..scene() };
    let (_, diags) = read("reduce_lr_on_plateau = {}\nlearning_rate_warmup = { steps = 10 }", &scheduled);
    assert_eq!(diags.len(), 2, "{diags:?}");
}

#[test]
fn a_warm_up_rises_to_the_whole_rate() {
    let (callbacks, diags) = read("learning_rate_warmup = { epochs = 2, initial_factor = 0.5 }", &scene());
    assert!(diags.is_empty());
    let running = Running::new(&callbacks, 0.1);
    let rates: Vec<f64> = (0..6).map(|s| running.learning_rate_for_step(s, 2).unwrap()).collect();
    golden::all_close(&rates, &[0.05, 0.0625, 0.075, 0.0875, 0.1, 0.1], 1e-12, "warm-up");
    let (_, diags) = read("learning_rate_warmup = { steps = 1, epochs = 2 }", &scene());
    assert_eq!(diags.len(), 1);
}

#[test]
fn state_goes_on_where_it_was() {
    let toml = "early_stopping = { patience = 3 }\nreduce_lr_on_plateau = { patience = 2, factor = 0.5 }";
    let values = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99];
    let row = |v: f64| vec![("val_loss".to_string(), v)];
    let (callbacks, _) = read(toml, &scene());
    let mut whole = Running::new(&callbacks, 0.1);
    let expected: Vec<Verdict> =
        values.iter().enumerate().map(|(e, v)| whole.end_epoch(e, &row(*v))).collect();
    for cut in 1..values.len() {
        let mut first = Running::new(&callbacks, 0.1);
        (0..cut).for_each(|e| {
            first.end_epoch(e, &row(values[e]));
        });
        let json = serde_json::to_string(&first.state()).unwrap();
        let mut second = Running::new(&callbacks, 0.1);
        second.restore(&serde_json::from_str(&json).unwrap()).unwrap();
        let rest: Vec<Verdict> = (cut..values.len()).map(|e| second.end_epoch(e, &row(values[e]))).collect();
        assert_eq!(rest, expected[cut..], "cut after {cut} epochs");
    }
}

#[test]
fn the_best_epoch_follows_what_early_stopping_restores() {
    let (plain, _) = read("", &scene());
    assert_eq!(plain.model_checkpoint.monitor.unwrap().name, "val_loss");
    let (restoring, _) =
        read("early_stopping = { monitor = \"val_accuracy\", restore_best_weights = true }", &scene());
    assert_eq!(restoring.model_checkpoint.monitor.as_ref().unwrap().name, "val_accuracy");
    let mut state = restoring.model_checkpoint.start();
    let best: Vec<bool> = [0.5, 0.4, 0.6, 0.6]
        .iter()
        .map(|v| restoring.model_checkpoint.end_epoch(&mut state, |_| *v))
        .collect();
    assert_eq!(best, [true, false, true, false]);
}

/// Keras restores the weights that early stopping itself took for the best.
#[test]
fn the_weights_that_are_restored_are_keras_s() {
    let file = golden::load("callbacks.json");
    let mut compared = 0;
    for case in
        golden::cases(&file).iter().filter(|c| golden::text(c, "toml").contains("restore_best_weights"))
    {
        compared += 1;
        let (name, toml) = (golden::text(case, "name"), golden::text(case, "toml"));
        let (callbacks, diags) = read(&section("early_stopping", toml), &scene());
        assert!(diags.is_empty(), "{name}: {diags:?}");
        let monitor = callbacks.early_stopping.as_ref().unwrap().monitor.name.clone();
        let mut running = Running::new(&callbacks, 0.1);
        let mut best = None;
        for (epoch, value) in golden::numbers(&case["values"]).into_iter().enumerate() {
            let verdict = running.end_epoch(epoch, &[(monitor.clone(), value)]);
            best = if verdict.best { Some(epoch as u64) } else { best };
            if verdict.stop {
                break;
            }
        }
        assert_eq!(best, case["weights_of_epoch"].as_u64(), "{name}");
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn one_best_for_the_checkpoint_and_for_early_stopping() {
    let stopping = "early_stopping = { monitor = \"val_loss\", restore_best_weights = true }";
    let (_, diags) =
        read(&format!("{stopping}\nmodel_checkpoint = {{ monitor = \"val_accuracy\" }}"), &scene());
    assert!(diags[0].contains("`val_accuracy`") && diags[0].contains("`val_loss`"), "{diags:?}");
    let (_, diags) = read(&format!("{stopping}\nmodel_checkpoint = {{ monitor = \"val_loss\" }}"), &scene());
    assert!(diags.is_empty(), "{diags:?}");
}
