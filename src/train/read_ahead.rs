//! Rows that are read on a thread of their own, while what was read before is computed.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use crate::data::rows::InputRows;
use crate::diag::{Diag, Failure};
use crate::train::predict::{MISTAKES, Stop};

/// Numbers that are read in one go.
const STRETCH: usize = 1 << 16;

/// Runs `each(numbers, rows)` for batch after batch of all rows.
///
/// # Errors
/// The first that `each` gives; else the mistakes in the rows, if there are any.
pub fn for_batches(
    rows: &mut InputRows<'_>,
    batch: usize,
    mut each: impl FnMut(&[f32], usize) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let width = rows.width();
    let stretch = batch * STRETCH.div_ceil(batch * width);
    thread::scope(|scope| {
        let (full, stretches) = sync_channel(1);
        let (used, empty) = channel();
        // One is computed, one waits, one is read.
        for _ in 0..3 {
            used.send(vec![0.0; stretch * width]).expect("the other end is here");
        }
        let reader = scope.spawn(move || read(rows, width, empty, full));
        for (numbers, count) in stretches {
            for batch in numbers[..count * width].chunks(batch * width) {
                each(batch, batch.len() / width)?;
            }
            // A reader that is done needs no more room.
            let _ = used.send(numbers);
        }
        let mistakes = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        if mistakes.is_empty() { Ok(()) } else { Err(Stop::Rows(Failure::Input(mistakes))) }
    })
}

/// Reads stretch by stretch into the empty ones it is given, until the rows end or nobody wants them any more.
/// Behind a first mistake only more of them are looked for.
fn read(
    rows: &mut InputRows<'_>,
    width: usize,
    empty: Receiver<Vec<f32>>,
    full: SyncSender<(Vec<f32>, usize)>,
) -> Vec<Diag> {
    let mut mistakes = vec![];
    for mut numbers in empty {
        let (most, mut n, mut more) = (numbers.len() / width, 0, true);
        while more && n < most && mistakes.len() < MISTAKES {
            match rows.next(&mut numbers[n * width..(n + 1) * width]) {
                Ok(true) => n += usize::from(mistakes.is_empty()),
                Ok(false) => more = false,
                Err(diag) => mistakes.push(diag),
            }
        }
        if !mistakes.is_empty() || full.send((numbers, n)).is_err() || !more {
            break;
        }
    }
    mistakes
}
