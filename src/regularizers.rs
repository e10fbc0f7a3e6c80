//! L1, L2 and L1L2 penalties on weights. Keras: `regularizers.L1` (l1 0.01), `L2` (l2 0.01),
//! `L1L2` (both 0); `l1 * sum |w| + l2 * sum w^2` is added to the loss.

use crate::config::fields::Fields;
use crate::config::registry::{Entry, Registry};
use crate::graph::Penalty;

/// Every regularizer there is.
pub static REGULARIZERS: Registry<Penalty> = Registry {
    kind: "regularizer",
    entries: &[
        Entry {
            name: "L1",
            aliases: &["l1"],
            about: "l1 * sum |w|",
            parse: |f| read_penalty(f, Some(0.01), None),
        },
        Entry {
            name: "L2",
            aliases: &["l2"],
            about: "l2 * sum w^2",
            parse: |f| read_penalty(f, None, Some(0.01)),
        },
        Entry {
            name: "L1L2",
            aliases: &["l1_l2"],
            about: "l1 * sum |w| + l2 * sum w^2",
            parse: |f| read_penalty(f, Some(0.0), Some(0.0)),
        },
    ],
};

fn read_penalty(f: &mut Fields<'_>, l1: Option<f64>, l2: Option<f64>) -> Box<Penalty> {
    Box::new(Penalty {
        l1: l1.map_or(0.0, |default| f.key("l1").at_least(0).or(default)),
        l2: l2.map_or(0.0, |default| f.key("l2").at_least(0).or(default)),
    })
}

/// Reads an optional regularizer.
pub fn read(f: &mut Fields<'_>, key: &'static str) -> Option<Penalty> {
    f.variant(key, &REGULARIZERS).map(|p| *p)
}
