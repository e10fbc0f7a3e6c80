//! A CSV with targets, read with preprocessing that was fitted earlier: `eval --data FILE`.

use std::ops::Range;
use std::path::Path;

use crate::data::mistakes::Mistakes;
use crate::data::preprocessing::{Preprocessing, TargetEncoding, TargetPart, scaled};
use crate::data::records::{Header, Records, Row};
use crate::data::rows::{bind, number};
use crate::data::source::open;
use crate::data::{Part, Rows, Table};
use crate::diag::{Diag, Result, suggest};

/// Reads the whole file.
///
/// # Errors
/// As [`read`].
pub fn load(path: &Path, fitted: &Preprocessing, weight: Option<&str>) -> Result<Part> {
    read(open(path)?, path, fitted, weight)
}

/// Reads the file at `path`, which is open; `weight` names a column of sample weights, used if the file has it.
///
/// # Errors
/// Missing columns; every cell that cannot be encoded; classes that training never saw.
pub fn read(
    file: impl std::io::Read,
    path: &Path,
    fitted: &Preprocessing,
    weight: Option<&str>,
) -> Result<Part> {
    let mut records = Records::new(file, path, fitted.input.delimiter() as u8);
    let (mut encoder, header) = bind(&mut records, path, &fitted.input)?;
    let targets = Targets::find(fitted, header.as_ref(), path)?;
    let weight = header.as_ref().zip(weight).and_then(|(h, name)| h.find(name));
    let (input_width, target_width) = (fitted.input.width(), fitted.target_width());
    let mut input = vec![0.0; input_width];
    let mut target = vec![0.0; target_width];
    let (mut inputs, mut outputs, mut weights) = (vec![], vec![], vec![]);
    let mut mistakes = Mistakes::default();
    while let Some(row) = records.next()? {
        let encoded = encoder.encode(&row, &mut input).and_then(|()| targets.encode(&row, &mut target));
        if let Err(diag) = encoded {
            mistakes.push(diag);
            continue;
        }
        inputs.extend_from_slice(&input);
        outputs.extend_from_slice(&target);
        if let Some(index) = weight {
            match number(&row, index) {
                Ok(value) => weights.push(value as f32),
                Err(diag) => mistakes.push(diag),
            }
        }
    }
    mistakes.finish()?;
    if outputs.is_empty() {
        return Err(Diag::new(format!("`{}` has no rows", path.display())).into());
    }
    Ok(Part::whole(Table {
        inputs: Rows::F32 { data: inputs, width: input_width },
        targets: Rows::F32 { data: outputs, width: target_width },
        weights: weight.map(|_| weights),
    }))
}

/// The dataset's targets, in their order in a row.
struct Targets<'p>(Vec<Target<'p>>);

/// One of them: where its columns stand in the file, and its numbers in a row.
struct Target<'p> {
    encoding: &'p TargetEncoding,
    columns: Vec<usize>,
    range: Range<usize>,
}

impl<'p> Targets<'p> {
    fn find(fitted: &'p Preprocessing, header: Option<&Header>, path: &Path) -> Result<Targets<'p>> {
        let (mut targets, mut mistakes) = (vec![], Mistakes::default());
        for TargetPart { encoding, range, .. } in fitted.parts() {
            let mut columns = vec![];
            for name in column_names(encoding, path)? {
                let index = match header {
                    Some(header) => header.find(name),
                    // Without a header a column's name is its number.
                    None => name.parse().ok(),
                };
                match index {
                    Some(index) => columns.push(index),
                    None => mistakes.push(no_target(name, header, path)),
                }
            }
            targets.push(Target { encoding, columns, range });
        }
        mistakes.finish()?;
        Ok(Targets(targets))
    }

    fn encode(&self, row: &Row<'_>, out: &mut [f32]) -> Result<(), Diag> {
        self.0.iter().try_for_each(|target| target.encode(row, &mut out[target.range.clone()]))
    }
}

/// The columns that a target is read from.
fn column_names<'p>(encoding: &'p TargetEncoding, path: &Path) -> Result<Vec<&'p str>, Diag> {
    match encoding {
        TargetEncoding::Classes { column, .. } => Ok(vec![column.as_str()]),
        TargetEncoding::Values { columns } => Ok(columns.iter().map(|c| c.name.as_str()).collect()),
        TargetEncoding::Mask { .. } => {
            let message = format!("`{}` is a file, expected a folder: targets are masks", path.display());
            Err(Diag::new(message).hint("it needs folders `images` and `masks`"))
        }
        // A running text is its own target.
        TargetEncoding::NextToken => Ok(vec![]),
        TargetEncoding::Several { .. } | TargetEncoding::Input => unreachable!("no target in a row is this"),
    }
}

impl Target<'_> {
    fn encode(&self, row: &Row<'_>, out: &mut [f32]) -> Result<(), Diag> {
        match self.encoding {
            TargetEncoding::Values { columns } => {
                for ((out, index), column) in out.iter_mut().zip(&self.columns).zip(columns) {
                    *out = scaled(number(row, *index)?, column.offset, column.scale);
                }
            }
            TargetEncoding::NextToken => {}
            TargetEncoding::Classes { names, one_hot, column } => {
                let cell = row.cell(self.columns[0]);
                let Some(class) = names.iter().position(|n| n == cell) else {
                    let known: Vec<&str> = names.iter().map(String::as_str).collect();
                    let message = format!("`{cell}` in column `{column}` is no class of the model");
                    let diag = Diag::new(message).at(&row.at(self.columns[0]));
                    return Err(diag.maybe_hint(suggest(cell, &known)));
                };
                if *one_hot {
                    out.fill(0.0);
                    out[class] = 1.0;
                } else {
                    out[0] = class as f32;
                }
            }
            TargetEncoding::Mask { .. } | TargetEncoding::Several { .. } | TargetEncoding::Input => {
                unreachable!("refused when the file was opened")
            }
        }
        Ok(())
    }
}

fn no_target(name: &str, header: Option<&Header>, path: &Path) -> Diag {
    match header {
        Some(header) => {
            let names: Vec<&str> = header.names.iter().map(String::as_str).collect();
            let diag = Diag::new(format!("the target column `{name}` is missing")).at(&header.at_line());
            diag.maybe_hint(suggest(name, &names))
        }
        None => {
            let message = format!("`{}` has no header, so its target cannot be found", path.display());
            Diag::new(message).hint(format!("add a header whose target column is called `{name}`"))
        }
    }
}
