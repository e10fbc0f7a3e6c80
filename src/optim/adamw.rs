//! Adam with decoupled weight decay: the rule of Adam, and `weight_decay = 0.004`.
//!
//! Source: `keras.optimizers.AdamW`; Loshchilov and Hutter, ICLR 2019.

use super::{OptimizerSpec, adam};
use crate::config::registry::Entry;

pub const ENTRY: Entry<OptimizerSpec> = Entry {
    name: "AdamW",
    aliases: &["adamw"],
    about: "Adam with decoupled weight decay",
    parse: |f| OptimizerSpec::read(f, 0.001, Some(0.004), adam::read),
};
