//! `history.svg`: the loss and up to five other measures over the epochs: metrics first, then parts of the loss.
//!
//! Training is a solid line, validation a dashed one, so that the picture does without colour; it
//! stands on a white card, so that it does on a dark page. The loss is drawn on a logarithmic axis
//! where it spans more than two decades. A NaN or infinite value is a gap and is marked.

use crate::report::axis::Axis;
use crate::report::chart::{Plot, STYLE, cut};
use crate::report::svg::{Anchor, Svg};

/// Columns of the history that are no measure of the model.
const ASIDE: [&str; 3] = ["epoch", "seconds", "samples_per_second"];
const OTHERS: usize = 5;

/// The plot of a panel, without its labels.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
/// Around the plot: labels of the axes and the panel's title.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const ABOVE: f64 = 34.0;
const BELOW: f64 = 44.0;
/// Around the panels.
const MARGIN: f64 = 16.0;
const HEAD: f64 = 64.0;

/// Curves of more points than this are thinned out: two points for each pixel and a half.
const MOST_POINTS: usize = 540;
/// Up to this many points each is marked with a dot.
const DOTTED: usize = 24;

/// One measure: its columns in the history.
struct Panel<'a> {
    name: &'a str,
    train: usize,
    validation: Option<usize>,
}

/// The history as it is drawn.
struct History<'a> {
    columns: &'a [String],
    rows: &'a [Vec<f64>],
}

/// Draws the rows of a history. `best_epoch` is marked; without it, the epoch of the lowest
/// validation loss, or else of the lowest loss.
pub fn draw(name: &str, columns: &[String], rows: &[Vec<f64>], best_epoch: Option<usize>) -> String {
    let history = History { columns, rows };
    let panels = history.panels();
    let across = if panels.len() == 4 { 2 } else { panels.len().clamp(1, 3) };
    let down = panels.len().div_ceil(across).max(1);
    let (cell_width, cell_height) = (LEFT + WIDTH + RIGHT, ABOVE + HEIGHT + BELOW);
    let width = 2.0 * MARGIN + across as f64 * cell_width;
    let height = HEAD + down as f64 * cell_height + MARGIN;
    let best = history.best_row(best_epoch);

    let mut svg = Svg::new(width, height, &format!("Training history of {name}"), STYLE);
    svg.rectangle("card", 0.5, 0.5, width - 1.0, height - 1.0, 10.0);
    // About as many characters as there is room for beside the legend.
    let name = cut(name, ((width - 290.0) / 10.5) as usize);
    svg.text("title", (MARGIN + 8.0, 30.0), Anchor::Start, &name);
    svg.text("small", (MARGIN + 8.0, 50.0), Anchor::Start, &history.summary(&panels, best));
    legend(&mut svg, width - MARGIN - RIGHT, panels.iter().any(|p| p.validation.is_some()));
    for (i, panel) in panels.iter().enumerate() {
        let x = MARGIN + (i % across) as f64 * cell_width + LEFT;
        let y = HEAD + (i / across) as f64 * cell_height + ABOVE;
        history.draw_panel(&mut svg, panel, (x, y), best);
    }
    svg.finish()
}

/// Samples of the two lines, at the right end of the head.
fn legend(svg: &mut Svg, right: f64, validation: bool) {
    let mut x = right;
    for (class, dot, word, wide) in
        [("val", "val-dot", "validation", 96.0), ("train", "train-dot", "training", 86.0)]
    {
        if class == "val" && !validation {
            continue;
        }
        x -= wide;
        svg.line(class, (x - 4.0, 26.0), (x + 26.0, 26.0));
        svg.circle(dot, (x + 11.0, 26.0), 2.8);
        svg.text("small", (x + 32.0, 30.0), Anchor::Start, word);
        x -= 20.0;
    }
}

