//! Mean over the classes of `2 both / (true + predicted)`: the overlap that the loss `dice` is about, of
//! decisions in place of probabilities.

use super::overlap::Overlap;
use super::{Metric, ratio};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "dice",
    aliases: &[],
    about: "twice the overlap over the sum of each class's areas, averaged over the classes",
    parse: |f| Overlap::read(f, "dice", |both, truth, predicted| ratio(2.0 * both, truth + predicted)),
};
