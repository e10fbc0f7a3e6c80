//! `--set dotted.key=VALUE`: changes of a config from the command line.

use crate::config::names;
use crate::config::tree::{self, Data, Table, Value};
use crate::diag::{At, Diag, Source};

/// Applies one `--set` argument. A step of the path is a key, or inside an array of tables an
/// element's name (for a layer without one, Keras's) or its number from 0: `layers.conv1.filters=16`, `layers.0.units=8`.
/// A value that is not TOML is taken as a string: `training.optimizer=sgd`.
pub fn apply(root: &mut Table, argument: &str) -> Result<(), Diag> {
    let source = Source::new(format!("--set {argument}"), argument);
    let whole = At::new(&source, 0..argument.len());
    let Some((path, text)) = argument.split_once('=') else {
        return Err(Diag::new("`--set` takes KEY=VALUE")
            .at(&whole)
            .hint("for example: --set training.epochs=3"));
    };
    let value = parse_value(text.trim(), &At::new(&source, path.len() + 1..argument.len()));
    let keys: Vec<&str> = path.trim().split('.').collect();
    if keys.iter().any(|k| k.is_empty()) {
        return Err(Diag::new(format!("`{path}` is not a dotted key")).at(&At::new(&source, 0..path.len())));
    }
    set(root, &keys, value, &At::new(&source, 0..path.len()))
}

fn parse_value(text: &str, at: &At) -> Value {
    let source = Source::new("value", format!("v = {text}"));
    let data = match tree::parse(&source) {
        Ok(mut table) if table.entries.len() == 1 => table.entries.remove(0).value.data,
        _ => Data::Str(text.to_string()),
    };
    relocate(Value { data, at: at.clone() }, at)
}

/// Positions inside the value all become the argument's: the inner text is not one the user sees.
fn relocate(mut value: Value, at: &At) -> Value {
    value.at = at.clone();
    match &mut value.data {
        Data::Array(items) => items.iter_mut().for_each(|v| *v = relocate(v.clone(), at)),
        Data::Table(table) => {
            for entry in &mut table.entries {
                entry.key_at = at.clone();
                entry.value = relocate(entry.value.clone(), at);
            }
        }
        _ => {}
    }
    value
}

fn set(table: &mut Table, keys: &[&str], value: Value, at: &At) -> Result<(), Diag> {
    let (first, rest) = keys.split_first().expect("a path has a key");
    if rest.is_empty() {
        table.set(first, at, value);
        return Ok(());
    }
    if table.get(first).is_none() {
        table.set(first, at, Value { data: Data::Table(Table::default()), at: at.clone() });
    }
    let slot = table.get_mut(first).expect("just set");
    // `optimizer = "adam"` becomes `{ type = "adam" }` when one of its keys is set.
    if let Data::Str(word) = &slot.data {
        let mut inner = Table::default();
        inner.set("type", &slot.at, Value { data: Data::Str(word.clone()), at: slot.at.clone() });
        slot.data = Data::Table(inner);
    }
    match &mut slot.data {
        Data::Table(inner) => set(inner, rest, value, at),
        Data::Array(items) => {
            let (step, rest) = rest.split_first().expect("checked above");
            let named = names::of_layers(items).iter().position(|n| n == step);
            let index = named.or_else(|| step.parse().ok());
            match index.and_then(|i| items.get_mut(i)).map(|item| &mut item.data) {
                Some(Data::Table(inner)) if !rest.is_empty() => set(inner, rest, value, at),
                _ => Err(Diag::new(format!("`{first}` has no element `{step}` that is a table"))
                    .at(at)
                    .hint("an element is chosen by its `name` or its number from 0")),
            }
        }
        _ => Err(Diag::new(format!("`{first}` is {}, so nothing can be set inside it", slot.kind())).at(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        tree::parse(&Source::new("c", text)).unwrap()
    }

    #[test]
    fn sets_keys_elements_and_words() {
        let mut t = table(
            "[[layers]]\nname = \"a\"\nunits = 1\n[[layers]]\ntype = \"Dense\"\n[training]\noptimizer = \"adam\"",
        );
        for set in [
            "layers.a.units=5",
            "layers.0.use_bias=false",
            "layers.dense.units=7",
            "training.optimizer.learning_rate=1e-2",
            "name=x y",
        ] {
            apply(&mut t, set).unwrap_or_else(|e| panic!("{e}"));
        }
        let layer = t.get("layers").unwrap().as_array().unwrap()[0].as_table().unwrap();
        assert!(matches!(layer.get("units").unwrap().data, Data::Int(5)));
        assert!(matches!(layer.get("use_bias").unwrap().data, Data::Bool(false)));
        let optimizer =
            t.get("training").unwrap().as_table().unwrap().get("optimizer").unwrap().as_table().unwrap();
        assert_eq!(optimizer.get("type").unwrap().as_str(), Some("adam"));
        assert_eq!(t.get("name").unwrap().as_str(), Some("x y"));
    }

    #[test]
    fn says_what_is_wrong() {
        let mut t = table("seed = 1");
        for (set, part) in [("seed", "KEY=VALUE"), ("seed.x=1", "is an integer"), (".a=1", "dotted key")] {
            let message = apply(&mut t, set).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
    }
}
