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
        let generator = f.has("generator").then(|| f.variant("generator", &GENERATORS)).flatten();
        let made = f.has("generator");
        if !made {
            f.allow("generator");
        }
        let (train, target) = if made { generated(f) } else { from_file(f) };
        let test: Option<FilePath> = if made { None } else { f.key("test").optional() };
        let test = test.map(|FilePath(path)| Source::File { path: PathBuf::from(path), at: f.place("test") });
        let features = if made { None } else { column_names(f, "features", 1) };
        let normalize = f.key("normalize").or(if made { Normalize::None } else { Normalize::Standard });
        let mut missing = f.key("missing").or(Missing::Error);
        if missing == Missing::DropRow {
            let hint = Some("fill it with \"mean\" or \"median\"".to_string());
            f.error("missing", "a point left out would move those behind it in time", hint);
            missing = Missing::Error;
        }
        let mut common = Common::read(f, Offers { test: test.is_some(), columns: false });
        in_time(f, &mut common.validation, "a series");
        let points = TableSpec {
            train,
            features: Some(features.unwrap_or_else(|| target.clone())),
            target,
            targets_as_features: true,
            drop: vec![],
            categorical: column_names(f, "categorical", 0).unwrap_or_default(),
            sample_weight: None,
            format: Format {
                header: f.key("header").or(true),
                delimiter: delimiter(f),
                missing_values: f.key("missing_values").or(["", "?", "NA"].map(String::from).to_vec()),
            },
            missing,
            normalize,
            normalize_target: normalize,
            task: Tasks::All(Task::Regression),
            label_mode: LabelMode::Int,
            common,
            test,
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
    fn persistence(&self, part: &Part, columns: &[ValueColumn], name: &str) -> String {
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
        format!(
            "{name}: {} windows; saying the last value again has a mean absolute error of {mae:.4}",
            part.len()
        )
    }
}

/// The table's file and its target columns.
fn from_file(f: &mut Fields<'_>) -> (Source, Vec<Named>) {
    let FilePath(train) = f.key("train").required();
    let train = Source::File { path: PathBuf::from(train), at: f.place("train") };
    let target = column_names(f, "target", 1);
    if !f.has("target") {
        let diag = Diag::new("a series from a file needs `target`: the column to forecast");
        f.push(diag.at(&f.place("type")));
    }
    (train, target.unwrap_or_default())
}

/// In place of a file: its text is made when it is loaded.
fn generated(f: &mut Fields<'_>) -> (Source, Vec<Named>) {
    let target = Named { name: generator::COLUMN.to_string(), at: f.place("generator") };
    (Source::Made { name: "generator".into(), text: "".into() }, vec![target])
}

impl DatasetSpec for Series {
    fn has_validation(&self) -> bool {
        self.points.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut points = self.points.clone();
        if let Some(generator) = &self.generator {
            points.train = Source::Made { name: "generator".into(), text: generator.text(cx.seed).into() };
        }
        for source in std::iter::once(&mut points.train).chain(&mut points.test) {
            if let Source::File { path, at } = source {
                *path = places::find(cx, "series", path, at)?;
            }
        }
        let data = points.load(cx)?;
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
        let note = |(name, part): (&str, Option<&Part>)| Some(self.persistence(part?, columns, name));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;
    use crate::kernels::par::Pool;

    const POINTS: &str = "day,a,b\n1,10,0\n2,20,1\n3,30,0\n4,40,1\n5,50,0\n6,60,1\n7,70,0\n8,80,1\n";

    fn load(keys: &str) -> Result<Dataset> {
        let folder = Folder::new();
        folder.write("t.csv", POINTS);
        let spec = dataset(&format!("type = \"series\", {keys}")).map_err(Failure::Input)?;
        spec.load(&folder.context())
    }

    fn rows(part: &Part) -> Vec<(Vec<f32>, Vec<f32>)> {
        let table = &part.table;
        let row = |position: u32| {
            let (mut x, mut y) = (vec![0.0; table.inputs.width()], vec![0.0; table.targets.width()]);
            part.gather(&Pool::new(1), &[position], &mut x, &mut y, &mut [0.0]);
            (x, y)
        };
        (0..part.len() as u32).map(row).collect()
    }

    #[test]
    fn a_sample_is_a_window_and_its_target_the_points_behind_it() {
        let data = load("train = \"t.csv\", target = \"a\", window = 3, normalize = \"none\"").unwrap();
        assert_eq!(data.input_shape.dims, [3, 1]);
        let all = rows(&data.train);
        assert_eq!(all.len(), 5);
        assert_eq!(all[0], (vec![10.0, 20.0, 30.0], vec![40.0]));
        assert_eq!(all[4], (vec![50.0, 60.0, 70.0], vec![80.0]));
        assert!(
            data.notes.contains(
                &"training: 5 windows; saying the last value again has a mean absolute error of 10.0000"
                    .to_string()
            )
        );
    }

    #[test]
    fn several_columns_and_steps() {
        let keys = "train = \"t.csv\", target = [\"b\", \"a\"], features = [\"a\", \"b\"], window = 2, horizon = 2, normalize = \"none\"";
        let data = load(keys).unwrap();
        assert_eq!(rows(&data.train)[1], (vec![20.0, 1.0, 30.0, 0.0], vec![1.0, 40.0, 0.0, 50.0]));
        let TargetEncoding::Values { columns } = &data.preprocessing.target else { panic!() };
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["b+1", "a+1", "b+2", "a+2"]);
        assert_eq!(data.preprocessing.target_width(), 4);
    }

