//! The sections of a config that depend on its `task`, read.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::names::INPUT;
use crate::config::tree::{Data, Table, Value};
use crate::config::write::Plain;
use crate::diag::{At, Diag};
use crate::model::experiment::{Training, missing_section, read_training};
use crate::model::gan::{DISCRIMINATOR, GENERATOR, Gan, Player};
use crate::model::heads::{self, Head};
use crate::model::inputs::Input;
use crate::model::layers::{self, Network, Stored};
use crate::model::scope::Feed;
use crate::model::task::{ClassWeight, Supervised, Task};
use crate::optim::{OPTIMIZERS, OptimizerSpec};
use crate::words;

/// The key `task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// From inputs to the dataset's targets.
    Supervised,
    /// From inputs to themselves.
    Autoencode,
    /// Two networks against each other.
    Gan,
}
words!(Word, Supervised = "supervised", Autoencode = "autoencode", Gan = "gan");

/// Reads the networks, `[training]`, and what else a task has.
pub(super) fn read(
    f: &mut Fields<'_>,
    word: Word,
    root: &Table,
    inputs: &[Input],
) -> (Option<Training>, Option<Task>) {
    match word {
        Word::Gan => read_gan(f, inputs),
        Word::Autoencode => read_supervised(f, root, inputs, true),
        Word::Supervised => read_supervised(f, root, inputs, false),
    }
}

fn read_supervised(
    f: &mut Fields<'_>,
    root: &Table,
    inputs: &[Input],
    reconstructs: bool,
) -> (Option<Training>, Option<Task>) {
    let network = read_network(f, root, inputs);
    let (training, learning) = read_training(f, read_learning).unzip();
    let task = learning.flatten().zip(network).map(|(learning, network)| {
        let Learning { optimizer, heads, class_weight, class_weight_at } = learning;
        let task = Supervised { network, reconstructs, optimizer, heads, class_weight, class_weight_at };
        Task::Supervised(task)
    });
    (training, task)
}

fn read_gan(f: &mut Fields<'_>, inputs: &[Input]) -> (Option<Training>, Option<Task>) {
    if let Some(input) = inputs.first() {
        f.push(Diag::new("[inputs] is for tasks with one network").at(&input.at));
    }
    let players = read_players(f);
    let training = read_training(f, |_| ()).map(|(training, ())| training);
    let at = f.place("gan");
    let gan = players.map(|[generator, discriminator]| match f.has("gan") {
        true => f.section("gan", |g| Gan::read(g, generator, discriminator, at)),
        false => {
            f.allow("gan");
            let (empty, mut none) = (Table::default(), vec![]);
            let mut g = Fields::new(&empty, &at, "`gan`", &mut none);
            let gan = Gan::read(&mut g, generator, discriminator, at.clone());
            let plain = g.finish();
            f.resolve("gan", Plain::Table(plain));
            Some(gan)
        }
    });
    if gan.is_none() {
        f.allow("gan");
    }
    (training, gan.flatten().map(|gan| Task::Gan(Box::new(gan))))
}

/// `[networks.generator]` and `[networks.discriminator]`.
fn read_players(f: &mut Fields<'_>) -> Option<[Player; 2]> {
    let blocks = f.raw("blocks");
    let Some(value) = f.raw("networks") else {
        let hint = "[networks.generator] and [networks.discriminator], each with `optimizer` and `layers`";
        missing_section(f, "[networks]", hint);
        return None;
    };
    let Some(table) = value.as_table() else {
        f.error("networks", format!("expected a table, found {}", value.kind()), None);
        return None;
    };
    let mut found = vec![];
    let mut n = Fields::new(table, &value.at, "`networks`", &mut found);
    let optimizers = ["generator", "discriminator"].map(|name| {
        let read = n.section(name, |p| {
            let optimizer = p.variant("optimizer", &OPTIMIZERS);
            if optimizer.is_none() && !p.has("optimizer") {
                p.error(
                    "optimizer",
                    "is missing",
                    Some("each network has its own: optimizer = \"adam\"".into()),
                );
            }
            if p.raw("layers").is_none() {
                p.error("layers", "is missing", Some("[[networks.NAME.layers]] for each layer".into()));
            }
            optimizer
        });
        if read.is_none() && !n.has(name) {
            n.error(name, "is missing", Some(format!("[networks.{name}] with `optimizer` and `layers`")));
        }
        read.flatten().map(Arc::from)
    });
    let mut plain = n.finish();
    let layers = ["generator", "discriminator"].map(|name| table.get(name)?.as_table()?.get("layers"));
    let source = |(layers, (prefix, input)): (Option<_>, (&str, &str))| {
        let (prefix, inputs) = (prefix.to_string(), vec![input.to_string()]);
        Some(layers::Source { prefix, layers: layers?, inputs, outputs: &[] })
    };
    // One is read without the other too, to find more.
    let sources = layers.into_iter().zip([(GENERATOR, "noise"), (DISCRIMINATOR, INPUT)]).filter_map(source);
    let sources: Vec<_> = sources.collect();
    let (mut networks, Stored { layers, blocks }) =
        layers::read(&sources, sources.len() == 2, blocks, &mut found);
    let complete = found.is_empty();
    found.into_iter().for_each(|d| f.push(d));
    blocks.into_iter().for_each(|blocks| f.resolve("blocks", blocks));
    for ((_, player), layers) in plain.iter_mut().zip(layers) {
        if let Plain::Table(keys) = player {
            keys.push(("layers".to_string(), layers));
        }
    }
    f.resolve("networks", Plain::Table(plain));
    let (discriminator, generator) = (networks.pop()?, networks.pop()?);
    let [first, second] = optimizers;
    let players = [
        Player { network: generator, optimizer: first? },
        Player { network: discriminator, optimizer: second? },
    ];
    complete.then_some(players)
}

