//! `nntrain predict` for an autoencoder of a series: its windows, given back.

use std::io::Write;
use std::sync::atomic::Ordering;

use crate::data::preprocessing::Window;
use crate::data::rows::InputRows;
use crate::diag::Failure;
use crate::model::lower::PREDICT;
use crate::train::continuation::read_points;
use crate::train::fit::INTERRUPTED;
use crate::train::predict::{Stop, Table};
use crate::train::setup::Loaded;

/// Writes what an autoencoder makes of each window of a series, as far apart as in training: a row for each.
pub(super) fn windows(
    loaded: &mut Loaded,
    rows: &mut InputRows<'_>,
    window: Window,
    mut table: Table,
    sink: &mut dyn Write,
) -> Result<(), Stop> {
    let points = read_points(rows, window)?;
    table.header(None, sink).map_err(Stop::Io)?;
    let (width, batch) = (rows.width(), loaded.session.program(PREDICT).batch);
    let (length, stride) = (window.points * width, window.stride * width);
    let count = (points.len() - length) / stride + 1;
    loaded.session.begin_walk();
    for first in (0..count).step_by(batch) {
        if INTERRUPTED.load(Ordering::SeqCst) {
            return Err(Stop::Rows(Failure::Interrupted("Nothing was written.".into())));
        }
        let n = batch.min(count - first);
        let inputs = loaded.session.input(PREDICT, 0, n);
        for (i, out) in inputs.chunks_exact_mut(length).enumerate() {
            out.copy_from_slice(&points[(first + i) * stride..][..length]);
        }
        loaded.session.run(PREDICT, n, 0);
        table.rows(&loaded.session, n, None, sink).map_err(Stop::Io)?;
    }
    Ok(())
}
