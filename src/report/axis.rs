//! Axes: a range that holds the data, and ticks at round numbers.

/// From numbers to places between 0 and 1.
#[derive(Clone, Debug)]
pub struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Labelled places, rising.
    pub ticks: Vec<(f64, String)>,
}

/// About this many ticks on an axis.
const TICKS: f64 = 5.0;

impl Axis {
    /// A linear axis for numbers from `low` to `high`, both finite. It starts at 0 where that is near.
    pub fn linear(low: f64, high: f64) -> Axis {
        let span = if high > low { high - low } else { low.abs().max(1.0) * 0.2 };
        let middle = 0.5 * (low + high);
        let (low, high) = if high > low { (low, high) } else { (middle - span / 2.0, middle + span / 2.0) };
        let margin = 0.05 * span;
        let from = if low >= 0.0 && low < 0.3 * high { 0.0 } else { low - margin };
        let to = high + margin;
        let step = round_step((to - from) / TICKS);
        let first = (from / step).ceil() as i64;
        let last = (to / step).floor() as i64;
        let ticks = (first..=last).map(|i| i as f64 * step).map(|v| (v, label(v, step))).collect();
        Axis { from, to, logarithmic: false, ticks }
    }

    /// A logarithmic axis; both numbers are positive. Ticks at 1, 2 and 5 of each decade, where there
    /// is room for them.
    pub fn logarithmic(low: f64, high: f64) -> Axis {
        let margin = (high / low).powf(0.05).max(1.05);
        let (from, to) = (low / margin, high * margin);
        let decades = (to / from).log10();
        let factors: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / 7.0).ceil().max(1.0) as i32;
        let exponents = from.log10().floor() as i32..=to.log10().ceil() as i32;
        let ticks = exponents
            .filter(|e| e.rem_euclid(every) == 0)
            .flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e)))
            .filter(|v| (from..=to).contains(v))
            .map(|v| (v, label(v, v)))
            .collect();
        Axis { from, to, logarithmic: true, ticks }
    }

    /// An axis of whole numbers from `first` to `last`, without margins.
    pub fn counting(first: f64, last: f64) -> Axis {
        let (from, to) = if last > first { (first, last) } else { (first - 0.5, first + 0.5) };
        let step = round_step((to - from) / TICKS).max(1.0);
        let inside = ((from / step).ceil() as i64..=(to / step).floor() as i64).map(|i| i as f64 * step);
        let mut values: Vec<f64> = inside.collect();
        // The first epoch is worth a label, if the next one leaves room for it.
        if values.first().is_some_and(|v| v - from > 0.4 * step) && from == first {
            values.insert(0, from);
        }
        Axis { from, to, logarithmic: false, ticks: values.into_iter().map(|v| (v, label(v, 1.0))).collect() }
    }

    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// 0 at the start of the axis, 1 at its end.
    pub fn place(&self, value: f64) -> f64 {
        let at = |v: f64| if self.logarithmic { v.ln() } else { v };
        (at(value) - at(self.from)) / (at(self.to) - at(self.from))
    }
}

/// The number of the form 1, 2 or 5 times a power of ten that is nearest.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [(1.5, 1.0), (3.5, 2.0), (7.5, 5.0)].into_iter().find(|(below, _)| step / power < *below);
    factor.map_or(10.0, |f| f.1) * power
}

/// A multiple of `step` with as many decimals as the step needs.
fn label(value: f64, step: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || step < 1e-4) {
        let digits = format!("{value:.2e}");
        let (mantissa, exponent) = digits.split_once('e').expect("written with an exponent");
        return format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        assert!(axis.ticks.iter().all(|(v, _)| (-1e-9..=1.0 + 1e-9).contains(&axis.place(*v))), "{axis:?}");
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::linear(0.11, 0.97)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            labels(&Axis::linear(0.92, 0.98)),
            ["0.92", "0.93", "0.94", "0.95", "0.96", "0.97", "0.98"]
        );
        assert_eq!(labels(&Axis::linear(-30.0, 40.0)), ["-20", "0", "20", "40"]);
        assert_eq!(labels(&Axis::logarithmic(0.01, 0.9)), ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(&Axis::logarithmic(2e-6, 50.0)).first(), Some(&"1e-6"));
        assert_eq!(labels(&Axis::counting(1.0, 5.0)), ["1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::counting(1.0, 30.0)), ["1", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(labels(&Axis::counting(1.0, 1.0)), ["1"]);
        assert_eq!(labels(&Axis::counting(1.0, 10_000.0)).last(), Some(&"10000"));
    }

    #[test]
    fn a_constant_has_an_axis_too() {
        for value in [0.0, 1.0, -3.5, 1e-12, 1e12] {
            let axis = Axis::linear(value, value);
            assert!((0.0..=1.0).contains(&axis.place(value)) && !axis.ticks.is_empty(), "{value}: {axis:?}");
        }
    }
}
