//! Reading one value as a type, and writing it back.

use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::diag::suggest;

/// Why a value cannot be read: what was expected, and a hint.
#[derive(Debug)]
pub struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), hint: None }
    }

    pub fn expected(what: &str, found: &Value) -> Wrong {
        Wrong::new(format!("expected {what}, found {}", found.kind()))
    }
}

/// A type that a TOML value can be read as.
pub trait Read: Sized {
    fn read(value: &Value) -> Result<Self, Wrong>;
    fn write(&self) -> Plain;
    /// Stands in after a mistake, so that reading can go on and find more; never used to train.
    fn blank() -> Self;
}

/// Counts and sizes end here: sums and products of a few of them still fit 64 bits.
const MOST: i64 = i32::MAX as i64;

impl Read for usize {
    fn read(value: &Value) -> Result<usize, Wrong> {
        match value.data {
            Data::Int(i) if i > MOST => Err(Wrong::new(format!("must be at most {MOST}, got {i}"))),
            _ => u64::read(value).map(|v| v as usize),
        }
    }
    fn write(&self) -> Plain {
        Plain::Int(*self as i64)
    }
    fn blank() -> usize {
        1
    }
}

impl Read for u64 {
    fn read(value: &Value) -> Result<u64, Wrong> {
        match value.data {
            Data::Int(i) => {
                u64::try_from(i).map_err(|_| Wrong::new(format!("must not be negative, got {i}")))
            }
            _ => Err(Wrong::expected("an integer", value)),
        }
    }
    fn write(&self) -> Plain {
        Plain::Int(*self as i64)
    }
    fn blank() -> u64 {
        1
    }
}

impl Read for i64 {
    fn read(value: &Value) -> Result<i64, Wrong> {
        match value.data {
            Data::Int(i) => Ok(i),
            _ => Err(Wrong::expected("an integer", value)),
        }
    }
    fn write(&self) -> Plain {
        Plain::Int(*self)
    }
    fn blank() -> i64 {
        1
    }
}

impl Read for f64 {
    fn read(value: &Value) -> Result<f64, Wrong> {
        let number = match value.data {
            Data::Int(i) => i as f64,
            Data::Float(f) => f,
            _ => return Err(Wrong::expected("a number", value)),
        };
        if number.is_finite() { Ok(number) } else { Err(Wrong::new(format!("must be finite, got {number}"))) }
    }
    fn write(&self) -> Plain {
        Plain::Float(*self)
    }
    fn blank() -> f64 {
        0.5
    }
}

impl Read for bool {
    fn read(value: &Value) -> Result<bool, Wrong> {
        match value.data {
            Data::Bool(b) => Ok(b),
            _ => Err(Wrong::expected("true or false", value)),
        }
    }
    fn write(&self) -> Plain {
        Plain::Bool(*self)
    }
    fn blank() -> bool {
        false
    }
}

impl Read for String {
    fn read(value: &Value) -> Result<String, Wrong> {
        value.as_str().map(str::to_string).ok_or_else(|| Wrong::expected("a string", value))
    }
    fn write(&self) -> Plain {
        Plain::Str(self.clone())
    }
    fn blank() -> String {
        String::new()
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: &Value) -> Result<Vec<T>, Wrong> {
        let items = value.as_array().ok_or_else(|| Wrong::expected("an array", value))?;
        items.iter().map(T::read).collect()
    }
    fn write(&self) -> Plain {
        Plain::Array(self.iter().map(T::write).collect())
    }
    fn blank() -> Vec<T> {
        vec![]
    }
}

/// One value, or an array of them: `from = "a"` and `from = ["a", "b"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(value: &Value) -> Result<OneOrMany<T>, Wrong> {
        match &value.data {
            Data::Array(items) => Ok(OneOrMany(items.iter().map(T::read).collect::<Result<_, _>>()?)),
            _ => Ok(OneOrMany(vec![T::read(value)?])),
        }
    }
    fn write(&self) -> Plain {
        match self.0.as_slice() {
            [one] => one.write(),
            many => Plain::Array(many.iter().map(T::write).collect()),
        }
    }
    fn blank() -> OneOrMany<T> {
        OneOrMany(vec![])
    }
}

/// `3` means 3 in every dimension, `[3, 5]` one for each: kernel sizes, strides, pool sizes.
impl<const N: usize> Read for [usize; N] {
    fn read(value: &Value) -> Result<[usize; N], Wrong> {
        match &value.data {
            Data::Int(_) => Ok([usize::read(value)?; N]),
            Data::Array(items) => {
                let items: Vec<usize> = items.iter().map(usize::read).collect::<Result<_, _>>()?;
                let found = items.len();
                items.try_into().map_err(|_| Wrong::new(format!("expected {N} integers, found {found}")))
            }
            _ => Err(Wrong::expected(&format!("an integer or {N} integers"), value)),
        }
    }
    fn write(&self) -> Plain {
        match self.iter().all(|v| *v == self[0]) {
            true => self[0].write(),
            false => Plain::Array(self.iter().map(usize::write).collect()),
        }
    }
    fn blank() -> [usize; N] {
        [1; N]
    }
}

/// A file of the user's, as written; relative paths start at the config's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub String);

impl Read for FilePath {
    fn read(value: &Value) -> Result<FilePath, Wrong> {
        match String::read(value)? {
            path if path.is_empty() => Err(Wrong::new("is an empty path")),
            path => Ok(FilePath(path)),
        }
    }
    fn write(&self) -> Plain {
        Plain::Path(self.0.clone())
    }
    fn blank() -> FilePath {
        FilePath(String::new())
    }
}

/// Reads one of a fixed set of words.
pub fn word<T: Copy>(value: &Value, words: &[(&'static str, T)]) -> Result<T, Wrong> {
    let Some(found) = value.as_str() else {
        return Err(Wrong::expected(&format!("one of {}", list(words)), value));
    };
    words.iter().find(|(name, _)| *name == found).map(|(_, v)| *v).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|w| w.0).collect();
        Wrong { message: format!("`{found}` is not one of {}", list(words)), hint: suggest(found, &names) }
    })
}

fn list<T>(words: &[(&'static str, T)]) -> String {
    words.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Makes a plain enum readable by its words: `words!(Padding, Valid = "valid", Same = "same");`
#[macro_export]
macro_rules! words {
    ($type:ty, $first:ident = $first_word:literal $(, $variant:ident = $word:literal)* $(,)?) => {
        impl $crate::config::read::Read for $type {
            fn read(value: &$crate::config::tree::Value) -> Result<Self, $crate::config::read::Wrong> {
                $crate::config::read::word(value, &[($first_word, <$type>::$first) $(, ($word, <$type>::$variant))*])
            }
            fn write(&self) -> $crate::config::write::Plain {
                let word = match self { <$type>::$first => $first_word $(, <$type>::$variant => $word)* };
                $crate::config::write::Plain::Str(word.to_string())
            }
            fn blank() -> Self {
                <$type>::$first
            }
        }
    };
}