fn read_network(f: &mut Fields<'_>, root: &Table, inputs: &[Input]) -> Option<Network> {
    let blocks = f.raw("blocks");
    let Some(layers) = f.raw("layers") else {
        missing_section(f, "[[layers]]", "one [[layers]] table for each layer, each with a `type`");
        return None;
    };
    let names = match inputs {
        [] => vec![INPUT.to_string()],
        inputs => inputs.iter().map(|input| input.name.clone()).collect(),
    };
    let outputs = heads::outputs(root.get("training"));
    let source = layers::Source { prefix: String::new(), layers, inputs: names, outputs: &outputs };
    let mut found = vec![];
    let (mut networks, Stored { layers, blocks }) = layers::read(&[source], true, blocks, &mut found);
    let complete = found.is_empty();
    found.into_iter().for_each(|d| f.push(d));
    blocks.into_iter().for_each(|blocks| f.resolve("blocks", blocks));
    layers.into_iter().for_each(|layers| f.resolve("layers", layers));
    let network = networks.pop().filter(|_| complete)?;
    for (index, input) in inputs.iter().enumerate() {
        if !network.layers.iter().any(|layer| layer.from.contains(&Feed::Input(index))) {
            let diag = Diag::new(format!("no layer reads the input `{}`", input.name)).at(&input.at);
            f.push(diag.hint("name it in the `from` of a layer, or remove it"));
        }
    }
    Some(network)
}

/// What `[training]` says of learning from targets.
struct Learning {
    optimizer: Arc<OptimizerSpec>,
    heads: Vec<Head>,
    class_weight: Option<ClassWeight>,
    class_weight_at: At,
}

fn read_learning(t: &mut Fields<'_>) -> Option<Learning> {
    let optimizer = read_optimizer(t);
    let heads = heads::read(t);
    let class_weight = read_class_weight(t);
    let class_weight_at = t.place("class_weight");
    let (optimizer, heads) = (optimizer?, heads?);
    if heads.len() > 1 && class_weight.is_some() {
        let hint =
            "a `sample_weight` column weighs samples for all outputs; `weight` of a loss weighs an output";
        t.error("class_weight", "needs a single loss", Some(hint.into()));
    }
    Some(Learning { optimizer, heads, class_weight, class_weight_at })
}

fn read_optimizer(t: &mut Fields<'_>) -> Option<Arc<OptimizerSpec>> {
    let optimizer = t.variant("optimizer", &OPTIMIZERS);
    if optimizer.is_none() && !t.has("optimizer") {
        t.error("optimizer", "is missing", Some("for example optimizer = \"adam\"".into()));
    }
    let steps: Option<u64> = t.key("gradient_accumulation_steps").at_least(2).optional();
    optimizer.map(|mut o| {
        if steps.is_some() && o.gradient_accumulation_steps.is_some() {
            t.error(
                "gradient_accumulation_steps",
                "is set here and in the optimizer",
                Some("set it once".into()),
            );
        }
        o.gradient_accumulation_steps = steps.or(o.gradient_accumulation_steps);
        Arc::from(o)
    })
}

fn read_class_weight(t: &mut Fields<'_>) -> Option<ClassWeight> {
    let value = t.raw("class_weight")?;
    match &value.data {
        Data::Str(word) if word == "balanced" => {
            t.resolve("class_weight", Plain::Str(word.clone()));
            Some(ClassWeight::Balanced)
        }
        Data::Table(table) => {
            // All are read, so that every wrong one is told.
            let read: Vec<Option<(String, f64)>> =
                table.entries.iter().map(|e| read_weight(t, &e.key, &e.value)).collect();
            let weights: Vec<(String, f64)> = read.into_iter().collect::<Option<_>>()?;
            let plain =
                weights.iter().map(|(class, weight)| (class.clone(), Plain::Float(*weight))).collect();
            t.resolve("class_weight", Plain::Table(plain));
            Some(ClassWeight::Given(weights))
        }
        _ => {
            let hint = Some("\"balanced\", or a table of class = weight".into());
            t.error(
                "class_weight",
                format!("expected \"balanced\" or a table, found {}", value.kind()),
                hint,
            );
            None
        }
    }
}

fn read_weight(t: &mut Fields<'_>, class: &str, value: &Value) -> Option<(String, f64)> {
    let weight = match value.data {
        Data::Int(i) => i as f64,
        Data::Float(x) => x,
        _ => f64::NAN,
    };
    if weight >= 0.0 && weight.is_finite() {
        return Some((class.to_string(), weight));
    }
    t.push(Diag::new(format!("the weight of class `{class}` must be a number of 0 or more")).at(&value.at));
    None
}
