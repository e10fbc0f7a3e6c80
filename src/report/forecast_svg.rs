//! `forecast.svg`: a series and what was predicted for each of its points, from the points before it.

use crate::report::axis::Axis;
use crate::report::chart::{Plot, STYLE, cut};
use crate::report::svg::{Anchor, Svg};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 34.0;
const ABOVE: f64 = 70.0;
const BELOW: f64 = 60.0;

/// So many points can be told apart in the picture's width.
pub const MOST_POINTS: usize = 300;

/// A stretch of a series, as it was and as it was predicted, in the target's units.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// The target's column.
    pub column: String,
    /// What the stretch is from: "validation", ...
    pub part: String,
    /// The first one's position in the series.
    pub first: usize,
    /// From each to the next.
    pub stride: usize,
    pub truth: Vec<f64>,
    pub predicted: Vec<f64>,
}

impl Forecast {
    /// Mean absolute error of what is drawn.
    fn error(&self) -> f64 {
        let wrong = self.truth.iter().zip(&self.predicted).map(|(t, p)| (t - p).abs());
        wrong.sum::<f64>() / self.truth.len().max(1) as f64
    }
}

/// Draws at least one point; the truth is a solid line, the prediction a dashed one.
pub fn draw(name: &str, forecast: &Forecast) -> String {
    let (width, height) = (LEFT + WIDTH + RIGHT, ABOVE + HEIGHT + BELOW);
    let mut svg = Svg::new(width, height, &format!("Predictions of {name}"), STYLE);
    svg.rectangle("card", 0.5, 0.5, width - 1.0, height - 1.0, 10.0);
    svg.text("title", (24.0, 30.0), Anchor::Start, &cut(name, 55));
    let summary = format!(
        "{}: the last {} points of the {} part, each from those before it; mean absolute error {:.4}",
        cut(&forecast.column, 30),
        forecast.truth.len(),
        forecast.part,
        forecast.error()
    );
    svg.text("small", (24.0, 50.0), Anchor::Start, &summary);
    for (class, x, word) in [("train", width - 250.0, "truth"), ("val", width - 150.0, "prediction")] {
        svg.line(class, (x, 26.0), (x + 30.0, 26.0));
        svg.text("small", (x + 38.0, 30.0), Anchor::Start, word);
    }
    let finite = || forecast.truth.iter().chain(&forecast.predicted).copied().filter(|v| v.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let y_axis = if low <= high { Axis::linear(low, high) } else { Axis::linear(0.0, 1.0) };
    let position = |i: usize| (forecast.first + i * forecast.stride) as f64;
    let last = position(forecast.truth.len().max(1) - 1);
    let x_axis = Axis::counting(position(0), last);
    Plot { left: LEFT, top: ABOVE, width: WIDTH, height: HEIGHT }.frame(&mut svg, &x_axis, &y_axis, "point");
    for (class, values) in [("train", &forecast.truth), ("val", &forecast.predicted)] {
        let place = |(i, value): (usize, &f64)| {
            let x = LEFT + WIDTH * x_axis.place(position(i));
            (x, ABOVE + HEIGHT * (1.0 - y_axis.place(*value)))
        };
        let points: Vec<(f64, f64)> =
            values.iter().enumerate().filter(|(_, v)| v.is_finite()).map(place).collect();
        if points.len() > 1 {
            svg.curve(class, &points);
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_holds_both_curves_and_the_error() {
        let forecast = Forecast {
            column: "Temp".into(),
            part: "validation".into(),
            first: 40,
            stride: 2,
            truth: vec![1.0, 2.0, 3.0],
            predicted: vec![1.5, 2.0, 2.0],
        };
        let svg = draw("run", &forecast);
        assert!(
            svg.contains("Temp: the last 3 points of the validation part") && svg.contains("error 0.5000")
        );
        assert_eq!((svg.matches("class=\"train\"").count(), svg.matches("class=\"val\"").count()), (2, 2));
        // Points 40, 42 and 44.
        assert!(svg.contains(">44<") && !svg.contains(">45<"), "{svg}");
        assert!(!svg.contains("NaN") && !draw("run", &Forecast::default()).contains("NaN"));
    }
}
