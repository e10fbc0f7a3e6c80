//! `nntrain predict` for a series: what follows its last window, or all of it where the network is stateful.

use std::io::Write;

use crate::data::preprocessing::{
    Column, ColumnEncoding, InputEncoding, Preprocessing, TargetEncoding, ValueColumn, Window, scaled,
};
use crate::data::rows::InputRows;
use crate::diag::{Diag, Failure};
use crate::model::lower::PREDICT;
use crate::train::predict::{MISTAKES, Stop, quoted};
use crate::train::setup::Loaded;

/// The last points of a series, and how to go on from them.
pub struct Continuation {
    /// Encoded points that the network is to see next, the oldest first.
    points: Vec<f32>,
    /// Numbers of a point.
    width: usize,
    /// The network has a state: it sees each point once, by itself.
    walks: bool,
    window: Window,
    /// Target columns of all steps of the horizon.
    targets: Vec<ValueColumn>,
    /// How a predicted point becomes one that is looked at; or the column that is not predicted, without
    /// which there is no more than the horizon.
    features: Result<Vec<Feature>, String>,
}

/// A number of a point: which target column it is, and how it is encoded.
struct Feature {
    target: usize,
    offset: f64,
    scale: f64,
}

impl Continuation {
    /// Reads all points of a series, and keeps the last window if the network sees no more.
    pub fn read(
        rows: &mut InputRows<'_>,
        window: Window,
        preprocessing: &Preprocessing,
        walks: bool,
    ) -> Result<Continuation, Stop> {
        let width = rows.width();
        let mut points = read_points(rows, window)?;
        if !walks {
            points.drain(..points.len() - window.points * width);
        }
        let TargetEncoding::Values { columns: targets } = preprocessing.target.clone() else {
            unreachable!("the target of a series is a value")
        };
        let names: Vec<&str> =
            targets[..targets.len() / window.horizon].iter().map(|c| plain(c, window)).collect();
        let features = features(&preprocessing.input, &names);
        Ok(Continuation { points, width, walks, window, targets, features })
    }

    /// Writes `steps` points, by default as many as the model predicts at once. A stateful network is one for
    /// a single step.
    pub fn run(
        mut self,
        loaded: &mut Loaded,
        steps: Option<usize>,
        sink: &mut dyn Write,
    ) -> Result<(), Stop> {
        let horizon = self.window.horizon;
        let per_step = self.targets.len() / horizon;
        let steps = steps.unwrap_or(horizon);
        if let Err(column) = &self.features
            && steps > horizon
        {
            let message = format!(
                "{steps} steps need column `{column}` after the first {horizon}, and the model does not predict it"
            );
            let hint = format!("--steps {horizon}, or train with `{column}` among the targets");
            return Err(Stop::Rows(Diag::new(message).hint(hint).into()));
        }
        self.header(per_step, sink).map_err(Stop::Io)?;
        let mut step = 0;
        while step < steps {
            self.show(loaded);
            let predicted = loaded.session.output(PREDICT, 0, 1).iter().zip(&self.targets);
            let decoded: Vec<f64> = predicted.map(|(v, column)| column.decode(*v)).collect();
            for values in decoded.chunks_exact(per_step).take(steps - step) {
                step += 1;
                let cells: Vec<String> = values.iter().map(|v| (*v as f32).to_string()).collect();
                writeln!(sink, "{step},{}", cells.join(",")).map_err(Stop::Io)?;
                if let Ok(features) = &self.features {
                    self.points.extend(features.iter().map(|f| scaled(values[f.target], f.offset, f.scale)));
                }
            }
        }
        Ok(())
    }

    /// Runs the network on the last window, or on all points that it has not seen yet.
    fn show(&mut self, loaded: &mut Loaded) {
        let seen = if self.walks { self.width } else { self.window.points * self.width };
        self.points.drain(..if self.walks { 0 } else { self.points.len() - seen });
        for points in self.points.chunks_exact(seen) {
            loaded.session.input(PREDICT, 0, 1).copy_from_slice(points);
            loaded.session.run(PREDICT, 1, 0);
        }
        if self.walks {
            self.points.clear();
        }
    }

    fn header(&self, per_step: usize, sink: &mut dyn Write) -> std::io::Result<()> {
        let name = |c: &ValueColumn| quoted(&format!("prediction_{}", plain(c, self.window)));
        match per_step {
            1 => writeln!(sink, "step,prediction"),
            _ => {
                let names: Vec<String> = self.targets[..per_step].iter().map(name).collect();
                writeln!(sink, "step,{}", names.join(","))
            }
        }
    }
}

/// All points of a series, encoded; at least a window of them.
pub(super) fn read_points(rows: &mut InputRows<'_>, window: Window) -> Result<Vec<f32>, Stop> {
    let width = rows.width();
    let (mut points, mut point) = (vec![], vec![0.0; width]);
    let mut mistakes: Vec<Diag> = vec![];
    while mistakes.len() < MISTAKES {
        match rows.next(&mut point) {
            Ok(true) => points.extend_from_slice(&point),
            Ok(false) => break,
            Err(diag) => mistakes.push(diag),
        }
    }
    if !mistakes.is_empty() {
        return Err(Stop::Rows(Failure::Input(mistakes)));
    }
    let (count, wanted) = (points.len() / width, window.points);
    if count < wanted {
        let message = format!("the series has {count} points, but the model looks at {wanted} at once");
        return Err(Stop::Rows(Diag::new(message).into()));
    }
    Ok(points)
}

/// A first step's target column as the file calls it.
fn plain(column: &ValueColumn, window: Window) -> &str {
    match window.horizon {
        1 => &column.name,
        _ => column.name.strip_suffix("+1").expect("the first step's columns end so"),
    }
}

/// Where each number of a point comes from among the targets, or a column that does not.
fn features(point: &InputEncoding, targets: &[&str]) -> Result<Vec<Feature>, String> {
    let InputEncoding::Columns { columns, .. } = point else {
        unreachable!("the points of a series are rows of a table")
    };
    let feature = |column: &Column| {
        let target = targets.iter().position(|name| *name == column.name);
        match (&column.encoding, target) {
            (ColumnEncoding::Number { offset, scale, .. }, Some(target)) => {
                Ok(Feature { target, offset: *offset, scale: *scale })
            }
            _ => Err(column.name.clone()),
        }
    };
    columns.iter().map(feature).collect()
}
