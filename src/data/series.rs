//! `series`: a run of numbers in time, cut into windows; the points behind each are its target.
//!
//! ```toml
//! [dataset]
//! type = "series"
//! train = "../data/temperatures.csv"
//! target = "Temp"
//! window = 30
//! horizon = 1
//! validation = 0.2
//! ```
//!
//! A sample's input is `[window, features]`, its target the `horizon` points that follow. What is held
//! out is the end of the series: validation windows may reach back into the training part, their targets
//! do not; what is fitted looks at the training part only. With `stride` each window starts so many points
//! behind the one before; where that is the window, they follow one another, as a stateful layer needs it.

mod generator;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::read::FilePath;
use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::csv::delimiter;
use crate::data::labelled;
use crate::data::places;
use crate::data::preprocessing::{Preprocessing, TargetEncoding, ValueColumn, Window};
use crate::data::source::Source;
use crate::data::split::{Offers, Validation, in_time};
use crate::data::table::keys::{Missing, Named, Normalize, Task, Tasks, column_names};
use crate::data::table::{Format, TableSpec};
use crate::data::{Dataset, DatasetSpec, LoadContext, Part, Rows, Table};
use crate::diag::{Diag, Result};
use crate::shape::Shape;
use generator::{GENERATORS, Generator};

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "series",
    aliases: &[],
    about: "Windows over columns of a CSV in time, or over a generator; the next points are the target",
    parse: |f| Box::new(Series::read(f)),
};

#[derive(Debug)]
struct Series {
    /// The points, as a table; their targets are those of the same point.
    points: TableSpec,
    generator: Option<Box<dyn Generator>>,
    window: usize,
    horizon: usize,
    /// From one window's start to the next; Keras: `sequence_stride`.
    stride: usize,
}

impl Series {
    fn read(f: &mut Fields<'_>) -> Series {
        let made = f.has("generator");
        let generator = f.variant("generator", &GENERATORS);
        let file = if made { File::made(f) } else { File::read(f) };
        let normalize = f.key("normalize").or(if made { Normalize::None } else { Normalize::Standard });
        let mut common = Common::read(f, Offers { test: file.test.is_some(), columns: false });
        in_time(f, &mut common.validation, "a series");
        let points = TableSpec {
            train: file.train,
            test: file.test,
            format: file.format,
            features: Some(file.features.unwrap_or_else(|| file.target.clone())),
            target: file.target,
            in_time: true,
            drop: vec![],
            categorical: file.categorical,
            sample_weight: None,
            missing: file.missing,
            normalize,
            normalize_target: normalize,
            task: Tasks::All(Task::Regression),
            label_mode: LabelMode::Int,
            common,
        };
        let window = f.key("window").at_least(1).required();
        let horizon = f.key("horizon").at_least(1).or(1);
        Series { points, generator, window, horizon, stride: f.key("stride").at_least(1).or(1) }
    }

    /// Target columns of one point.
    fn width(&self) -> usize {
        self.points.target.len()
    }

    /// Windows over some points, and how many there are.
    fn windows(&self, points: &Table) -> Table {
        let numbers = |rows: &Rows| match rows {
            Rows::F32 { data, width } => (data.clone(), *width),
            _ => unreachable!("a table read from text holds numbers"),
        };
        let ((inputs, features), (targets, width)) = (numbers(&points.inputs), numbers(&points.targets));
        Table {
            inputs: Rows::Windows { points: inputs, width: features, first: 0, length: self.window },
            targets: Rows::Windows { points: targets, width, first: self.window, length: self.horizon },
            weights: None,
        }
    }

    /// The windows whose targets all are among these points.
    fn part(&self, table: &Arc<Table>, points: std::ops::Range<usize>, name: &str) -> Result<Part> {
        let first = points.start.max(self.window) - self.window;
        let end = (points.end + 1).saturating_sub(self.window + self.horizon);
        if first >= end {
            let message = format!(
                "the {name} part has {} points, too few for one window of {} and the {} behind it",
                points.len(),
                self.window,
                self.horizon
            );
            let diag = Diag::new(message).at(&self.points.common.at);
            return Err(diag.hint("choose a smaller window, or another validation fraction").into());
        }
        let starts = (first as u32..end as u32).step_by(self.stride);
        Ok(Part { table: table.clone(), rows: starts.collect() })
    }

    /// The fitted columns of a point's target, for each step of the horizon.
    fn targets(&self, fitted: TargetEncoding) -> TargetEncoding {
        let TargetEncoding::Values { columns } = fitted else { unreachable!("a series' task is regression") };
        if self.horizon == 1 {
            return TargetEncoding::Values { columns };
        }
        let step = |ahead: usize| {
            let name = move |c: &ValueColumn| format!("{}+{ahead}", c.name);
            columns.iter().map(move |c| ValueColumn { name: name(c), ..c.clone() })
        };
        TargetEncoding::Values { columns: (1..=self.horizon).flat_map(step).collect() }
    }

    /// What the last value, said again for every step of the horizon, gets wrong on average.
    fn persistence(&self, part: &Part, columns: &[ValueColumn]) -> String {
        let Rows::Windows { points, width, first, length } = &part.table.targets else {
            unreachable!("made by `windows`")
        };
        let value = |point: usize, c: usize| columns[c].decode(points[point * width + c]);
        let wrong = |start: usize| {
            let steps =
                (start + first..start + first + length).flat_map(|p| (0..*width).map(move |c| (p, c)));
            steps.map(|(p, c)| (value(p, c) - value(start + first - 1, c)).abs()).sum::<f64>()
        };
        let total: f64 = part.rows.iter().map(|start| wrong(*start as usize)).sum();
        let mae = total / (part.len() * length * width) as f64;
        format!("saying the last value again has a mean absolute error of {mae:.4}")
    }
}

