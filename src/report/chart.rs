//! What the pictures of curves share: their look, and a plot's frame.

use crate::report::axis::Axis;
use crate::report::svg::{Anchor, Svg};

pub const STYLE: &str = "\
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; fill: #1f2430; }
.card { fill: #ffffff; stroke: #d5d9e0; }
.title { font-size: 17px; font-weight: 600; }
.panel { font-size: 14px; font-weight: 600; }
.small { font-size: 12px; fill: #4a5160; }
.grid { stroke: #e6e9ee; stroke-width: 1; }
.axis { stroke: #8b93a1; stroke-width: 1; }
.train { stroke: #0067a5; stroke-width: 2; fill: none; stroke-linejoin: round; stroke-linecap: round; }
.val { stroke: #c64b00; stroke-width: 2; fill: none; stroke-linejoin: round; stroke-dasharray: 6 4; }
.train-dot { fill: #0067a5; }
.val-dot { fill: #ffffff; stroke: #c64b00; stroke-width: 1.6; }
.best { stroke: #6b7280; stroke-width: 1; stroke-dasharray: 1 3; stroke-linecap: round; }
.best-ring { fill: none; stroke: #1f2430; stroke-width: 1.6; }
.wrong { stroke: #b3001b; stroke-width: 1.6; }
.wrong-text { font-size: 12px; fill: #b3001b; }
.halo { font-size: 12px; stroke: #ffffff; stroke-width: 4; stroke-linejoin: round; }
";

/// The text, or its start and dots.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The place of a plot, without its labels.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Plot {
    /// Grid, axes and their labels.
    pub fn frame(self, svg: &mut Svg, x_axis: &Axis, y_axis: &Axis, below: &str) {
        let Plot { left, top, width, height } = self;
        let (right, bottom) = (left + width, top + height);
        for (value, label) in &y_axis.ticks {
            let y = bottom - height * y_axis.place(*value);
            svg.line("grid", (left, y), (right, y));
            svg.text("small", (left - 8.0, y + 4.0), Anchor::End, label);
        }
        for (value, label) in &x_axis.ticks {
            let x = left + width * x_axis.place(*value);
            svg.line("axis", (x, bottom), (x, bottom + 4.0));
            svg.text("small", (x, bottom + 18.0), Anchor::Middle, label);
        }
        svg.line("axis", (left, bottom), (right, bottom));
        svg.text("small", (left + width / 2.0, bottom + 36.0), Anchor::Middle, below);
    }
}
