//! Report on values: errors of each column in the units that the user wrote.

use serde_json::{Map, Value as Json, json};

use super::table::{aligned, head, number};
use crate::data::preprocessing::ValueColumn;
use crate::metrics::r2_score::Deviations;
use crate::metrics::ratio;

#[derive(Debug)]
pub struct Values {
    columns: Vec<Column>,
    /// All numbers of a row are of the one column.
    together: bool,
}

#[derive(Debug)]
struct Column {
    of: ValueColumn,
    rows: u64,
    squares: f64,
    absolutes: f64,
    deviations: Deviations,
}

/// Errors of one column.
struct Errors {
    mean_squared: f64,
    root_mean_squared: f64,
    mean_absolute: f64,
    r2: f64,
}

impl Column {
    fn add(&mut self, t: f32, p: f32) {
        let (t, p) = (f64::from(t), f64::from(p));
        let error = (t - p) * self.of.scale;
        self.rows += 1;
        self.squares += error * error;
        self.absolutes += error.abs();
        // No unit changes R2.
        self.deviations.add(t, p, 1.0);
    }

    fn errors(&self) -> Errors {
        let mean_squared = ratio(self.squares, self.rows as f64);
        Errors {
            mean_squared,
            root_mean_squared: mean_squared.sqrt(),
            mean_absolute: ratio(self.absolutes, self.rows as f64),
            r2: self.deviations.r2(),
        }
    }
}

impl Values {
    pub fn new(columns: &[ValueColumn]) -> Values {
        let column = |of: &ValueColumn| Column {
            of: of.clone(),
            rows: 0,
            squares: 0.0,
            absolutes: 0.0,
            deviations: Deviations::default(),
        };
        Values { columns: columns.iter().map(column).collect(), together: false }
    }

    /// One row for all numbers of an output.
    pub fn of_all(name: &str) -> Values {
        let all = ValueColumn { name: name.to_string(), offset: 0.0, scale: 1.0 };
        Values { together: true, ..Values::new(&[all]) }
    }

    /// Targets and predictions as the network sees them.
    pub fn add(&mut self, y_true: &[f32], y_pred: &[f32]) {
        if self.together {
            let column = &mut self.columns[0];
            y_true.iter().zip(y_pred).for_each(|(t, p)| column.add(*t, *p));
            return;
        }
        self.columns.iter_mut().zip(y_true).zip(y_pred).for_each(|((column, t), p)| column.add(*t, *p));
    }

    pub fn text(&self) -> String {
        let mut rows = vec![head(&["MSE", "RMSE", "MAE", "R2", "rows"])];
        for column in &self.columns {
            let e = column.errors();
            let errors = [e.mean_squared, e.root_mean_squared, e.mean_absolute, e.r2].map(number);
            rows.push((column.of.name.clone(), [&errors[..], &[column.rows.to_string()]].concat()));
        }
        aligned(&rows)
    }

    pub fn json(&self) -> Map<String, Json> {
        let columns = self.columns.iter().map(|column| {
            let errors = column.errors();
            json!({
                "column": column.of.name,
                "rows": column.rows,
                "mean_squared_error": errors.mean_squared,
                "root_mean_squared_error": errors.root_mean_squared,
                "mean_absolute_error": errors.mean_absolute,
                "r2_score": errors.r2,
            })
        });
        Map::from_iter([("per_column".to_string(), columns.collect())])
    }
}
