//! Mean over the classes of `both / (true + predicted - both)`, the intersection over the union.
//! Source: `keras.metrics.MeanIoU`.

use super::overlap::Overlap;
use super::{Metric, ratio};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "mean_iou",
    aliases: &["MeanIoU"],
    about: "intersection over union of each class's area, averaged over the classes",
    parse: |f| Overlap::read(f, "mean_iou", |both, truth, predicted| ratio(both, truth + predicted - both)),
};