impl History<'_> {
    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    fn epoch(&self, row: usize) -> f64 {
        self.column("epoch").map_or(row as f64 + 1.0, |c| self.rows[row][c])
    }

    /// The loss first, then metrics in the order of the columns, then the parts of the loss.
    fn panels(&self) -> Vec<Panel<'_>> {
        let measures = self.columns.iter().map(String::as_str).enumerate();
        let mut panels: Vec<Panel<'_>> = measures
            .filter(|(_, c)| !c.starts_with("val_") && !c.ends_with("learning_rate") && !ASIDE.contains(c))
            .map(|(train, name)| Panel { name, train, validation: self.column(&format!("val_{name}")) })
            .collect();
        let summed = self.column("loss").is_some();
        panels.sort_by_key(|p| match p.name {
            "loss" => 0,
            part if summed && part.ends_with("_loss") => 2,
            _ => 1,
        });
        panels.truncate(1 + OTHERS);
        panels
    }

    fn best_row(&self, epoch: Option<usize>) -> Option<usize> {
        if let Some(epoch) = epoch {
            return (0..self.rows.len()).find(|r| self.epoch(*r) == epoch as f64);
        }
        let column = self.column("val_loss").or_else(|| self.column("loss"))?;
        let finite = (0..self.rows.len()).filter(|r| self.rows[*r][column].is_finite());
        finite.min_by(|a, b| self.rows[*a][column].total_cmp(&self.rows[*b][column]))
    }

    /// `12 epochs · best epoch 9: val_loss 0.0312, val_accuracy 0.981`
    fn summary(&self, panels: &[Panel<'_>], best: Option<usize>) -> String {
        let epochs = match self.rows.len() {
            0 => return "no epoch yet".to_string(),
            1 => "1 epoch".to_string(),
            n => format!("{n} epochs"),
        };
        let Some(best) = best else { return epochs };
        let value = |p: &Panel<'_>| {
            let column = p.validation.unwrap_or(p.train);
            format!("{} {}", self.columns[column], short(self.rows[best][column]))
        };
        let values: Vec<String> = panels.iter().map(value).collect();
        format!("{epochs} · best epoch {}: {}", self.epoch(best), values.join(", "))
    }

    fn draw_panel(&self, svg: &mut Svg, panel: &Panel<'_>, (left, top): (f64, f64), best: Option<usize>) {
        let curves: Vec<(usize, &str, &str)> =
            [(Some(panel.train), "train", "train-dot"), (panel.validation, "val", "val-dot")]
                .into_iter()
                .filter_map(|(column, line, dot)| Some((column?, line, dot)))
                .collect();
        let finite =
            curves.iter().flat_map(|(c, ..)| self.rows.iter().map(|r| r[*c])).filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let y_axis = match (low <= high, panel.name.ends_with("loss") && low > 0.0 && high / low > 100.0) {
            (false, _) => Axis::linear(0.0, 1.0),
            (true, false) => Axis::linear(low, high),
            (true, true) => Axis::logarithmic(low, high),
        };
        let last = self.rows.len().max(1) - 1;
        let ends = if self.rows.is_empty() { (1.0, 1.0) } else { (self.epoch(0), self.epoch(last)) };
        let x_axis = Axis::counting(ends.0, ends.1);
        let at = |row: usize, value: f64| {
            (left + WIDTH * x_axis.place(self.epoch(row)), top + HEIGHT * (1.0 - y_axis.place(value)))
        };

        Plot { left, top, width: WIDTH, height: HEIGHT }.frame(svg, &x_axis, &y_axis, "epoch");
        let scale = if y_axis.is_logarithmic() { " (log scale)" } else { "" };
        svg.text("panel", (left, top - 12.0), Anchor::Start, &format!("{}{scale}", cut(panel.name, 36)));
        if let Some(best) = best {
            let x = at(best, low).0;
            svg.line("best", (x, top), (x, top + HEIGHT));
        }
        for (column, line, dot) in &curves {
            let values: Vec<f64> = self.rows.iter().map(|r| r[*column]).collect();
            for run in finite_runs(&values) {
                let points: Vec<(f64, f64)> =
                    thinned(&values, run).into_iter().map(|r| at(r, values[r])).collect();
                if points.len() > 1 {
                    svg.curve(line, &points);
                }
                if points.len() == 1 || self.rows.len() <= DOTTED {
                    points.iter().for_each(|p| svg.circle(dot, *p, 2.8));
                }
            }
        }
        self.mark_best(svg, panel, best, left, at);
        let broken =
            (0..self.rows.len()).find(|r| curves.iter().any(|(c, ..)| !self.rows[*r][*c].is_finite()));
        if let Some(row) = broken {
            self.mark_broken(svg, row, (at(row, high).0, top), left);
        }
    }

    /// A ring around the best epoch's value, and the value.
    fn mark_best(
        &self,
        svg: &mut Svg,
        panel: &Panel<'_>,
        best: Option<usize>,
        left: f64,
        at: impl Fn(usize, f64) -> (f64, f64),
    ) {
        let column = panel.validation.unwrap_or(panel.train);
        let Some((row, value)) = best.map(|row| (row, self.rows[row][column])).filter(|(_, v)| v.is_finite())
        else {
            return;
        };
        let (x, y) = at(row, value);
        svg.circle("best-ring", (x, y), 5.5);
        let ends = x > left + WIDTH / 2.0;
        let (anchor, shift) = if ends { (Anchor::End, -9.0) } else { (Anchor::Start, 9.0) };
        // On the side where the other curve is not.
        let below = self.rows[row][panel.train] > value;
        let place = (x + shift, if below { y + 18.0 } else { y - 9.0 });
        let text = short(value);
        for class in ["halo", "small"] {
            svg.text(class, place, anchor, &text);
        }
    }

    /// A red cross on the upper edge where a value is not finite.
    fn mark_broken(&self, svg: &mut Svg, row: usize, (x, y): (f64, f64), left: f64) {
        svg.line("wrong", (x - 5.0, y - 5.0), (x + 5.0, y + 5.0));
        svg.line("wrong", (x - 5.0, y + 5.0), (x + 5.0, y - 5.0));
        let ends = x > left + WIDTH / 2.0;
        let (anchor, shift) = if ends { (Anchor::End, -9.0) } else { (Anchor::Start, 9.0) };
        let text = format!("not finite from epoch {}", self.epoch(row));
        svg.text("wrong-text", (x + shift, y - 6.0), anchor, &text);
    }
}

