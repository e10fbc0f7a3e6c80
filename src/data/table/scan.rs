//! First look at a CSV: header, number of rows, and what kind of cells each column holds.

use crate::data::mistakes::Mistakes;
use crate::data::records::{Header, Records, Row};
use crate::data::source::{Fingerprint, Source};
use crate::data::table::Format;
use crate::diag::{At, Diag, Result};

/// How many cells of a column hold a number, a text, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub numbers: usize,
    pub texts: usize,
    pub missing: usize,
}

impl Counts {
    /// Cells, and all of them missing.
    pub fn is_empty(self) -> bool {
        self.missing > 0 && self.numbers + self.texts == 0
    }
}

#[derive(Debug)]
pub struct Scan {
    pub header: Header,
    pub counts: Vec<Counts>,
    /// Rows of another length than the header: reported with what is found later.
    pub ragged: Mistakes,
}

/// Reads the whole file once.
///
/// # Errors
/// No file, no header or no rows, names twice.
pub fn scan(source: &Source, format: &Format, fingerprint: &mut Fingerprint) -> Result<Scan> {
    let reader = fingerprint.over(source.open()?);
    let mut records = Records::new(reader, source.path(), format.delimiter);
    let mut mistakes = Mistakes::default();
    let Some(first) = records.next()? else {
        let at = At::in_line(source.path(), 1, "", 0..0);
        return Err(Diag::new(format!("`{}` is empty", source.path().display())).at(&at).into());
    };
    let header = first.header(format.header);
    if format.header {
        names_twice(&header, &mut mistakes);
    } else {
        records.unread();
    }
    let width = header.names.len();
    let (mut counts, mut rows, mut ragged_rows) = (vec![Counts::default(); width], 0, Mistakes::default());
    while let Some(row) = records.next()? {
        rows += 1;
        if row.len() != width {
            ragged_rows.push_with(|| ragged(&row, width, format));
            continue;
        }
        for (cell, count) in row.cells().zip(&mut counts) {
            if format.is_missing(cell) {
                count.missing += 1;
            } else if cell.parse::<f64>().is_ok() {
                count.numbers += 1;
            } else {
                count.texts += 1;
            }
        }
    }
    if rows == 0 {
        let message = format!("`{}` has a header and no rows", source.path().display());
        mistakes.push(Diag::new(message).at(&header.at_line()));
    }
    mistakes.finish()?;
    Ok(Scan { header, counts, ragged: ragged_rows })
}

fn names_twice(header: &Header, mistakes: &mut Mistakes) {
    for (index, name) in header.names.iter().enumerate() {
        let first = header.find(name).expect("the name is in the header");
        if first < index {
            let diag = Diag::new(format!("two columns have the name `{name}`"));
            mistakes.push(diag.at(&header.at(index)).also(&header.at(first), "the first one"));
        }
    }
}

/// A row whose number of cells is not the header's.
pub fn ragged(row: &Row<'_>, width: usize, format: &Format) -> Diag {
    let first = if format.header { "the header" } else { "the first row" };
    let found = row.len();
    let diag = Diag::new(format!("this row has {found} cells, {first} has {width}"));
    let diag = diag.at(&if found > width { row.at(width) } else { row.at_line() });
    if found > width { diag.hint("quote a cell that holds the delimiter: \"1,5\"") } else { diag }
}