/// Where the points come from, and what a file needs to be told.
struct File {
    train: Source,
    test: Option<Source>,
    target: Vec<Named>,
    features: Option<Vec<Named>>,
    categorical: Vec<Named>,
    missing: Missing,
    format: Format,
}

impl File {
    fn read(f: &mut Fields<'_>) -> File {
        let FilePath(train) = f.key("train").required();
        let train = Source::File { path: PathBuf::from(train), at: f.place("train") };
        let test: Option<FilePath> = f.key("test").optional();
        let test = test.map(|FilePath(path)| Source::File { path: PathBuf::from(path), at: f.place("test") });
        let target = column_names(f, "target", 1);
        if !f.has("target") {
            let diag = Diag::new("a series from a file needs `target`: the column to forecast");
            f.push(diag.at(&f.place("type")));
        }
        let mut missing = f.key("missing").or(Missing::Error);
        if missing == Missing::DropRow {
            let hint = Some("fill it with \"mean\" or \"median\"".to_string());
            f.error("missing", "a point left out would move those behind it in time", hint);
            missing = Missing::Error;
        }
        File {
            train,
            test,
            target: target.unwrap_or_default(),
            features: column_names(f, "features", 1),
            categorical: column_names(f, "categorical", 0).unwrap_or_default(),
            missing,
            format: Format {
                header: f.key("header").or(true),
                delimiter: delimiter(f),
                missing_values: f.key("missing_values").or(MISSING.map(String::from).to_vec()),
            },
        }
    }

    /// In place of a file: its text is made when it is loaded. What is said of files is refused.
    fn made(f: &mut Fields<'_>) -> File {
        for key in OF_FILES {
            f.allow(key);
            if f.has(key) {
                let hint = Some(format!("leave out `{key}`, or `generator`"));
                f.error(key, "is for a series from a file, but `generator` makes this one", hint);
            }
        }
        let target = Named { name: generator::COLUMN.to_string(), at: f.place("generator") };
        File {
            train: Source::Made { name: "generator".into(), text: "".into() },
            test: None,
            target: vec![target],
            features: None,
            categorical: vec![],
            missing: Missing::Error,
            format: Format {
                header: true,
                delimiter: b',',
                missing_values: MISSING.map(String::from).to_vec(),
            },
        }
    }
}

/// The default of `missing_values`.
const MISSING: [&str; 3] = ["", "?", "NA"];

/// Keys of series that come from files.
const OF_FILES: [&str; 9] = [
    "train",
    "test",
    "target",
    "features",
    "categorical",
    "missing",
    "missing_values",
    "header",
    "delimiter",
];

impl DatasetSpec for Series {
    fn has_validation(&self) -> bool {
        self.points.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut points = self.points.clone();
        // Windows, each with the points behind it.
        points.common.limit =
            points.common.limit.map(|n| (n - 1).saturating_mul(self.stride) + self.window + self.horizon);
        if let Some(generator) = &self.generator {
            points.train = Source::Made { name: "generator".into(), text: generator.text(cx.seed).into() };
        }
        for source in std::iter::once(&mut points.train).chain(&mut points.test) {
            if let Source::File { path, at } = source {
                *path = places::find(cx, "series", path, at)?;
            }
        }
        // The files' paths are whole by now.
        let data = points.load(&LoadContext { config_dir: PathBuf::new(), ..cx.clone() })?;
        let table = Arc::new(self.windows(&data.train.table));
        let trained = data.train.len();
        let train = self.part(&table, 0..trained, "training")?;
        let split_off = match &self.points.common.validation {
            Validation::Split { .. } => {
                Some(self.part(&table, trained..data.train.table.inputs.len(), "validation")?)
            }
            _ => None,
        };
        let test = data.test.map(|test| {
            let table = Arc::new(self.windows(&test.table));
            self.part(&table, 0..test.len(), "test")
        });
        let (validation, test) = self.points.common.held_out(split_off, test.transpose()?);
        let parts =
            [("training", Some(&train)), ("validation", validation.as_ref()), ("test", test.as_ref())];
        let TargetEncoding::Values { columns } = &data.preprocessing.target else {
            unreachable!("a series' task is regression")
        };
        let note = |(name, part): (&str, Option<&Part>)| {
            let part = part?;
            let count = format!("{name}: {} windows", part.len());
            let forecast = || format!("{count}; {}", self.persistence(part, columns));
            Some(if cx.learns_targets { forecast() } else { count })
        };
        let counts = |note: &String| ["training", "validation", "test"].iter().any(|n| note.starts_with(n));
        let notes = data.notes.iter().filter(|n| !counts(n)).cloned();
        let notes = notes.chain(parts.into_iter().filter_map(note)).collect();
        Ok(Dataset {
            input_shape: Shape::batch([self.window, table.inputs.width() / self.window]),
            train,
            validation,
            test,
            preprocessing: Preprocessing {
                window: Some(Window { points: self.window, horizon: self.horizon, stride: self.stride }),
                input: data.preprocessing.input,
                target: self.targets(data.preprocessing.target),
            },
            fingerprint: data.fingerprint,
            notes,
        })
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        let mut point = Preprocessing { window: None, ..fitted.clone() };
        if let TargetEncoding::Values { columns } = &mut point.target {
            columns.truncate(self.width());
            columns.iter_mut().zip(&self.points.target).for_each(|(c, named)| c.name = named.name.clone());
        }
        let points = labelled::load(path, &point, None)?;
        let table = Arc::new(self.windows(&points.table));
        self.part(&table, 0..points.len(), "given")
    }
}