/// Stretches of finite values.
fn finite_runs(values: &[f64]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = vec![];
    for (i, _) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        match runs.last_mut() {
            Some(run) if run.end == i => run.end += 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

/// Rows to draw of a long run: in each of equal pieces the lowest and the highest value, so that no
/// spike is lost; and both ends.
fn thinned(values: &[f64], run: std::ops::Range<usize>) -> Vec<usize> {
    if run.len() <= MOST_POINTS {
        return run.collect();
    }
    let pieces = MOST_POINTS / 2;
    let start = |piece: usize| run.start + run.len() * piece / pieces;
    let mut kept = vec![run.start];
    for piece in 0..pieces {
        let rows = start(piece)..start(piece + 1);
        let by_value = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
        let (low, high) = (rows.clone().min_by(by_value), rows.max_by(by_value));
        kept.extend(low.into_iter().chain(high));
    }
    kept.push(run.end - 1);
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// Three significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        format!("{value}")
    } else if size != 0.0 && !(1e-4..1e6).contains(&size) {
        format!("{value:.2e}")
    } else {
        let decimals = if size == 0.0 { 0.0 } else { (2.0 - size.log10().floor()).max(0.0) };
        format!("{value:.0$}", decimals as usize)
    }
}

#[cfg(test)]
mod tests;
