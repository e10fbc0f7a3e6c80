//! Second look at a CSV: the cells of the columns that are used, each mistake at its place.

use crate::data::mistakes::Mistakes;
use crate::data::records::{Records, Row};
use crate::data::source::Source;
use crate::data::table::Format;
use crate::data::table::columns::{Column, Numbers, Texts};
use crate::data::table::keys::Missing;
use crate::data::table::layout::{Kind, Layout, Role, Used};
use crate::data::table::targets::ClassTarget;
use crate::diag::{Diag, Result, suggest};

/// The columns of [`Layout::used`], in its order.
#[derive(Debug)]
pub struct Columns {
    pub columns: Vec<Column>,
    pub rows: usize,
    /// Rows left out because a cell was missing.
    pub dropped: usize,
}

impl Columns {
    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }
}

/// How cells are read.
#[derive(Debug)]
pub struct Rules<'a> {
    pub format: &'a Format,
    pub missing: Missing,
    /// The targets whose classes are known.
    pub classes: &'a [ClassTarget],
    /// As in [`super::TableSpec`].
    pub in_time: bool,
}

impl Rules<'_> {
    /// The classes that there are of a column.
    fn classes_of(&self, used: &Used) -> Option<&[String]> {
        let target = (used.role == Role::Target).then_some(&used.name)?;
        self.classes.iter().find(|class| class.column == *target).map(|class| class.names.as_slice())
    }
}

enum Cell<'a> {
    Number(f64),
    Text(&'a str),
    Missing,
}

/// Reads the used columns; fails with the mistakes noted before and all those found here.
pub fn read(source: &Source, layout: &Layout, rules: &Rules<'_>, mut mistakes: Mistakes) -> Result<Columns> {
    let mut records = Records::new(source.open()?, source.path(), rules.format.delimiter);
    let empty = |used: &Used| match used.kind {
        Kind::Number => Column::Numbers(Numbers::default()),
        Kind::Text => Column::Texts(Texts::default()),
    };
    let mut all = Columns { columns: layout.used.iter().map(empty).collect(), rows: 0, dropped: 0 };
    if rules.format.header {
        records.next()?;
    }
    let mut drops = vec![false; layout.used.len()];
    while let Some(row) = records.next()? {
        if row.len() != layout.width {
            continue;
        }
        let mut sound = true;
        for (used, drop) in layout.used.iter().zip(&mut drops) {
            *drop = false;
            match cell(&row, used, rules) {
                Ok(Cell::Missing) => *drop = rules.missing == Missing::DropRow,
                Ok(_) => (),
                Err(wrong) => {
                    sound = false;
                    if !layout.told_as_target(used) {
                        mistakes.push_with(|| wrong.diag(&row, used, rules, layout));
                    }
                }
            }
        }
        if drops.contains(&true) {
            all.dropped += 1;
        } else if sound {
            keep(&mut all, &row, layout, rules);
        }
    }
    mistakes.finish()?;
    Ok(all)
}

fn keep(all: &mut Columns, row: &Row<'_>, layout: &Layout, rules: &Rules<'_>) {
    for (column, used) in all.columns.iter_mut().zip(&layout.used) {
        match (column, cell(row, used, rules)) {
            (Column::Numbers(numbers), Ok(Cell::Number(value))) => numbers.push(value),
            (Column::Numbers(numbers), _) => numbers.push(f64::NAN),
            (Column::Texts(texts), Ok(Cell::Text(text))) => texts.push(text),
            (Column::Texts(texts), _) => texts.push_missing(),
        }
    }
    all.rows += 1;
}

/// What is wrong with a cell.
enum Wrong {
    Missing,
    NotANumber,
    NotFinite,
    Negative,
    NoClass,
}

fn cell<'a>(row: &Row<'a>, used: &Used, rules: &Rules<'_>) -> Result<Cell<'a>, Wrong> {
    let text = row.cell(used.column);
    if rules.format.is_missing(text) {
        // Only features are filled: a target or a weight that was made up would be learnt from.
        let allowed = match rules.missing {
            Missing::Error => false,
            Missing::DropRow => true,
            Missing::Mean | Missing::Median | Missing::MostFrequent => used.role == Role::Feature,
        };
        return if allowed { Ok(Cell::Missing) } else { Err(Wrong::Missing) };
    }
    if used.kind == Kind::Text {
        let known = rules.classes_of(used).is_none_or(|classes| classes.iter().any(|c| c == text));
        return if known { Ok(Cell::Text(text)) } else { Err(Wrong::NoClass) };
    }
    match text.parse::<f64>() {
        Err(_) => Err(Wrong::NotANumber),
        Ok(value) if !(value as f32).is_finite() => Err(Wrong::NotFinite),
        Ok(value) if value < 0.0 && used.role == Role::Weight => Err(Wrong::Negative),
        Ok(value) => Ok(Cell::Number(value)),
    }
}

impl Wrong {
    fn diag(self, row: &Row<'_>, used: &Used, rules: &Rules<'_>, layout: &Layout) -> Diag {
        let (name, text) = (&used.name, row.cell(used.column));
        let (message, hint) = match self {
            Wrong::Missing => {
                let say = |ways: &str| format!("say what to do: missing = {ways}");
                let hint = match (used.role, rules.in_time) {
                    (Role::Feature, false) => say("\"mean\", \"median\", \"most_frequent\" or \"drop_row\""),
                    (Role::Feature, true) => say("\"mean\", \"median\" or \"most_frequent\""),
                    (_, false) => say("\"drop_row\""),
                    (_, true) => FORECAST.to_string(),
                };
                (format!("the cell of column `{name}` is missing"), hint)
            }
            Wrong::NotANumber => {
                let message = format!("`{text}` is no number, and column `{name}` holds numbers");
                (message, not_a_number_hint(used, text, rules, layout))
            }
            Wrong::NotFinite => {
                let message = format!("`{text}` in column `{name}` is not a finite number");
                let hint = match (used.role, rules.in_time) {
                    (Role::Target, true) => FORECAST.to_string(),
                    _ => {
                        format!("if it means that the value is missing: missing_values = [\"\", \"{text}\"]")
                    }
                };
                (message, hint)
            }
            Wrong::Negative => {
                (format!("the sample weight `{text}` is negative"), "weights are 0 or more".to_string())
            }
            Wrong::NoClass => {
                let classes = rules.classes_of(used).unwrap_or_default();
                let known: Vec<&str> = classes.iter().map(String::as_str).collect();
                let hint = suggest(text, &known).unwrap_or_default();
                (format!("`{text}` in column `{name}` is no class of the training data"), hint)
            }
        };
        Diag::new(message).at(&row.at(used.column)).hint(hint)
    }
}

/// Of a target of a series: its points can neither be left out nor made up.
const FORECAST: &str = "write the number into the file: what is forecast has one at every point in time";

fn not_a_number_hint(used: &Used, text: &str, rules: &Rules<'_>, layout: &Layout) -> String {
    let missing = format!("if it means that the value is missing: missing_values = [\"\", \"{text}\"]");
    match used.role {
        Role::Feature => {
            format!("if the column holds names: categorical = [\"{}\"]; {missing}", used.name)
        }
        Role::Target if rules.in_time => FORECAST.to_string(),
        Role::Target => {
            let classification = layout.classification(&used.name);
            format!("if the column holds class names: {classification}; {missing}")
        }
        Role::Weight | Role::Group => missing,
    }
}
