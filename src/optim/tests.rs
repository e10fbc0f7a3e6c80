use std::ops::Range;

use serde_json::Value as Json;

use super::*;
use crate::config::tree::{Data, Value, parse};
use crate::config::write::{Plain, inline};
use crate::diag::{At, Diag, Source};
use crate::kernels::par::Pool;

fn value(toml: &str) -> Value {
    let source = Source::new("t.toml", toml);
    let table = parse(&source).unwrap_or_else(|e| panic!("{}", e[0]));
    Value { data: Data::Table(table), at: At::new(&source, 0..1) }
}

fn spec(toml: &str) -> Box<OptimizerSpec> {
    let mut diags = vec![];
    let read = OPTIMIZERS.read(&value(toml), &mut diags);
    read.unwrap_or_else(|| panic!("{toml}: {}", diags[0])).0
}

fn mistakes(toml: &str) -> Vec<Diag> {
    let mut diags = vec![];
    assert!(OPTIMIZERS.read(&value(toml), &mut diags).is_none(), "{toml} is accepted");
    diags
}

fn golden(name: &str) -> Vec<Json> {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut json: Json = serde_json::from_str(&text).unwrap();
    let Json::Array(cases) = json["cases"].take() else { panic!("{path} has no cases") };
    assert!(!cases.is_empty());
    cases
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Tensors in one block, each at a multiple of 16: what lies between is padding.
struct Block {
    tensors: Vec<Range<usize>>,
    len: usize,
}

impl Block {
    fn of(tensors: &Json) -> Block {
        let mut len = 0usize;
        let sizes = tensors.as_array().unwrap().iter().map(|t| t["data"].as_array().unwrap().len());
        let tensors = sizes.map(|size| {
            let start = len.next_multiple_of(16);
            len = start + size;
            start..len
        });
        let tensors = tensors.collect();
        Block { tensors, len: len.next_multiple_of(16) }
    }

    fn fill(&self, tensors: &Json) -> Vec<f32> {
        let mut block = vec![0.0; self.len];
        for (range, tensor) in self.tensors.iter().zip(tensors.as_array().unwrap()) {
            let data = numbers(&tensor["data"]);
            block[range.clone()].iter_mut().zip(data).for_each(|(out, v)| *out = v as f32);
        }
        block
    }

    fn assert_close(&self, found: &[f32], expected: &Json, what: &str) {
        let expected = self.fill(expected);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let tolerance = 2e-6 * expected.abs().max(1.0);
            assert!((found - expected).abs() <= tolerance, "{what}: entry {i} is {found}, not {expected}");
        }
    }
}

#[test]
fn keras_weights_after_every_step() {
    let pool = Pool::new(1);
    for case in golden("optimizers") {
        let name = case["name"].as_str().unwrap();
        let block = Block::of(&case["initial"]);
        let mut weights = block.fill(&case["initial"]);
        let mut optimizer = Optimizer::new(spec(case["toml"].as_str().unwrap()), &block.tensors, block.len);
        for (step, gradients) in case["grads"].as_array().unwrap().iter().enumerate() {
            optimizer.step(&pool, &mut weights, &mut block.fill(gradients));
            block.assert_close(&weights, &case["after"][step], &format!("{name}, step {step}"));
            if case.get("ema").is_some() {
                let ema = optimizer.ema().expect("use_ema is set");
                block.assert_close(ema, &case["ema"][step], &format!("{name}, average of step {step}"));
            }
        }
        if let Some(finalized) = case.get("finalized") {
            block.assert_close(optimizer.ema().unwrap(), finalized, &format!("{name}, at the end"));
        }
    }
}

