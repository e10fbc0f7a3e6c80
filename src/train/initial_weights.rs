//! `initial_weights`: what of a file belongs to which layer, whether it fits, and what is said of it.
//!
//! A layer's weights are taken as a whole: each must be in the file in its shape, moving statistics
//! too, and the file's layer may have no others.

use std::collections::BTreeSet;

use crate::diag::{At, Diag, Failure, Result, suggest};
use crate::exec::Session;
use crate::graph::Params;
use crate::model::Experiment;
use crate::model::initial_weights::{InitialWeights, Wanted};
use crate::model::lower::Model;
use crate::report::table::count;
use crate::train::weights_file::WeightsFile;

/// Weights from a file, that take the place of drawn ones.
#[derive(Debug, Default)]
pub struct Initial {
    /// What was loaded and what was not, in words; empty where there is no file.
    pub report: Vec<String>,
    /// Numbers by the position of their parameter.
    numbers: Vec<(usize, Vec<f32>)>,
}

impl Initial {
    /// Puts the weights in their places.
    pub fn load(&self, session: &mut Session) {
        for (index, numbers) in &self.numbers {
            session.param_mut(*index).copy_from_slice(numbers);
        }
    }

    /// Frees the memory, when the weights are where they belong.
    pub fn forget(&mut self) {
        self.numbers = vec![];
    }
}

/// Reads the file that a config names, if it names one. All that does not fit is returned; without a
/// model, because it has mistakes of its own, only the file is looked at.
pub fn open(experiment: &Experiment, model: Option<&Model>) -> Result<Initial> {
    let Some(key) = &experiment.training.initial_weights else { return Ok(Initial::default()) };
    let file = WeightsFile::read(&experiment.config_dir.join(&key.file));
    let file = file.map_err(|failure| {
        let placed = |diag: &Diag| {
            let hint = diag.hint.clone().unwrap_or("a relative path starts at the config's folder".into());
            diag.clone().at(&key.at).hint(hint)
        };
        Failure::Input(failure.diags().iter().map(placed).collect())
    })?;
    let Some(model) = model else { return Ok(Initial::default()) };
    let matching = Matching { key, file: &file, params: &model.params, layers: layers(experiment, model) };
    let pairs = match &key.layers {
        Some(wanted) => matching.chosen(model, wanted)?,
        None => matching.by_name()?,
    };
    matching.check(&pairs)?;
    Ok(Initial { report: matching.report(&pairs), numbers: matching.numbers(&pairs) })
}

/// A layer of the network that has weights.
struct Layer<'a> {
    name: &'a str,
    /// Drawn numbers in it will never change.
    frozen: bool,
    params: Vec<usize>,
}

fn layers<'a>(experiment: &'a Experiment, model: &Model) -> Vec<Layer<'a>> {
    let decls = &model.params.decls;
    let of = |name: &str| {
        (0..decls.len()).filter(|i| inside(name, &decls[*i].path) && !decls[*i].carried).collect()
    };
    let nodes = experiment.task.networks().into_iter().flat_map(|network| &network.layers);
    let all = nodes.map(|node| Layer {
        name: &node.name,
        frozen: !node.trainable && !node.layer.adapts(),
        params: of(&node.name),
    });
    all.filter(|layer| !layer.params.is_empty()).collect()
}

/// Whether a path starts with this one and goes on.
fn inside(outer: &str, path: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// A layer, and its name in the file.
struct Pair<'a> {
    layer: &'a Layer<'a>,
    there: String,
}

struct Matching<'a> {
    key: &'a InitialWeights,
    file: &'a WeightsFile,
    params: &'a Params,
    layers: Vec<Layer<'a>>,
}

