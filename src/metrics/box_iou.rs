//! Mean intersection over union of boxes whose sides are parallel to the axes.
//!
//! ```text
//! box = x_min, y_min, x_max, y_max
//! iou = area of both / (area of one + area of the other - area of both)
//! ```
//! A box whose sides are the wrong way round has no area; of two without any the value is 0. Keras has losses
//! and no metric for boxes; the formula is that of PASCAL VOC (Everingham et al. 2010, section 4.2).

use super::fit::Fit;
use super::mean::MeanMetric;
use super::{Metric, ratio};
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Metric> = Entry {
    name: "box_iou",
    aliases: &["BoxIoU"],
    about: "mean intersection over union of boxes x_min, y_min, x_max, y_max",
    parse: |f| Box::new(MeanMetric::score(f, "box_iou", Fit::Box, overlap)),
};

fn overlap(y_true: &[f32], y_pred: &[f32]) -> f64 {
    let side = |of: &[f32], i: usize| f64::from(of[i]);
    let area = |low: [f64; 2], high: [f64; 2]| (high[0] - low[0]).max(0.0) * (high[1] - low[1]).max(0.0);
    let own = |of: &[f32]| area([side(of, 0), side(of, 1)], [side(of, 2), side(of, 3)]);
    let low = [0, 1].map(|i| side(y_true, i).max(side(y_pred, i)));
    let high = [2, 3].map(|i| side(y_true, i).min(side(y_pred, i)));
    let both = area(low, high);
    ratio(both, own(y_true) + own(y_pred) - both)
}

#[cfg(test)]
mod tests {
    use super::overlap;
    use crate::metrics::METRICS;
    use crate::shape::Shape;
    use crate::target::{OutputKind, TargetKind};

    #[test]
    fn overlaps_by_hand() {
        let whole = [0.0, 0.0, 1.0, 1.0];
        for (a, b, expected) in [
            (whole, whole, 1.0),
            // A quarter of it; and each shifted by half a side: 1/8 of 2/4 in common.
            (whole, [0.5, 0.5, 1.0, 1.0], 0.25),
            ([0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 0.5], 1.0 / 3.0),
            // Side by side, apart, and the wrong way round.
            ([0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0], 0.0),
            ([0.0, 0.0, 0.25, 0.25], [0.5, 0.5, 1.0, 1.0], 0.0),
            (whole, [0.75, 0.75, 0.25, 0.25], 0.0),
            ([0.5; 4], [0.5; 4], 0.0),
        ] {
            for (a, b) in [(a, b), (b, a)] {
                assert!((overlap(&a, &b) - expected).abs() < 1e-12, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_mean_over_boxes_counts_samples_by_their_weight() {
        let output = OutputKind { shape: Shape::batch([4]), targets: TargetKind::Values, ignore: None };
        let mut bound = METRICS.make("box_iou").0.bind(&output).unwrap();
        let y_true = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        let y_pred = [0.0, 0.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0];
        bound.update(&y_true, &y_pred, &[1.0, 3.0]);
        assert!((bound.value() - (0.5 + 3.0 * 0.25) / 4.0).abs() < 1e-12);
    }
}
