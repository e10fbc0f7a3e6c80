//! Tables: from CSV columns to rows of numbers.
//!
//! The training file is read twice: once to see what each column holds, once for the cells; so that
//! no text of a numeric column is ever kept. Everything fitted looks at the training part only.

use std::mem::take;
use std::sync::Arc;

use crate::data::common::{Common, LabelMode};
use crate::data::mistakes::Mistakes;
use crate::data::preprocessing::{
    Column as FittedColumn, ColumnEncoding, InputEncoding, Preprocessing, TargetEncoding,
};
use crate::data::source::{Fingerprint, Source};
use crate::data::split::{Labels, divide};
use crate::data::{Dataset, LoadContext, Part, Rows, Table};
use crate::diag::{Diag, Result};
use crate::shape::Shape;

pub mod classes;
pub mod columns;
pub mod encode;
pub mod fit;
pub mod keys;
pub mod layout;
pub mod read;
pub mod scan;
pub mod targets;

use encode::Encoded;
use fit::Unfit;
use keys::{Missing, Named, Normalize, Tasks};
use layout::{Kind, Layout, Role, Used};
use read::{Columns, Rules};
use scan::Scan;
use targets::ClassTarget;

/// How the text of a table is written.
#[derive(Clone, Debug)]
pub struct Format {
    pub header: bool,
    pub delimiter: u8,
    /// Cells that stand for a missing value.
    pub missing_values: Vec<String>,
}

impl Format {
    pub fn is_missing(&self, cell: &str) -> bool {
        self.missing_values.iter().any(|m| m == cell)
    }
}

/// A table to train on: files, roles of the columns, and what to fit.
#[derive(Clone, Debug)]
pub struct TableSpec {
    pub train: Source,
    pub test: Option<Source>,
    pub format: Format,
    pub target: Vec<Named>,
    /// Every other column, if absent.
    pub features: Option<Vec<Named>>,
    /// Rows are points in time: a series is forecast from its own past, so that targets may be features too;
    /// and it knows no `drop`, no `task` and no rows left out.
    pub in_time: bool,
    pub drop: Vec<Named>,
    pub categorical: Vec<Named>,
    pub sample_weight: Option<Named>,
    pub task: Tasks,
    pub missing: Missing,
    pub normalize: Normalize,
    pub normalize_target: Normalize,
    pub label_mode: LabelMode,
    pub common: Common,
}

/// A file's cells and where its columns are named.
struct Loaded {
    scan: Scan,
    columns: Columns,
    name: String,
}