impl Matching<'_> {
    /// Every layer whose name is in the file.
    fn by_name(&self) -> Result<Vec<Pair<'_>>> {
        let known = self.layers.iter().filter(|layer| self.file.has(layer.name));
        let pairs: Vec<Pair<'_>> = known.map(|layer| Pair { layer, there: layer.name.to_string() }).collect();
        if !pairs.is_empty() {
            return Ok(pairs);
        }
        let (here, there) = (self.own_names(), self.names_in_file(&BTreeSet::new()));
        let message = format!("no layer of the network has its name in {}", self.key.file);
        Err(Diag::new(message)
            .at(&self.key.at)
            .note(format!("the network has {}", listed(&here, &here)))
            .note(format!("the file has {}", listed(&there, &there)))
            .hint(format!(
                "other names are written initial_weights = {{ file = \"{}\", layers = {{ here = \"there\" }} }}",
                self.key.file
            ))
            .into())
    }

    /// The layers that the config names.
    fn chosen<'s>(&'s self, model: &Model, wanted: &[Wanted]) -> Result<Vec<Pair<'s>>> {
        let (mut pairs, mut diags) = (vec![], vec![]);
        for Wanted { here, there, at } in wanted {
            let meant = |name: &str| name == here || inside(here, name);
            let layers: Vec<&Layer<'_>> = self.layers.iter().filter(|layer| meant(layer.name)).collect();
            if layers.is_empty() {
                let stands = model.rows.iter().any(|row| meant(&row.name));
                diags.push(match stands {
                    true => Diag::new(format!("`{here}` has no weights to load")).at(at),
                    false => Diag::new(format!("`{here}` is no layer of the network"))
                        .at(at)
                        .maybe_hint(suggest_from(here, &self.own_names())),
                });
            }
            for layer in layers {
                let there = format!("{there}{}", &layer.name[here.len()..]);
                match self.file.has(&there) {
                    true => pairs.push(Pair { layer, there }),
                    false => diags.push(self.not_in_file(&there, at)),
                }
            }
        }
        if diags.is_empty() { Ok(pairs) } else { Err(Failure::Input(diags)) }
    }

    fn not_in_file(&self, there: &str, at: &At) -> Diag {
        let names = self.names_in_file(&BTreeSet::new());
        let diag = Diag::new(format!("`{there}` is not in {}", self.key.file)).at(at);
        diag.maybe_hint(suggest_from(there, &names))
    }

    fn check(&self, pairs: &[Pair<'_>]) -> Result<()> {
        let (fitting, wrong): (Vec<_>, Vec<_>) =
            pairs.iter().map(|pair| (pair, self.misfits(pair))).partition(|(_, misfits)| misfits.is_empty());
        let mut misfits = wrong.into_iter().flat_map(|(_, misfits)| misfits);
        let Some(first) = misfits.next() else { return Ok(()) };
        let file = &self.key.file;
        let mut diag = Diag::new(format!("the weights in {file} do not fit: {first}")).at(&self.key.at);
        for more in misfits.by_ref().take(MOST_NOTES) {
            diag = diag.note(more);
        }
        let left = misfits.count();
        if left > 0 {
            diag = diag.note(format!("and {left} more"));
        }
        let names: Vec<String> = fitting.iter().map(|(pair, _)| format!("{:?}", pair.layer.name)).collect();
        let hint = match self.key.layers {
            Some(_) => {
                "each layer that `layers` names must fit: take it off, or give it the file's sizes".into()
            }
            None if names.is_empty() => {
                "`layers` chooses layers, and gives those of the file other names".into()
            }
            None => format!(
                "initial_weights = {{ file = \"{file}\", layers = [{}] }} loads only what fits",
                names.join(", ")
            ),
        };
        Err(diag.hint(hint).into())
    }

    /// What of a layer does not fit, in words.
    fn misfits(&self, pair: &Pair<'_>) -> Vec<String> {
        let mut misfits = vec![];
        for index in &pair.layer.params {
            let shape = &self.params.decls[*index].shape;
            let name = self.name_in_file(pair, *index);
            let wrong = match self.file.tensors.get(&name) {
                None => format!("`{name}` is not in it; here the layer has it with shape {shape:?}"),
                Some(tensor) if tensor.shape != *shape => {
                    format!("`{name}` has shape {:?} there and {shape:?} here", tensor.shape)
                }
                Some(tensor) => match &tensor.numbers {
                    Err(dtype) => format!("`{name}` has numbers of type {dtype:?}, not F32, F16 or BF16"),
                    Ok(numbers) if !numbers.iter().all(|x| x.is_finite()) => {
                        format!("`{name}` holds a number that is not finite")
                    }
                    Ok(_) => continue,
                },
            };
            misfits.push(wrong);
        }
        let own: BTreeSet<String> = pair.layer.params.iter().map(|i| self.name_in_file(pair, *i)).collect();
        for (weight, tensor) in self.file.of(&pair.there) {
            let name = format!("{}/{weight}", pair.there);
            if !own.contains(&name) {
                misfits.push(format!("`{name}` has shape {:?} there; the layer here has none", tensor.shape));
            }
        }
        misfits
    }

    /// The file's name for a parameter.
    fn name_in_file(&self, pair: &Pair<'_>, index: usize) -> String {
        let path = &self.params.decls[index].path;
        format!("{}{}", pair.there, &path[pair.layer.name.len()..])
    }

    fn numbers(&self, pairs: &[Pair<'_>]) -> Vec<(usize, Vec<f32>)> {
        let places = pairs.iter().flat_map(|pair| pair.layer.params.iter().map(move |i| (pair, *i)));
        let tensor = |(pair, index)| {
            let numbers = &self.file.tensors[&self.name_in_file(pair, index)].numbers;
            (index, numbers.clone().expect("what cannot be read does not fit"))
        };
        places.map(tensor).collect()
    }

    /// What was loaded, what was drawn, and what of the file nobody wanted.
    fn report(&self, pairs: &[Pair<'_>]) -> Vec<String> {
        let own = self.own_names();
        let loaded: Vec<&str> = pairs.iter().map(|pair| pair.layer.name).collect();
        let what = match &self.key.layers {
            Some(wanted) => wanted.iter().map(Wanted::in_words).collect::<Vec<_>>().join(", "),
            None => listed(&loaded, &own),
        };
        let weights = pairs.iter().flat_map(|pair| &pair.layer.params);
        let weights = weights.map(|i| self.params.decls[*i].size()).sum();
        let drawn = |frozen: bool| -> Vec<&str> {
            let rest = self.layers.iter().filter(|layer| !loaded.contains(&layer.name));
            rest.filter(|layer| layer.frozen == frozen).map(|layer| layer.name).collect()
        };
        let used = pairs.iter().map(|pair| pair.there.as_str()).collect();
        let there = self.names_in_file(&BTreeSet::new());
        let rest = [
            ("drawn anew", drawn(false), &own),
            ("frozen as drawn", drawn(true), &own),
            ("not used of the file", self.names_in_file(&used), &there),
        ];
        let rest = rest.iter().filter(|(_, names, _)| !names.is_empty());
        let rest: Vec<String> =
            rest.map(|(word, names, all)| format!("{word}: {}", listed(names, all))).collect();
        let mut report = vec![format!("loaded from {}: {what} ({} weights)", self.key.file, count(weights))];
        report.extend((!rest.is_empty()).then(|| rest.join("; ")));
        report
    }

    fn own_names(&self) -> Vec<&str> {
        self.layers.iter().map(|layer| layer.name).collect()
    }

    /// The layers that the file has, without those in `used`.
    fn names_in_file(&self, used: &BTreeSet<&str>) -> Vec<&str> {
        let rest = self.file.tensors.keys().filter(|name| !used.iter().any(|layer| inside(layer, name)));
        let mut names: Vec<&str> = rest.map(|name| name.rsplit_once('/').map_or(&**name, |n| n.0)).collect();
        names.dedup();
        names
    }
}

/// Misfits told besides the first.
const MOST_NOTES: usize = 7;

/// Names that are listed before the rest is counted.
const MOST_NAMES: usize = 8;

/// Names in words. Where all names in a block (of `all` there are) are among them, the block stands for
/// them.
fn listed(names: &[&str], all: &[&str]) -> String {
    let mut shown: Vec<&str> = vec![];
    for name in names {
        let block = name.split('/').next().unwrap_or(name);
        let whole = all.iter().filter(|other| inside(block, other)).all(|other| names.contains(other));
        let name = if whole { block } else { name };
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    let rest = shown.len().saturating_sub(MOST_NAMES);
    let mut text = shown[..shown.len() - rest].join(", ");
    if rest > 0 {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}

/// The nearest name, of a layer or of a block that layers are in.
fn suggest_from(wrong: &str, names: &[&str]) -> Option<String> {
    let mut known: Vec<&str> = vec![];
    for name in names {
        let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
        for prefix in ends.map(|end| &name[..end]) {
            if !known.contains(&prefix) {
                known.push(prefix);
            }
        }
    }
    suggest(wrong, &known)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;
    use crate::kernels::par::Pool;
    use crate::train::trainer::Trainer;
    use crate::train::{Options, Prepared};

    const NETWORK: &str = r#"
[blocks.features]
required = ["filters"]
layers = [
  { type = "Conv2D", filters = "$filters", kernel_size = 3 },
  { type = "BatchNormalization" },
]
[[layers]]
type = "features"
filters = 2
[[layers]]
type = "Flatten"
[[layers]]
type = "Dense"
units = 4
trainable = false
[[layers]]
type = "Dense"
units = 10
"#;

    const BLOCK: [(&str, &[usize]); 6] = [
        ("features/conv2d/kernel", &[3, 3, 1, 2]),
        ("features/conv2d/bias", &[2]),
        ("features/batch_normalization/gamma", &[2]),
        ("features/batch_normalization/beta", &[2]),
        ("features/batch_normalization/moving_mean", &[2]),
        ("features/batch_normalization/moving_variance", &[2]),
    ];
    const DENSE: [(&str, &[usize]); 2] = [("dense/kernel", &[72, 4]), ("dense/bias", &[4])];

    /// A folder with a file of such tensors; tensor i holds i + 1 everywhere.
    fn folder(tensors: &[(&str, &[usize])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bytes = |i: usize, shape: &[usize]| (i as f32 + 1.0).to_le_bytes().repeat(shape.iter().product());
        let data: Vec<Vec<u8>> = tensors.iter().enumerate().map(|(i, t)| bytes(i, t.1)).collect();
        let views = tensors.iter().zip(&data).map(|((name, shape), bytes)| {
            (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &folder.path().join("w.safetensors")).unwrap();
        folder
    }

    fn prepare(folder: &Path, key: &str) -> Result<(Prepared, Model)> {
        let toml = format!(
            "[dataset]\ntype = \"digits\"\n{NETWORK}[training]\noptimizer = \"sgd\"\n\
             loss = {{ type = \"sparse_categorical_crossentropy\", from_logits = true }}\n\
             initial_weights = {key}\n"
        );
        let experiment = Experiment::parse("c.toml", &toml, &[], folder, "c");
        Prepared::new(experiment?, &Options::default())
    }

    /// What was reported, and the first number of each parameter that differs from a drawn one.
    fn load(folder: &Path, key: &str) -> (Vec<String>, Vec<(String, f32)>) {
        let (prepared, model) = prepare(folder, key).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let pool = Arc::new(Pool::new(1));
        let trainer = Trainer::new(&prepared, &model, pool).unwrap();
        let loaded: Vec<usize> = prepared.initial.numbers.iter().map(|n| n.0).collect();
        for index in &loaded {
            let numbers = trainer.session.param(*index);
            assert!(numbers.iter().all(|x| *x == numbers[0]), "{}", model.params.decls[*index].path);
        }
        let first =
            |index: &usize| (model.params.decls[*index].path.clone(), trainer.session.param(*index)[0]);
        (prepared.initial.report.clone(), loaded.iter().map(first).collect())
    }

    /// The first mistake as it is told.
    fn refused(tensors: &[(&str, &[usize])], key: &str) -> Diag {
        let folder = folder(tensors);
        prepare(folder.path(), key).map(|_| ()).unwrap_err().diags()[0].clone()
    }

    #[test]
    fn layers_are_found_by_name() {
        let folder = folder(&[&BLOCK[..], &[("other/block/kernel", &[1]), ("other/bias", &[1])]].concat());
        let (report, loaded) = load(folder.path(), "\"w.safetensors\"");
        assert_eq!(report[0], "loaded from w.safetensors: features (28 weights)");
        assert_eq!(report[1], "drawn anew: dense_1; frozen as drawn: dense; not used of the file: other");
        let expected: Vec<(String, f32)> =
            BLOCK.iter().zip(1..).map(|((name, _), i)| (name.to_string(), i as f32)).collect();
        let mut loaded = loaded;
        loaded.sort_by_key(|(_, first)| *first as u32);
        assert_eq!(loaded, expected);
    }

    #[test]
    fn layers_are_chosen_and_renamed() {
        let folder = folder(&[&BLOCK[..], &DENSE[..], &[("dense_1/kernel", &[1, 1])]].concat());
        let chosen = "{ file = \"w.safetensors\", layers = [\"dense\"] }";
        let (report, loaded) = load(folder.path(), chosen);
        assert_eq!(loaded, [("dense/kernel".to_string(), 7.0), ("dense/bias".to_string(), 8.0)]);
        assert_eq!(report[0], "loaded from w.safetensors: dense (292 weights)");
        assert_eq!(report[1], "drawn anew: features, dense_1; not used of the file: dense_1, features");

        let renamed = folder_of_renamed();
        let key = "{ file = \"w.safetensors\", layers = { features = \"stem/1\", dense = \"top\" } }";
        let (report, loaded) = load(renamed.path(), key);
        assert_eq!(
            report[0],
            "loaded from w.safetensors: features from stem/1, dense from top (320 weights)"
        );
        assert_eq!(report[1], "drawn anew: dense_1");
        assert_eq!(loaded.len(), 8);
        let one = "{ file = \"w.safetensors\", layers = { \"features/conv2d\" = \"stem/1/conv2d\" } }";
        assert_eq!(load(renamed.path(), one).1.len(), 2);
    }

    fn folder_of_renamed() -> tempfile::TempDir {
        let name = |name: &str| name.replace("features/", "stem/1/").replace("dense/", "top/");
        let renamed: Vec<(String, &[usize])> =
            BLOCK.iter().chain(&DENSE).map(|(n, shape)| (name(n), *shape)).collect();
        folder(&renamed.iter().map(|(name, shape)| (name.as_str(), *shape)).collect::<Vec<_>>())
    }

    #[test]
    fn what_does_not_fit_is_told_with_both_shapes() {
        let wide: [(&str, &[usize]); 2] = [("dense/kernel", &[72, 5]), ("dense/bias", &[5])];
        let diag = refused(&[&BLOCK[..], &wide[..]].concat(), "\"w.safetensors\"");
        assert!(diag.message.contains("`dense/kernel` has shape [72, 5] there and [72, 4] here"), "{diag}");
        assert_eq!(diag.at.as_ref().unwrap().line_column(), (25, 19), "{diag}");
        let both = "layers = [\"features/conv2d\", \"features/batch_normalization\"] }";
        assert!(diag.hint.as_ref().unwrap().contains(both), "{diag}");
        assert_eq!(diag.notes, ["`dense/bias` has shape [5] there and [4] here"]);

        let missing = refused(&[DENSE[0]], "\"w.safetensors\"");
        assert!(missing.message.contains("`dense/bias` is not in it"), "{missing}");
        let more = refused(&[DENSE[0], DENSE[1], ("dense/gate", &[4])], "\"w.safetensors\"");
        assert!(more.message.contains("`dense/gate` has shape [4] there; the layer here has none"), "{more}");
        let key = "{ file = \"w.safetensors\", layers = { dense = \"top\" } }";
        let renamed = refused(&[("top/kernel", &[4, 72]), ("top/bias", &[4])], key);
        assert!(renamed.message.contains("`top/kernel` has shape [4, 72] there and [72, 4]"), "{renamed}");
    }

    #[test]
    fn names_are_looked_for() {
        let nothing = refused(&[("conv2d/kernel", &[1])], "\"w.safetensors\"");
        assert_eq!(nothing.notes, ["the network has features, dense, dense_1", "the file has conv2d"]);
        let said = |layers: &str| {
            let diag = refused(&DENSE, &format!("{{ file = \"w.safetensors\", layers = {layers} }}"));
            format!("{} {}", diag.message, diag.hint.unwrap_or_default())
        };
        assert!(said("[\"dens\"]").contains("`dens` is no layer of the network did you mean `dense`?"));
        assert!(said("[\"featuers\"]").contains("did you mean `features`?"));
        assert!(said("[\"flatten\"]").contains("`flatten` has no weights to load"));
        assert!(said("[\"dense_1\"]").contains("`dense_1` is not in w.safetensors did you mean `dense`?"));
        assert!(said("{ dense = \"top\" }").contains("`top` is not in w.safetensors known here: `dense`"));
        assert!(said("[\"dense\", \"dense\"]").contains("names `dense` twice"));
        assert!(said("[\"features/conv2d\", \"features\"]").contains("of which one is in the other"));
        assert!(said("[]").contains("names no layer"));
        assert!(said("[1]").contains("names layers, as a list or as a table"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> =
            (0..10).map(|i| format!("d{i}")).chain(["a/1/x".into(), "a/2/y".into()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(listed(&names, &names), "d0, d1, d2, d3, d4, d5, d6, d7 and 3 more");
        assert_eq!(listed(&names[10..], &names), "a");
        assert_eq!(listed(&names[11..], &names), "a/2/y");
    }

    /// The stored config names the file from its own folder, and says what it is to give.
    #[test]
    fn the_stored_config_finds_the_file() {
        let folder = folder(&DENSE);
        let run = folder.path().join("runs/one");
        for (key, stored) in [
            ("\"w.safetensors\"", "initial_weights = \"../../w.safetensors\""),
            (
                "{ file = \"w.safetensors\", layers = { dense = \"dense\" } }",
                "initial_weights = { file = \"../../w.safetensors\", layers = { dense = \"dense\" } }",
            ),
        ] {
            let (prepared, _) = prepare(folder.path(), key).unwrap();
            let config = prepared.experiment.resolved(&run);
            assert!(config.lines().any(|line| line == stored), "{stored} is not in\n{config}");
        }
    }
}
