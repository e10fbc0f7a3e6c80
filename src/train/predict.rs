//! `nntrain predict`: rows of a CSV, pictures or clips in, one row of predictions each out, however many there are.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::data::pictures::clips::Frames;
use crate::data::pictures::folder::is_picture;
use crate::data::pictures::inputs::Inputs;
use crate::data::pictures::load::Size;
use crate::data::preprocessing::{InputEncoding, Preprocessing, TargetEncoding, ValueColumn};
use crate::data::rows::InputRows;
use crate::diag::{Diag, Failure, Result};
use crate::exec::Session;
use crate::files::{cannot_write, write_atomic};
use crate::model::lower::{Output, PREDICT};
use crate::train::continuation::Continuation;
use crate::train::fit::INTERRUPTED;
use crate::train::pictures;
use crate::train::read_ahead;
use crate::train::reconstruction;
use crate::train::setup::{Loaded, Options, convert};

/// Mistakes in rows that are listed before giving up.
pub(super) const MISTAKES: usize = 20;

/// Predicts every row of `input` (`-`: standard input) or every picture or clip that it stands for, or what follows the series in it, `steps` points
/// far. The output file appears whole or not at
/// all; without one the rows go to standard output, after the last row was found good.
///
/// Returns notes for the user: categories that training never saw.
pub fn predict(
    path: &Path,
    input: &Path,
    output: Option<&Path>,
    probabilities: bool,
    steps: Option<usize>,
    options: &Options,
) -> Result<Vec<String>> {
    let mut loaded = Loaded::open(path, options)?;
    let preprocessing = loaded.meta.preprocessing.clone();
    if loaded.outputs.is_empty() {
        let diag = Diag::new("this model makes samples of noise, and predicts no rows");
        return Err(diag.hint("nntrain generate RUN -n 64 -o grid.png").into());
    }
    let classes = |output: &Output| matches!(output.target, TargetEncoding::Classes { .. });
    if probabilities && !loaded.outputs.iter().any(classes) {
        return Err(Diag::new("--probabilities is for classes, but this model predicts a number").into());
    }
    if loaded.outputs.iter().any(|output| output.target == TargetEncoding::NextToken) {
        let diag = Diag::new("this model goes on with a text, and predicts no rows");
        return Err(diag.hint("nntrain generate RUN --prompt TEXT --tokens N").into());
    }
    let forecasts = loaded.experiment.task.learns_targets();
    if steps.is_some() && !(forecasts && preprocessing.window.is_some()) {
        let instead = if forecasts { "predicts each row by itself" } else { "gives back what it is given" };
        let diag = Diag::new(format!("--steps is for the forecast of a series, but this model {instead}"));
        return Err(diag.into());
    }
    let masks = matches!(loaded.outputs[..], [Output { target: TargetEncoding::Mask { .. }, .. }]);
    if let Some(file) = output.filter(|file| !masks && is_picture(file)) {
        let diag =
            Diag::new(format!("predictions are rows of a CSV, and `{}` is called a picture", file.display()));
        return Err(diag.hint(format!("-o {}", file.with_extension("csv").display())).into());
    }
    let mut given = Given::open(input, &preprocessing.input)?;
    if masks {
        return pictures::masks(&mut loaded, given, output).map(|()| vec![]);
    }
    let walks = forecasts && preprocessing.window.is_some() && loaded.session.walks();
    if walks {
        loaded = loaded.step_by_step()?;
    }
    let writer = Table::new(&loaded.outputs, &preprocessing, probabilities)?;
    let mut writer = Some(writer);
    let mut table = || writer.take().expect("called once");
    let mut run = |sink: &mut dyn Write| match (&mut given, preprocessing.window) {
        (Given::Pictures(files, form), _) => pictures::rows(&mut loaded, files, *form, table(), sink),
        (Given::Rows(rows), Some(window)) if !forecasts => {
            reconstruction::windows(&mut loaded, rows, window, table(), sink)
        }
        (Given::Rows(rows), Some(window)) => Continuation::read(rows, window, &preprocessing, walks)
            .and_then(|c| c.run(&mut loaded, steps, sink)),
        (Given::Rows(rows), None) => run(&mut loaded, rows, table(), sink),
    };
    match output {
        Some(file) => {
            let mut failure = None;
            let written = write_atomic(file, |sink| {
                run(sink).map_err(|f| {
                    let error = f.as_io();
                    failure = f.into_failure();
                    error
                })
            });
            // A bad row is told as what it is, not as a file that could not be written.
            match failure {
                Some(failure) => return Err(failure),
                None => written?,
            }
        }
        None => {
            let mut spool = spool()?;
            let mut sink = BufWriter::new(&mut spool);
            let done = run(&mut sink).and_then(|()| sink.flush().map_err(Stop::Io));
            drop(sink);
            done.map_err(|stop| match stop {
                Stop::Io(e) => cannot_write(&std::env::temp_dir(), &e),
                Stop::Rows(failure) => failure,
            })?;
            print(&mut spool)?;
        }
    }
    let Given::Rows(rows) = given else { return Ok(vec![]) };
    let unseen = rows.unseen();
    let note = |(column, count): &(&str, usize)| {
        format!(
            "column `{column}`: {count} rows have a category that training never saw; they use the slot for unseen ones"
        )
    };
    let blank = (rows.blank() > 0).then(|| {
        let said = if rows.blank() == 1 { "line was" } else { "lines were" };
        format!("{} blank {said} skipped: a row with an empty cell is written \"\"", rows.blank())
    });
    Ok(unseen.iter().filter(|(_, count)| *count > 0).map(note).chain(blank).collect())
}