    #[test]
    fn the_end_is_held_out_and_scales_are_the_training_part_s() {
        let keys = "train = \"t.csv\", target = \"a\", window = 2, validation = 0.25, normalize = \"minmax\"";
        let data = load(keys).unwrap();
        // Points 1 to 6 train: 10 is 0, 60 is 1.
        assert_eq!(rows(&data.train).len(), 4);
        let held_out = rows(data.validation.as_ref().unwrap());
        assert_eq!(held_out, [(vec![0.8, 1.0], vec![1.2]), (vec![1.0, 1.2], vec![1.4])]);
    }

    #[test]
    fn windows_may_stand_apart() {
        let keys = "train = \"t.csv\", target = \"a\", window = 2, normalize = \"none\", validation = 0.5";
        let data = load(&format!("{keys}, stride = 2")).unwrap();
        assert_eq!(rows(&data.train), [(vec![10.0, 20.0], vec![30.0])]);
        let held_out = data.validation.unwrap();
        assert_eq!(rows(&held_out), [(vec![30.0, 40.0], vec![50.0]), (vec![50.0, 60.0], vec![70.0])]);
        assert!(held_out.is_walk());
        assert_eq!(data.preprocessing.window.unwrap().stride, 2);
        let apart = load(&format!("{keys}, stride = 3")).unwrap().validation.unwrap();
        assert_eq!(rows(&apart), [(vec![30.0, 40.0], vec![50.0]), (vec![60.0, 70.0], vec![80.0])]);
        assert!(!apart.is_walk());
    }

    #[test]
    fn a_sine_is_made_and_the_same_noise_every_time() {
        let sine = "generator = { type = \"sine\", points = 5, end = 2.0, noise = 0.1 }, window = 2";
        let (one, two) = (load(sine).unwrap(), load(sine).unwrap());
        assert_eq!(rows(&one.train), rows(&two.train));
        let plain = load("generator = { type = \"sine\", points = 5, end = 2.0 }, window = 2").unwrap();
        assert_eq!(rows(&plain.train)[0], (vec![0.0, 0.5f64.sin() as f32], vec![1.0f64.sin() as f32]));
        assert_ne!(rows(&one.train), rows(&plain.train));
    }

    #[test]
    fn mistakes_name_what_to_change() {
        let said = |keys: &str| load(keys).unwrap_err().diags()[0].to_string();
        let short = said("train = \"t.csv\", target = \"a\", window = 8");
        assert!(short.contains("8 points, too few for one window of 8"), "{short}");
        let random =
            said("train = \"t.csv\", target = \"a\", window = 2, validation = { type = \"random\" }");
        assert!(random.contains("split in time"), "{random}");
        let dropped = said("train = \"t.csv\", target = \"a\", window = 2, missing = \"drop_row\"");
        assert!(dropped.contains("left out"), "{dropped}");
        assert!(said("window = 2").contains("train"));
    }

    #[test]
    fn another_file_is_read_with_what_was_fitted() {
        let folder = Folder::new();
        folder.write("t.csv", POINTS);
        let other = folder.write("u.csv", "a\n60\n10\n35\n");
        let keys = "type = \"series\", train = \"t.csv\", target = \"a\", window = 1, horizon = 2, normalize = \"minmax\"";
        let spec = dataset(keys).unwrap();
        let data = spec.load(&folder.context()).unwrap();
        let part = spec.load_other(&other, &data.preprocessing).unwrap();
        assert_eq!(rows(&part), [(vec![50.0 / 70.0], vec![0.0, 25.0 / 70.0])]);
    }
}
