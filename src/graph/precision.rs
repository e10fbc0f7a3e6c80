//! The precision of products, and its words in a config.

use crate::config::read::{Read, Wrong, word};
use crate::config::tree::Value;
use crate::config::write::Plain;

/// What the products of convolutions and dense layers are taken in. Everything else is computed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    #[default]
    Float32,
    /// Operands are rounded to bfloat16, sums are f32; what lies between is stored as bfloat16 where all who
    /// touch it can do with that.
    Bf16,
}

/// `mixed_bfloat16` is Keras's name for it.
const PRECISIONS: [(&str, Precision); 3] =
    [("float32", Precision::Float32), ("bf16", Precision::Bf16), ("mixed_bfloat16", Precision::Bf16)];

impl Read for Precision {
    fn read(value: &Value) -> Result<Precision, Wrong> {
        word(value, &PRECISIONS)
    }
    fn write(&self) -> Plain {
        let found = PRECISIONS.iter().find(|(_, precision)| precision == self);
        Plain::Str(found.expect("every precision has a word").0.to_string())
    }
    fn blank() -> Precision {
        Precision::Float32
    }
}