/// What is to be predicted.
pub(super) enum Given<'p> {
    Rows(Box<InputRows<'p>>),
    /// Pictures or clips, the size that their files are brought to, and what their bytes are divided by.
    Pictures(Inputs, (Size, f32)),
}

impl<'p> Given<'p> {
    fn open(input: &Path, encoding: &'p InputEncoding) -> Result<Given<'p>> {
        let pictures = match encoding {
            InputEncoding::Pixels { shape, divisor } => Inputs::pictures(input)?.zip(Some((shape, divisor))),
            InputEncoding::Clips { shape, divisor, frame_step } => {
                let frames = Frames { count: shape[0], step: *frame_step };
                Inputs::clips(input, frames)?.zip(Some((shape, divisor)))
            }
            _ => None,
        };
        if let Some((pictures, (shape, divisor))) = pictures
            && let [.., height, width, channels] = shape[..]
        {
            return Ok(Given::Pictures(pictures, ([height, width, channels], *divisor)));
        }
        Ok(Given::Rows(Box::new(InputRows::open(input, encoding)?)))
    }
}

/// Why the rows ended early.
pub(super) enum Stop {
    Io(io::Error),
    Rows(Failure),
}

impl Stop {
    fn as_io(&self) -> io::Error {
        match self {
            Stop::Io(e) => io::Error::new(e.kind(), e.to_string()),
            Stop::Rows(_) => io::Error::other("a row is wrong"),
        }
    }

    fn into_failure(self) -> Option<Failure> {
        match self {
            Stop::Io(_) => None,
            Stop::Rows(failure) => Some(failure),
        }
    }
}

/// Reads, computes and writes: memory does not depend on the number of rows.
fn run(
    loaded: &mut Loaded,
    rows: &mut InputRows<'_>,
    mut table: Table,
    sink: &mut dyn Write,
) -> Result<(), Stop> {
    table.header(None, sink).map_err(Stop::Io)?;
    let batch = loaded.session.program(PREDICT).batch;
    read_ahead::for_batches(rows, batch, |numbers, n| {
        if INTERRUPTED.load(Ordering::SeqCst) {
            return Err(Stop::Rows(Failure::Interrupted("Nothing was written.".into())));
        }
        loaded.session.input(PREDICT, 0, n).copy_from_slice(numbers);
        loaded.session.run(PREDICT, n, 0);
        table.rows(&loaded.session, n, None, sink).map_err(Stop::Io)
    })
}

/// A temporary file that nobody else sees and that goes away by itself.
fn spool() -> Result<File> {
    // A killed process may have left one of the same number behind.
    let names = (0..100).map(|i| format!("nntrain-predict-{}-{i}", std::process::id()));
    let mut paths = names.map(|n| std::env::temp_dir().join(n)).filter(|p| !p.exists());
    let path = paths.next().unwrap_or_else(|| std::env::temp_dir().join("nntrain-predict"));
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.map_err(|e| cannot_write(&path, &e))?;
    // The open file stays usable; without a name it is gone with the process, however that ends.
    // Where an open file cannot be removed, it stays behind in the system's folder for such files.
    let _ = std::fs::remove_file(&path);
    Ok(file)
}

fn print(spool: &mut File) -> Result<()> {
    let copied = spool.seek(SeekFrom::Start(0)).and_then(|_| io::copy(spool, &mut io::stdout().lock()));
    match copied {
        // Whoever reads has seen enough: `| head`.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(Failure::run(format!("cannot write to standard output: {e}"))),
        Ok(_) => Ok(()),
    }
}

/// Predictions as CSV.
pub(super) struct Table {
    outputs: Vec<Columns>,
}

/// The columns of one output.
struct Columns {
    output: Output,
    cells: Cells,
    probabilities: bool,
    buffer: Vec<f32>,
}

enum Cells {
    /// The class, by name.
    Class(Vec<String>),
    /// Numbers, in the units of their columns.
    Values(Vec<ValueColumn>),
}

impl Table {
    fn new(outputs: &[Output], preprocessing: &Preprocessing, probabilities: bool) -> Result<Table> {
        let columns = |output: &Output| {
            let cells = match &output.target {
                TargetEncoding::Classes { names, .. } => Cells::Class(names.clone()),
                TargetEncoding::Values { columns } => Cells::Values(columns.clone()),
                TargetEncoding::Input => Cells::Values(preprocessing.sample_columns()),
                TargetEncoding::Mask { .. } | TargetEncoding::NextToken | TargetEncoding::Several { .. } => {
                    let name = output.name.clone().unwrap_or_default();
                    let message =
                        format!("the output `{name}` is no column of a table, but one of several outputs");
                    return Err(Diag::new(message).into());
                }
            };
            Ok(Columns { output: output.clone(), cells, probabilities, buffer: vec![] })
        };
        Ok(Table { outputs: outputs.iter().map(columns).collect::<Result<_>>()? })
    }