#[test]
fn keras_schedules() {
    for case in golden("schedules") {
        let toml = case["toml"].as_str().unwrap();
        let mut diags = vec![];
        let (schedule, _) =
            SCHEDULES.read(&value(toml), &mut diags).unwrap_or_else(|| panic!("{}", diags[0]));
        for (step, expected) in numbers(&case["steps"]).into_iter().zip(numbers(&case["values"])) {
            let found = schedule.at(step as u64);
            assert!(
                (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3),
                "{toml}\n{step}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn every_word_reads_back_what_it_writes() {
    for entry in OPTIMIZERS.entries {
        for name in entry.aliases.iter().chain([&entry.name]) {
            let (_, plain) = OPTIMIZERS.make(name);
            let Plain::Table(_) = &plain else { panic!("{name} writes no table") };
            let mut diags = vec![];
            let source = Source::new("t.toml", format!("o = {}", inline(&plain)));
            let again = OPTIMIZERS.read(&parse(&source).unwrap().entries[0].value, &mut diags);
            assert_eq!(again.unwrap_or_else(|| panic!("{}", diags[0])).1, plain);
        }
    }
}

/// Every optimizer with something of all that is kept between steps.
fn specs() -> Vec<String> {
    let extras = "learning_rate = 0.01\nweight_decay = 0.01\nuse_ema = true\nema_overwrite_frequency = 3\n\
                  gradient_accumulation_steps = 2";
    let mut all: Vec<String> =
        OPTIMIZERS.entries.iter().map(|e| format!("type = \"{}\"\n{extras}", e.name)).collect();
    let rules = [
        "type = \"SGD\"\nmomentum = 0.9\nclipnorm = 0.5",
        "type = \"SGD\"\nmomentum = 0.9\nnesterov = true\nglobal_clipnorm = 0.5",
        "type = \"Adam\"\namsgrad = true\nclipvalue = 0.2",
        "type = \"RMSprop\"\nmomentum = 0.5\ncentered = true",
        "type = \"Adam\"\nlearning_rate = { type = \"ExponentialDecay\", initial_learning_rate = 0.1, \
         decay_steps = 3, decay_rate = 0.5 }",
    ];
    all.extend(rules.map(String::from));
    all
}

const TENSORS: [Range<usize>; 4] = [0..90_001, 90_016..90_020, 90_032..90_048, 90_048..130_000];
const LEN: usize = 130_048;

fn noise(step: u32) -> Vec<f32> {
    let stream = crate::rng::Stream::new(7, "gradients");
    let mut block = vec![0.0; LEN];
    for range in TENSORS {
        let start = range.start as u64;
        block[range].iter_mut().zip(start..).for_each(|(g, i)| *g = stream.uniform(step, i) - 0.4);
    }
    block
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn threads_change_nothing_and_padding_stays_zero() {
    let (one, three) = (Pool::new(1), Pool::new(3));
    for toml in specs() {
        let mut runs = [&one, &three].map(|pool| {
            let mut optimizer = Optimizer::new(spec(&toml), &TENSORS, LEN);
            let mut weights = noise(99);
            (0..4).for_each(|step| optimizer.step(pool, &mut weights, &mut noise(step)));
            (weights, optimizer)
        });
        let [(weights, optimizer), (other_weights, other)] = &mut runs;
        assert_eq!(bits(weights), bits(other_weights), "{toml}");
        for ((name, array), (_, other)) in optimizer.arrays().zip(other.arrays()) {
            assert_eq!(bits(array), bits(other), "{name} of\n{toml}");
        }
        assert!(weights.iter().all(|w| w.is_finite()), "{toml}");
        assert!(weights[90_001..90_016].iter().all(|w| *w == 0.0), "{toml}");
    }
}

#[test]
fn restored_state_goes_on_to_the_same_bits() {
    let pool = Pool::new(1);
    for toml in specs() {
        let mut through = Optimizer::new(spec(&toml), &TENSORS, LEN);
        let mut weights = noise(99);
        (0..3).for_each(|step| through.step(&pool, &mut weights, &mut noise(step)));
        if !through.is_scheduled() {
            through.set_learning_rate(0.003);
        }
        let mut resumed = Optimizer::new(spec(&toml), &TENSORS, LEN);
        resumed.restore(through.iterations(), &through.scalars()).unwrap();
        for ((name, to), (from_name, from)) in resumed.arrays_mut().zip(through.arrays()) {
            assert_eq!(name, from_name);
            to.copy_from_slice(from);
        }
        let mut resumed_weights = weights.clone();
        for step in 3..6 {
            through.step(&pool, &mut weights, &mut noise(step));
            resumed.step(&pool, &mut resumed_weights, &mut noise(step));
        }
        assert_eq!(bits(&weights), bits(&resumed_weights), "{toml}");
        assert_eq!(through.learning_rate(), resumed.learning_rate());
        assert!(resumed.restore(1, &[]).is_err() && resumed.restore(1, &[0.0; 9]).is_err());
    }
}

#[test]
fn state_has_keras_names() {
    let names = |toml: &str| -> Vec<&str> {
        let spec = spec(toml);
        let count = spec.numbers_per_weight();
        let optimizer = Optimizer::new(spec, std::slice::from_ref(&(0..4)), 4);
        let names: Vec<&str> = optimizer.arrays().map(|(name, _)| name).collect();
        assert_eq!(names.len(), count);
        names
    };
    assert_eq!(names("type = \"SGD\""), [""; 0]);
    assert_eq!(names("type = \"Adam\"\namsgrad = true"), ["momentum", "velocity", "velocity_hat"]);
    let toml = "type = \"Adagrad\"\nuse_ema = true\ngradient_accumulation_steps = 2";
    assert_eq!(names(toml), ["accumulator", "average", "gradient_accumulator"]);
}

#[test]
fn no_average_before_the_first_step() {
    let mut optimizer =
        Optimizer::new(spec("type = \"SGD\"\nuse_ema = true"), std::slice::from_ref(&(0..1)), 1);
    assert!(optimizer.ema().is_none());
    optimizer.step(&Pool::new(1), &mut [1.0], &mut [0.0]);
    assert_eq!(optimizer.ema(), Some(&[1.0][..]));
}

#[test]
fn mistakes_are_named() {
    let schedule = |keys: &str| format!("type = \"SGD\"\nlearning_rate = {{ {keys} }}");
    let piecewise = |keys: &str| schedule(&format!("type = \"PiecewiseConstantDecay\", {keys}"));
    let cosine = "type = \"CosineDecay\", initial_learning_rate = 1.0, decay_steps";
    let cases = [
        ("type = \"SGD\"\nclipnorm = 1.0\nclipvalue = 0.5".into(), "`clipnorm` and `clipvalue` are both set"),
        ("type = \"SGD\"\nclipnorm = 0".into(), "must be more than 0, got 0"),
        ("type = \"SGD\"\nnesterov = true".into(), "has no effect without momentum"),
        ("type = \"SGD\"\nema_momentum = 0.9".into(), "has no effect without `use_ema = true`"),
        ("type = \"SGD\"\ngradient_accumulation_steps = 1".into(), "must be at least 2, got 1"),
        ("type = \"SGD\"\nlearning_rate = -0.1".into(), "must be at least 0, got -0.1"),
        ("type = \"SGD\"\nlearning_rate = true".into(), "expected a number or a schedule, found a boolean"),
        ("type = \"SGD\"\nlearning_rate = \"fast\"".into(), "unknown learning-rate schedule `fast`"),
        ("type = \"SGD\"\nlr = 0.1".into(), "unknown key `lr`"),
        ("type = \"SGD\"\nname = \"x\"".into(), "unknown key `name`"),
        ("type = \"Adam\"\nloss_scale_factor = 2.0".into(), "unknown key `loss_scale_factor`"),
        ("type = \"Adam\"\nbeta_1 = 1.0".into(), "must be in [0, 1), got 1"),
        ("type = \"Lion\"\nbeta_1 = 0.0".into(), "must be more than 0"),
        (schedule(&format!("{cosine} = 0")), "must be at least 1, got 0"),
        (schedule(&format!("{cosine} = 5, warmup_steps = 2")), "has no effect without `warmup_target`"),
        (
            schedule("type = \"ExponentialDecay\", decay_steps = 3, decay_rate = 0.5"),
            "needs `initial_learning_rate`",
        ),
        (piecewise("boundaries = [5], values = [0.1]"), "1 values for 1 boundaries"),
        (piecewise("boundaries = [5, 5], values = [0.1, 0.2, 0.3]"), "must increase, but 5 comes before 5"),
        (piecewise("boundaries = [], values = [0.1]"), "needs at least one step"),
    ];
    for (toml, expected) in cases {
        let diags = mistakes(&toml);
        let messages: Vec<&str> = diags.iter().map(|d| d.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].contains(expected), "{toml}\n{messages:?}");
        assert!(diags[0].at.is_some(), "{toml}");
    }
}

#[test]
fn a_number_can_be_replaced_and_a_schedule_counts_steps() {
    let pool = Pool::new(1);
    let tensors = std::slice::from_ref(&(0..1));
    let mut constant = Optimizer::new(spec("type = \"SGD\"\nlearning_rate = 1"), tensors, 1);
    assert_eq!((constant.is_scheduled(), constant.learning_rate()), (false, 1.0));
    constant.set_learning_rate(0.25);
    let mut weights = [1.0];
    constant.step(&pool, &mut weights, &mut [2.0]);
    assert_eq!((weights, constant.learning_rate()), ([0.5], 0.25));

    let toml = "type = \"SGD\"\nlearning_rate = { type = \"PiecewiseConstantDecay\", boundaries = [0], \
                values = [1.0, 0.5] }";
    let mut scheduled = Optimizer::new(spec(toml), tensors, 1);
    assert_eq!((scheduled.is_scheduled(), scheduled.learning_rate()), (true, 1.0));
    scheduled.step(&pool, &mut [1.0], &mut [2.0]);
    assert_eq!((scheduled.iterations(), scheduled.learning_rate()), (1, 0.5));
}
