//! What a model says of the points of its series, for the picture of the run.

use crate::data::Dataset;
use crate::data::preprocessing::TargetEncoding;
use crate::exec::Session;
use crate::model::lower::{EVAL, Slots};
use crate::report::forecast_svg::{Forecast, MOST_POINTS};
use crate::train::setup::fill;

/// The end of the last part that is held out, or else of the training part, one step ahead of each window,
/// in the first target's units. None where the data is no series, or not all of its targets are one output's.
pub fn of(session: &mut Session, slots: Slots, dataset: &Dataset) -> Option<Forecast> {
    let window = dataset.preprocessing.window?;
    let TargetEncoding::Values { columns } = &dataset.preprocessing.target else { return None };
    let parts = [("test", dataset.test.as_ref()), ("validation", dataset.validation.as_ref())];
    let held_out = parts.into_iter().find_map(|(name, part)| Some((name, part?)));
    let (name, part) = held_out.unwrap_or(("training", &dataset.train));
    let shown = part.len().min(MOST_POINTS);
    let order: Vec<u32> = (0..part.len() as u32).collect();
    let (before, order) = order.split_at(part.len() - shown);
    let column = &columns[0];
    let mut forecast = Forecast {
        column: column.name.strip_suffix("+1").unwrap_or(&column.name).to_string(),
        part: name.to_string(),
        first: part.rows[order[0] as usize] as usize + window.points,
        stride: window.stride,
        ..Forecast::default()
    };
    let batch = session.program(EVAL).batch;
    let run = |session: &mut Session, rows: &[u32]| {
        fill(session, EVAL, part, rows, None);
        session.run(EVAL, rows.len(), 0);
    };
    // A state that goes on has to come from somewhere.
    session.begin_walk();
    let before = if session.walks() { before } else { &[] };
    before.chunks(batch).for_each(|rows| run(session, rows));
    for rows in order.chunks(batch) {
        run(session, rows);
        let firsts = |values: &[f32]| -> Vec<f64> {
            values.chunks_exact(columns.len()).map(|row| column.decode(row[0])).collect()
        };
        forecast.truth.extend(firsts(session.output(EVAL, slots.target(0), rows.len())));
        forecast.predicted.extend(firsts(session.output(EVAL, slots.output(0), rows.len())));
    }
    Some(forecast)
}