    /// `named`: rows begin with the name of a file or clip.
    pub fn header(&self, named: Option<&str>, sink: &mut dyn Write) -> io::Result<()> {
        let cells: Vec<String> = named
            .map(String::from)
            .into_iter()
            .chain(self.outputs.iter().flat_map(Columns::header))
            .collect();
        writeln!(sink, "{}", cells.join(","))
    }

    /// Writes the `n` samples that the session has just predicted.
    pub fn rows(
        &mut self,
        session: &Session,
        n: usize,
        names: Option<&[String]>,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        for (i, columns) in self.outputs.iter_mut().enumerate() {
            convert(&columns.output, session.output(PREDICT, i, n), &mut columns.buffer);
        }
        for row in 0..n {
            if let Some(names) = names {
                write!(sink, "{},", quoted(&names[row]))?;
            }
            for (i, columns) in self.outputs.iter().enumerate() {
                if i > 0 {
                    write!(sink, ",")?;
                }
                columns.row(
                    &columns.buffer[row * columns.buffer.len() / n..][..columns.buffer.len() / n],
                    sink,
                )?;
            }
            writeln!(sink)?;
        }
        Ok(())
    }
}

impl Columns {
    fn header(&self) -> Vec<String> {
        let of = |word: &str| prefixed_by(word, self.output.name.as_deref());
        let cells = match &self.cells {
            Cells::Class(names) => {
                let p = names.iter().filter(|_| self.probabilities).map(|n| format!("{}_{n}", of("p")));
                std::iter::once(of("prediction")).chain(p).collect()
            }
            Cells::Values(columns) if columns.len() == 1 => vec![of("prediction")],
            Cells::Values(columns) => {
                columns.iter().map(|c| format!("{}_{}", of("prediction"), c.name)).collect()
            }
        };
        cells.iter().map(|cell: &String| quoted(cell)).collect()
    }

    fn row(&self, numbers: &[f32], sink: &mut dyn Write) -> io::Result<()> {
        match &self.cells {
            Cells::Class(names) => class_cells(names, numbers, self.probabilities, sink),
            Cells::Values(columns) => {
                for (i, (value, column)) in numbers.iter().zip(columns).enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(sink, "{comma}{}", column.decode(*value) as f32)?;
                }
                Ok(())
            }
        }
    }
}

/// `prediction`, or `prediction_age` where there are several outputs.
fn prefixed_by(word: &str, output: Option<&str>) -> String {
    output.map_or(word.to_string(), |output| format!("{word}_{output}"))
}

/// The most probable class by name; one unit is the probability of the second of two classes.
fn class_cells(names: &[String], row: &[f32], probabilities: bool, sink: &mut dyn Write) -> io::Result<()> {
    let two;
    let row = match row {
        [p] => {
            two = [1.0 - p, *p];
            &two[..]
        }
        row => row,
    };
    let best = row.iter().enumerate().fold(0, |best, (i, p)| if *p > row[best] { i } else { best });
    write!(sink, "{}", quoted(&names[best]))?;
    if probabilities {
        for p in row {
            write!(sink, ",{p}")?;
        }
    }
    Ok(())
}

/// A cell, in quotes where it needs them.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
