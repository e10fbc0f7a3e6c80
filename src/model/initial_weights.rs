//! The key `initial_weights` of `[training]`: a file that weights come from, instead of being drawn.

use crate::config::fields::Fields;
use crate::config::read::{FilePath, Read};
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::diag::At;

const KEY: &str = "initial_weights";

/// Where first weights come from.
#[derive(Clone, Debug, PartialEq)]
pub struct InitialWeights {
    /// A safetensors file or a run folder, from the config's folder.
    pub file: String,
    /// Where the key's value stands.
    pub at: At,
    /// What the file is to give; none: every layer that it has by name.
    pub layers: Option<Vec<Wanted>>,
}

/// A layer, or a block with all layers in it, that is to come from the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub here: String,
    /// Its name in the file.
    pub there: String,
    pub at: At,
}

impl Wanted {
    /// `dense`, or `head from dense`.
    pub fn in_words(&self) -> String {
        match self.here == self.there {
            true => self.here.clone(),
            false => format!("{} from {}", self.here, self.there),
        }
    }
}

/// Reads `initial_weights = "file"` or `{ file = "...", layers = ... }`; mistakes are noted.
pub fn read(t: &mut Fields<'_>) -> Option<InitialWeights> {
    let value = t.raw(KEY)?;
    let at = value.at.clone();
    match &value.data {
        Data::Str(_) => match FilePath::read(value) {
            Ok(path) => {
                t.resolve(KEY, path.write());
                Some(InitialWeights { file: path.0, at, layers: None })
            }
            Err(wrong) => {
                t.error(KEY, wrong.message, wrong.hint);
                None
            }
        },
        Data::Table(table) => {
            let mut found = vec![];
            let mut inner = Fields::new(table, &at, "`initial_weights`", &mut found);
            let file: FilePath = inner.key("file").required();
            let layers = read_layers(&mut inner);
            let plain = inner.finish();
            found.into_iter().for_each(|diag| t.push(diag));
            t.resolve(KEY, Plain::Table(plain));
            Some(InitialWeights { file: file.0, at, layers })
        }
        _ => {
            let message = format!("expected a file, or a table with `file`; found {}", value.kind());
            t.error(KEY, message, Some("initial_weights = \"../runs/cnn_mnist\"".into()));
            None
        }
    }
}

/// `["a", "b"]`, or `{ here = "there" }`.
fn read_layers(f: &mut Fields<'_>) -> Option<Vec<Wanted>> {
    let value = f.raw("layers")?;
    let wanted: Option<Vec<Wanted>> = match &value.data {
        Data::Array(items) => items.iter().map(|item| named(item, item.as_str()?, &item.at)).collect(),
        Data::Table(table) => table.entries.iter().map(|e| named(&e.value, &e.key, &e.key_at)).collect(),
        _ => None,
    };
    let Some(wanted) = wanted else {
        let hint = "layers = [\"conv2d\"], or for other names layers = { here = \"there\" }";
        f.error("layers", "names layers, as a list or as a table of names", Some(hint.into()));
        return None;
    };
    if wanted.is_empty() {
        f.error("layers", "names no layer", None);
    }
    let within = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let twice = wanted.iter().enumerate().find_map(|(i, a)| {
        let earlier = wanted[..i].iter();
        earlier.map(|b| &b.here).find(|b| within(b, &a.here) || within(&a.here, b)).map(|b| (&a.here, b))
    });
    if let Some((again, first)) = twice {
        let message = match again == first {
            true => format!("names `{again}` twice"),
            false => format!("names `{first}` and `{again}`, of which one is in the other"),
        };
        f.error("layers", message, None);
    }
    f.resolve("layers", value.into());
    Some(wanted)
}

fn named(there: &Value, here: &str, at: &At) -> Option<Wanted> {
    Some(Wanted { here: here.to_string(), there: there.as_str()?.to_string(), at: at.clone() })
}