impl TableSpec {
    pub fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let mut fingerprint = Fingerprint::default();
        let source = self.train.beside(&cx.config_dir);
        let mut scan = scan::scan(&source, &self.format, &mut fingerprint)?;
        let (layout, ragged) = take(&mut scan.ragged).join(layout::layout(self, &scan))?;
        let mut train = self.read(&source, scan, &layout, &[], ragged)?;
        let classes = targets::classes(&layout, &train.columns, &train.scan.header)?;
        // Only now: which classes there are does not depend on the limit.
        train.columns.truncate(self.common.limited(train.columns.rows));
        let test = match &self.test {
            Some(test) => {
                let source = test.beside(&cx.config_dir);
                let mut scan = scan::scan(&source, &self.format, &mut fingerprint)?;
                let (layout, ragged) = take(&mut scan.ragged).join(layout.in_file(&scan, &self.format))?;
                Some(self.read(&source, scan, &layout, &classes, ragged)?)
            }
            None => None,
        };
        self.assemble(&layout, train, test, &classes, cx.seed, fingerprint)
    }

    fn read(
        &self,
        source: &Source,
        scan: Scan,
        layout: &Layout,
        classes: &[ClassTarget],
        ragged: Mistakes,
    ) -> Result<Loaded> {
        let rules = Rules { format: &self.format, missing: self.missing, classes, in_time: self.in_time };
        let columns = read::read(source, layout, &rules, ragged)?;
        let name = source.path().display().to_string();
        if columns.rows == 0 {
            let message = format!("every row of `{name}` has a missing cell");
            return Err(Diag::new(message).at(&scan.header.at_line()).into());
        }
        Ok(Loaded { scan, columns, name })
    }

    fn assemble(
        &self,
        layout: &Layout,
        train: Loaded,
        test: Option<Loaded>,
        classes: &[ClassTarget],
        seed: u64,
        fingerprint: Fingerprint,
    ) -> Result<Dataset> {
        // Of several targets the first that is a class.
        let strata = classes.first().map(|class| class.numbers(&train.columns));
        let groups = layout.with_role(Role::Group).next();
        let groups = groups.map(|g| train.columns.columns[g].texts().codes.as_slice());
        let labels = Labels { classes: strata.as_deref(), groups };
        let (rows, held_out) = divide(&self.common.validation, train.columns.rows, labels, seed)?;

        let fitted = self.fit(layout, &train, &rows)?;
        let targets = self.targets(layout, &train, &rows, classes)?;
        let mut notes = self.reading_notes(layout, &train, test.as_ref(), &fitted);
        let inputs = encode::inputs(&train.columns, &fitted);
        notes.extend(inputs.unseen_note("validation"));
        let train_table = self.table(layout, &train.columns, inputs, &targets);
        let train_table = Arc::new(train_table);
        let test = test.map(|test| {
            let inputs = encode::inputs(&test.columns, &fitted);
            notes.extend(inputs.unseen_note("test"));
            Part::whole(self.table(layout, &test.columns, inputs, &targets))
        });
        let part = |rows| Part { table: train_table.clone(), rows };
        let (train, split_off) = (part(rows), held_out.map(part));
        let (validation, test) = self.common.held_out(split_off, test);
        let preprocessing =
            Preprocessing { input: self.encoding(layout, fitted), window: None, target: targets };
        let parts =
            [("training", Some(&train)), ("validation", validation.as_ref()), ("test", test.as_ref())];
        for (name, part) in parts.into_iter().filter_map(|(name, part)| part.map(|p| (name, p))) {
            notes.push(targets::part_note(name, part, &preprocessing));
        }
        let width = train.table.inputs.width();
        Ok(Dataset {
            input_shape: Shape::batch([width]),
            train,
            validation,
            test,
            preprocessing,
            fingerprint: fingerprint.hex(),
            notes,
        })
    }

    /// Fits every feature; columns that cannot be fitted are all reported.
    fn fit(&self, layout: &Layout, train: &Loaded, rows: &[u32]) -> Result<Vec<ColumnEncoding>> {
        let (mut fitted, mut mistakes) = (vec![], Mistakes::default());
        for index in layout.with_role(Role::Feature) {
            match fit::feature(&train.columns.columns[index], rows, self.normalize, self.missing) {
                Ok(encoding) => fitted.push(encoding),
                Err(unfit) => {
                    let used = &layout.used[index];
                    let diag = cannot_fit(unfit, &used.name, "normalize", self.normalize);
                    let diag = diag.at(&train.scan.header.at(used.column));
                    mistakes.push(diag.hint(match self.in_time {
                        true => "normalize = \"none\" leaves it as it is".to_string(),
                        false => format!("drop = [\"{}\"], or normalize = \"none\"", used.name),
                    }));
                }
            }
        }
        mistakes.finish()?;
        Ok(fitted)
    }

    fn table(&self, layout: &Layout, columns: &Columns, inputs: Encoded, targets: &TargetEncoding) -> Table {
        let weights = layout.with_role(Role::Weight).next().map(|index| {
            let numbers = columns.columns[index].numbers();
            (0..columns.rows).map(|row| numbers.get(row) as f32).collect()
        });
        Table {
            inputs: Rows::F32 { data: inputs.data, width: inputs.width },
            targets: targets::rows(targets, columns, layout, self.label_mode),
            weights,
        }
    }

    fn encoding(&self, layout: &Layout, fitted: Vec<ColumnEncoding>) -> InputEncoding {
        let names = layout.used.iter().map(|u| u.name.clone());
        InputEncoding::Columns {
            columns: names.zip(fitted).map(|(name, encoding)| FittedColumn { name, encoding }).collect(),
            missing_values: self.format.missing_values.clone(),
            header: self.format.header,
            delimiter: char::from(self.format.delimiter),
        }
    }

    /// What reading did that the user did not see: rows left out, cells filled, numbers that may be classes.
    fn reading_notes(
        &self,
        layout: &Layout,
        train: &Loaded,
        test: Option<&Loaded>,
        fitted: &[ColumnEncoding],
    ) -> Vec<String> {
        let mut notes = vec![];
        for file in std::iter::once(train).chain(test) {
            if file.columns.dropped > 0 {
                let (name, dropped) = (&file.name, file.columns.dropped);
                notes.push(format!("{name}: {dropped} rows with missing cells were left out"));
            }
        }
        for (index, encoding) in layout.with_role(Role::Feature).zip(fitted) {
            let used = &layout.used[index];
            let missing = train.scan.counts[used.column].missing;
            let fill = match encoding {
                ColumnEncoding::Number { fill, .. } => fill.map(|f| f.to_string()),
                ColumnEncoding::Category { fill, .. } => fill.clone(),
            };
            if let Some(fill) = fill.filter(|_| missing > 0) {
                notes
                    .push(format!("column `{}`: {missing} missing cells were filled with {fill}", used.name));
            }
        }
        for index in layout.with_role(Role::Target) {
            let Used { name, kind, .. } = &layout.used[index];
            if *kind == Kind::Number && self.task.of(name).is_none() {
                let (numbers, way) = (train.columns.columns[index].numbers(), layout.classification(name));
                notes.extend(classes::may_be_classes(numbers, train.columns.rows, name, &way));
            }
        }
        notes
    }
}

fn cannot_fit(unfit: Unfit, name: &str, key: &str, normalize: Normalize) -> Diag {
    use crate::config::read::Read;
    use crate::config::write::inline;
    Diag::new(match unfit {
        Unfit::NoValues => format!("column `{name}` has no values in the training part"),
        Unfit::Constant(value) => format!(
            "column `{name}` is {value} in every training row: {key} = {} would divide by zero",
            inline(&normalize.write())
        ),
        Unfit::Range(low, high) => {
            format!(
                "column `{name}` goes from {low:e} to {high:e}: too far for {key} = {}",
                inline(&normalize.write())
            )
        }
    })
}
