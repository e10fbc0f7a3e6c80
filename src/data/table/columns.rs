//! Columns in memory: numbers in the smallest type that holds them exactly, texts as codes.

use std::collections::HashMap;

/// Numbers of one column; NaN where the cell is missing.
#[derive(Debug)]
pub enum Numbers {
    Bytes(Vec<u8>),
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers::Bytes(vec![])
    }
}

impl Numbers {
    pub fn push(&mut self, value: f64) {
        match self {
            Numbers::Bytes(v) if same(f64::from(value as u8), value) => v.push(value as u8),
            Numbers::Single(v) if same(f64::from(value as f32), value) => v.push(value as f32),
            Numbers::Double(v) => v.push(value),
            Numbers::Bytes(v) => {
                *self = Numbers::Single(v.iter().copied().map(f32::from).collect());
                self.push(value);
            }
            Numbers::Single(v) => {
                *self = Numbers::Double(v.iter().copied().map(f64::from).collect());
                self.push(value);
            }
        }
    }

    pub fn get(&self, row: usize) -> f64 {
        match self {
            Numbers::Bytes(v) => f64::from(v[row]),
            Numbers::Single(v) => f64::from(v[row]),
            Numbers::Double(v) => v[row],
        }
    }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Stands for a missing cell among codes.
pub const MISSING: u32 = u32::MAX;

/// Texts of one column, each different one kept once.
#[derive(Debug, Default)]
pub struct Texts {
    pub codes: Vec<u32>,
    pub names: Vec<String>,
    index: HashMap<String, u32>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        let code = match self.index.get(text) {
            Some(code) => *code,
            None => {
                let code = self.names.len() as u32;
                self.names.push(text.to_string());
                self.index.insert(text.to_string(), code);
                code
            }
        };
        self.codes.push(code);
    }

    pub fn push_missing(&mut self) {
        self.codes.push(MISSING);
    }
}

#[derive(Debug)]
pub enum Column {
    Numbers(Numbers),
    Texts(Texts),
}

impl Column {
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Column::Numbers(Numbers::Bytes(v)) => v.truncate(rows),
            Column::Numbers(Numbers::Single(v)) => v.truncate(rows),
            Column::Numbers(Numbers::Double(v)) => v.truncate(rows),
            Column::Texts(texts) => texts.codes.truncate(rows),
        }
    }

    /// # Panics
    /// If the column holds texts: the layout says which is which.
    pub fn numbers(&self) -> &Numbers {
        match self {
            Column::Numbers(numbers) => numbers,
            Column::Texts(_) => panic!("the layout reads this column as numbers"),
        }
    }

    /// # Panics
    /// If the column holds numbers.
    pub fn texts(&self) -> &Texts {
        match self {
            Column::Texts(texts) => texts,
            Column::Numbers(_) => panic!("the layout reads this column as texts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact_and_small() {
        let mut numbers = Numbers::default();
        for value in [0.0, 255.0] {
            numbers.push(value);
        }
        assert!(matches!(numbers, Numbers::Bytes(_)));
        for value in [256.0, -0.5, f64::NAN] {
            numbers.push(value);
        }
        assert!(matches!(numbers, Numbers::Single(_)));
        numbers.push(0.1);
        numbers.push(-0.0);
        let values: Vec<f64> = (0..7).map(|row| numbers.get(row)).collect();
        assert_eq!(values[..4], [0.0, 255.0, 256.0, -0.5]);
        assert!(values[4].is_nan());
        assert_eq!((values[5], values[6].is_sign_negative()), (0.1, true));
    }

    #[test]
    fn a_byte_column_with_a_missing_cell() {
        let mut numbers = Numbers::default();
        numbers.push(1.0);
        numbers.push(f64::NAN);
        assert!(matches!(numbers, Numbers::Single(_)) && numbers.get(1).is_nan());
    }

    #[test]
    fn texts_are_kept_once() {
        let mut texts = Texts::default();
        ["b", "a", "b"].iter().for_each(|t| texts.push(t));
        texts.push_missing();
        assert_eq!((texts.codes, texts.names), (vec![0, 1, 0, MISSING], vec!["b".to_string(), "a".into()]));
    }
}
