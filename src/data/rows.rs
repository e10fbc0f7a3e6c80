//! Raw CSV rows to network input, with what the checkpoint stores: `predict` and `eval --data`.
//!
//! Columns are found by name, so their order is free and others may stand between them; the target
//! is never needed. Pixels are `pixel_<row>_<column>` (`_<channel>`), of clips `pixel_<frame>_<row>_<column>`;
//! or `pixel0`, `pixel1`, ..., or a file without a header that has nothing but them.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use crate::data::decimal;
use crate::data::preprocessing::{Column, ColumnEncoding, InputEncoding, pixel_names, scaled};
use crate::data::records::{Header, Records, Row};
use crate::data::source::open;
use crate::data::text::tokenizer::Lookup;
use crate::diag::Diag;

/// Rows of a CSV file, or of standard input.
pub struct InputRows<'p> {
    records: Records<Box<dyn Read + Send>>,
    encoder: RowEncoder<'p>,
    line: usize,
    blank: usize,
}

impl<'p> InputRows<'p> {
    /// Opens the file (`-`: standard input) and finds the columns.
    ///
    /// # Errors
    /// No such file, an empty one, columns that are missing or there twice.
    pub fn open(path: &Path, input: &'p InputEncoding) -> Result<InputRows<'p>, Diag> {
        if path == Path::new("-") {
            return InputRows::over(Box::new(std::io::stdin()), Path::new("<stdin>"), input);
        }
        InputRows::over(Box::new(open(path)?), path, input)
    }

    /// As [`Self::open`], over anything; `name` is what messages call it.
    pub fn over(
        reader: Box<dyn Read + Send>,
        name: &Path,
        input: &'p InputEncoding,
    ) -> Result<InputRows<'p>, Diag> {
        let mut records = Records::new(reader, name, input.delimiter() as u8);
        let (encoder, _) = bind(&mut records, name, input)?;
        Ok(InputRows { records, encoder, line: 0, blank: 0 })
    }

    /// Numbers per row.
    pub fn width(&self) -> usize {
        self.encoder.input.width()
    }

    /// Encodes the next row; `false` at the end.
    ///
    /// # Errors
    /// The first cell of the row that cannot be encoded, at its place. The next call goes on behind it.
    pub fn next(&mut self, out: &mut [f32]) -> Result<bool, Diag> {
        let Some(row) = self.records.next()? else { return Ok(false) };
        self.line = row.line;
        self.blank += row.skipped_lines;
        self.encoder.encode(&row, out)?;
        Ok(true)
    }

    /// Line number of the row that [`Self::next`] gave.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Blank lines among the rows that may have been meant for empty cells: of a file with a single column.
    pub fn blank(&self) -> usize {
        if self.encoder.width == 1 { self.blank } else { 0 }
    }

    /// Columns in which categories stood that training never saw, and how often.
    pub fn unseen(&self) -> Vec<(&str, usize)> {
        self.encoder.unseen()
    }
}

/// Reads the header where there is one; gives it back with the encoder that fits the file.
pub(super) fn bind<'p, R: Read>(
    records: &mut Records<R>,
    name: &Path,
    input: &'p InputEncoding,
) -> Result<(RowEncoder<'p>, Option<Header>), Diag> {
    let Some(first) = records.next()? else {
        return Err(Diag::new(format!("`{}` is empty", name.display())).hint(needs(input)));
    };
    let named = match input {
        InputEncoding::Columns { header, .. } => *header,
        InputEncoding::Pixels { .. } | InputEncoding::Clips { .. } => {
            !first.cells().all(|cell| cell.parse::<f64>().is_ok())
        }
        InputEncoding::Tokens { .. } => true,
    };
    let (header, width) = (first.header(named), first.len());
    if !named {
        records.unread();
    }
    let columns = match (input, named) {
        (_, true) | (InputEncoding::Tokens { .. }, false) => by_name(input, &header)?,
        (InputEncoding::Columns { columns, .. }, false) => by_number(columns, &header, input)?,
        (InputEncoding::Pixels { .. } | InputEncoding::Clips { .. }, false) => all_of(input, &header)?,
    };
    let encoder = RowEncoder::new(input, columns, width, named);
    Ok((encoder, named.then_some(header)))
}

/// The names that the input has, in order; pixels have two sets of names.
fn names(input: &InputEncoding) -> Vec<Vec<String>> {
    match input {
        InputEncoding::Columns { columns, .. } => vec![columns.iter().map(|c| c.name.clone()).collect()],
        InputEncoding::Tokens { column, .. } => vec![column.iter().cloned().collect()],
        InputEncoding::Pixels { shape, .. } | InputEncoding::Clips { shape, .. } => {
            vec![pixel_names(shape), (0..input.width()).map(|i| format!("pixel{i}")).collect()]
        }
    }
}

fn needs(input: &InputEncoding) -> String {
    let names = &names(input)[0];
    match names.len() {
        0..=30 => format!("the columns needed are {}", names.join(", ")),
        n => format!("the {n} columns needed are {} to {}", names[0], names[n - 1]),
    }
}

fn by_name(input: &InputEncoding, header: &Header) -> Result<Vec<usize>, Diag> {
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut twice: HashMap<&str, usize> = HashMap::new();
    for (column, name) in header.names.iter().enumerate() {
        if index.contains_key(name.as_str()) {
            twice.insert(name, column);
        } else {
            index.insert(name, column);
        }
    }
    let sets = names(input);
    let set = sets.iter().find(|set| index.contains_key(set[0].as_str())).unwrap_or(&sets[0]);
    let missing: Vec<String> =
        set.iter().filter(|n| !index.contains_key(n.as_str())).map(|n| format!("`{n}`")).collect();
    if !missing.is_empty() {
        let shown = missing[..missing.len().min(10)].join(", ");
        let rest = missing.len().saturating_sub(10);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let what = if missing.len() == 1 { "column" } else { "columns" };
        let diag = Diag::new(format!("{what} {shown}{more} missing")).at(&header.at_line());
        return Err(diag.hint(needs(input)));
    }
    if let Some((name, column)) = set.iter().find_map(|n| twice.get_key_value(n.as_str())) {
        let diag = Diag::new(format!("two columns have the name `{name}`")).at(&header.at(*column));
        return Err(diag.also(&header.at(index[name]), "the first one"));
    }
    Ok(set.iter().map(|name| index[name.as_str()]).collect())
}

fn all_of(input: &InputEncoding, header: &Header) -> Result<Vec<usize>, Diag> {
    let (found, wanted) = (header.names.len(), input.width());
    if found == wanted {
        return Ok((0..wanted).collect());
    }
    let message =
        format!("without a header a row must be the {wanted} pixels and nothing else; it has {found} cells");
    Err(Diag::new(message).at(&header.at_line()).hint(needs(input)))
}

/// Training columns by their number; or, in a file of just the features, in their order.
fn by_number(columns: &[Column], header: &Header, input: &InputEncoding) -> Result<Vec<usize>, Diag> {
    let found = header.names.len();
    let numbers: Vec<usize> = columns.iter().map(|c| c.name.parse().unwrap_or(usize::MAX)).collect();
    if numbers.iter().all(|n| *n < found) {
        return Ok(numbers);
    }
    if found == columns.len() {
        let mut order: Vec<usize> = (0..found).collect();
        order.sort_by_key(|i| numbers[*i]);
        let mut places = vec![0; found];
        order.iter().enumerate().for_each(|(place, column)| places[*column] = place);
        return Ok(places);
    }
    let message = format!("this file has {found} columns, too few for the numbers of the features");
    let hint = format!("{}; or a file of these {} columns alone", needs(input), columns.len());
    Err(Diag::new(message).at(&header.at_line()).hint(hint))
}

/// Encodes one record at a time, without allocating.
pub struct RowEncoder<'p> {
    input: &'p InputEncoding,
    /// Place in the file of each input column.
    columns: Vec<usize>,
    /// Whether these are all that is in the file.
    in_order: bool,
    width: usize,
    named: bool,
    unseen: Vec<usize>,
    /// Of a text's tokens.
    lookup: Option<Lookup<'p>>,
}

impl<'p> RowEncoder<'p> {
    fn new(input: &'p InputEncoding, columns: Vec<usize>, width: usize, named: bool) -> RowEncoder<'p> {
        let lookup = match input {
            InputEncoding::Tokens { vocabulary, .. } => Some(vocabulary.lookup()),
            _ => None,
        };
        let in_order = columns.iter().copied().eq(0..width);
        RowEncoder { input, unseen: vec![0; columns.len()], columns, in_order, width, named, lookup }
    }

    /// Fills `out`, as many numbers as the input has.
    ///
    /// # Errors
    /// The first cell that cannot be encoded, or a row of another length than the header.
    pub fn encode(&mut self, row: &Row<'_>, out: &mut [f32]) -> Result<(), Diag> {
        if row.len() != self.width {
            let first = if self.named { "the header" } else { "the first row" };
            let message = format!("this row has {} cells, {first} has {}", row.len(), self.width);
            return Err(Diag::new(message).at(&row.at_line()));
        }
        match self.input {
            InputEncoding::Pixels { divisor, .. } | InputEncoding::Clips { divisor, .. } => {
                if self.in_order && row.whole_numbers(out) {
                    out.iter_mut().for_each(|out| *out /= divisor);
                    return Ok(());
                }
                for (out, column) in out.iter_mut().zip(&self.columns) {
                    *out = number(row, *column)? as f32 / divisor;
                }
            }
            InputEncoding::Columns { columns, missing_values, .. } => {
                out.fill(0.0);
                let mut offset = 0;
                for (index, column) in columns.iter().enumerate() {
                    let width = column.encoding.width();
                    let slots = &mut out[offset..offset + width];
                    let seen = encode_cell(row, self.columns[index], column, missing_values, slots)?;
                    self.unseen[index] += usize::from(!seen);
                    offset += width;
                }
            }
            InputEncoding::Tokens { .. } => {
                let (lookup, column) = (self.lookup.as_ref().expect("made for tokens"), self.columns[0]);
                let tokens = lookup.encode(row.cell(column)).map_err(|token| {
                    Diag::new(format!("{token:?} is not in the vocabulary")).at(&row.at(column))
                })?;
                out.fill(0.0);
                out.iter_mut().zip(tokens.0).for_each(|(out, token)| *out = token as f32);
            }
        }
        Ok(())
    }

    pub fn unseen(&self) -> Vec<(&str, usize)> {
        let InputEncoding::Columns { columns, .. } = self.input else { return vec![] };
        let counts = columns.iter().zip(&self.unseen).filter(|(_, n)| **n > 0);
        counts.map(|(column, n)| (column.name.as_str(), *n)).collect()
    }
}

/// Encodes one cell into its zeroed slots; whether its category is known.
fn encode_cell(
    row: &Row<'_>,
    index: usize,
    column: &Column,
    missing_values: &[String],
    slots: &mut [f32],
) -> Result<bool, Diag> {
    let cell = row.cell(index);
    let missing = missing_values.iter().any(|m| m == cell);
    let no_fill = || {
        let diag = Diag::new(format!("the cell of column `{}` is missing", column.name)).at(&row.at(index));
        diag.hint("the model was trained without a rule for missing cells (dataset.missing)")
    };
    match &column.encoding {
        ColumnEncoding::Number { offset, scale, fill } => {
            let value = match missing {
                true => fill.ok_or_else(no_fill)?,
                false => number(row, index)?,
            };
            slots[0] = scaled(value, *offset, *scale);
            Ok(true)
        }
        ColumnEncoding::Category { categories, fill } => {
            let name = match missing {
                true => fill.as_deref().ok_or_else(no_fill)?,
                false => cell,
            };
            let slot = categories.binary_search_by(|c| c.as_str().cmp(name)).unwrap_or(categories.len());
            slots[slot] = 1.0;
            Ok(slot < categories.len())
        }
    }
}

/// A cell as a finite number.
pub(super) fn number(row: &Row<'_>, index: usize) -> Result<f64, Diag> {
    if let Some(value) = decimal::short(row.raw_cell(index)) {
        return Ok(value);
    }
    let cell = row.cell(index);
    match cell.parse::<f64>() {
        Ok(value) if (value as f32).is_finite() => Ok(value),
        Ok(_) => Err(Diag::new(format!("`{cell}` is not a finite number")).at(&row.at(index))),
        Err(_) if cell.is_empty() => {
            Err(Diag::new("expected a number, the cell is empty").at(&row.at(index)))
        }
        Err(_) => Err(Diag::new(format!("expected a number, found `{cell}`")).at(&row.at(index))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, encoding: ColumnEncoding) -> Column {
        Column { name: name.to_string(), encoding }
    }

    fn input(header: bool, names: [&str; 3]) -> InputEncoding {
        let categories = vec!["a".to_string(), "b".to_string()];
        InputEncoding::Columns {
            columns: vec![
                column(names[0], ColumnEncoding::Number { offset: 1.0, scale: 2.0, fill: None }),
                column(names[1], ColumnEncoding::Category { categories, fill: Some("b".into()) }),
                column(names[2], ColumnEncoding::Number { offset: 0.0, scale: 1.0, fill: Some(7.0) }),
            ],
            missing_values: vec!["".into(), "?".into()],
            header,
            delimiter: ',',
        }
    }

    fn pixels() -> InputEncoding {
        InputEncoding::Pixels { shape: vec![1, 2, 2], divisor: 10.0 }
    }

    /// All rows, then the unseen categories.
    fn encode(text: &str, input: &InputEncoding) -> Result<(Vec<Vec<f32>>, usize), Diag> {
        let reader = Box::new(std::io::Cursor::new(text.to_string()));
        let mut rows = InputRows::over(reader, Path::new("f.csv"), input)?;
        let (mut all, mut out) = (vec![], vec![9.0; rows.width()]);
        while rows.next(&mut out)? {
            all.push(out.clone());
        }
        Ok((all, rows.unseen().iter().map(|(_, n)| n).sum()))
    }

    #[test]
    fn columns_are_found_by_name_and_others_are_ignored() {
        let text = "y,n2,c,id,n1\n0, 2 ,a,x,5\n,?,z,x,3\n,1,,x,1\n";
        let (rows, unseen) = encode(text, &input(true, ["n1", "c", "n2"])).unwrap();
        assert_eq!(rows[0], [2.0, 1.0, 0.0, 0.0, 2.0]);
        assert_eq!(rows[1], [1.0, 0.0, 0.0, 1.0, 7.0]);
        assert_eq!(rows[2], [0.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(unseen, 1);
        assert_eq!(encode("n1,c,n2\n", &input(true, ["n1", "c", "n2"])).unwrap().0.len(), 0);
    }

    #[test]
    fn without_a_header_columns_go_by_number() {
        let by_number = input(false, ["3", "1", "2"]);
        let (rows, _) = encode("8,a,2,5\n", &by_number).unwrap();
        assert_eq!(rows[0], [2.0, 1.0, 0.0, 0.0, 2.0]);
        let (rows, _) = encode("a,2,5\n", &by_number).unwrap();
        assert_eq!(rows[0], [2.0, 1.0, 0.0, 0.0, 2.0]);
        let diag = encode("a,2\n", &by_number).unwrap_err();
        assert!(diag.message.contains("this file has 2 columns"), "{diag}");
    }

    #[test]
    fn pixels_by_either_name_or_alone() {
        let grid = "label,pixel_0_1_1,pixel_0_0_0,pixel_0_0_1,pixel_0_1_0\n1,40,10,20,30\n";
        let flat = "pixel0,pixel1,pixel2,pixel3\n10,20,30,40\n";
        for text in [grid, flat, "10,20,30,40\n", "10,20,30,40"] {
            let (rows, _) = encode(text, &pixels()).unwrap();
            assert_eq!(rows, [[1.0, 2.0, 3.0, 4.0]], "{text}");
        }
        let (rows, _) = encode("300,-1,0.5,0\n", &pixels()).unwrap();
        assert_eq!(rows[0], [30.0, -0.1, 0.05, 0.0]);
    }

    /// However a row is written, and whichever way it is read.
    #[test]
    fn every_way_of_writing_pixels_gives_the_same() {
        for text in [
            "10,20,30,40\r\n",
            "\n\n10,20,30,40",
            "10, 20,30 ,40\n",
            "\"10\",20,30,\"40\"\n",
            "10,20.0,3e1,+40\n",
            "\u{feff}10,20,30,40\n",
            "10,20,30,040\r\r\n",
            "0000000010,20,30,40\n",
        ] {
            let (rows, _) = encode(text, &pixels()).unwrap_or_else(|d| panic!("{text:?}: {d}"));
            assert_eq!(rows, [[1.0, 2.0, 3.0, 4.0]], "{text:?}");
        }
        let (rows, _) = encode("9999999,16777217,99999999,0\n1,2,3,4\n", &pixels()).unwrap();
        assert_eq!(
            rows[0],
            [9_999_999.0 / 10.0, 16_777_217.0f64 as f32 / 10.0, 99_999_999.0f64 as f32 / 10.0, 0.0]
        );
        for text in ["1,2,3,4\n1,2,3\n", "1,2,3,4\n1,2,3,4,5\n", "1,2,3,4\n1,2,,3\n", "1,2,3,4\n1,2,3,\n"] {
            assert!(encode(text, &pixels()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn mistakes_name_the_place() {
        let table = input(true, ["n1", "c", "n2"]);
        for (text, input, place, part) in [
            ("n1,c,n2\n1,a\n", &table, "f.csv:2:1", "this row has 2 cells, the header has 3"),
            ("n1,c,n2\n1,a,2\n1,a,b7\n", &table, "f.csv:3:5", "found `b7`"),
            ("n1,c,n2\n ?,a,2\n", &table, "f.csv:2:2", "column `n1` is missing"),
            ("n1,c,n2\n1e99,a,2\n", &table, "f.csv:2:1", "not a finite number"),
            ("n1,N2\n1,2\n", &table, "f.csv:1:1", "columns `c`, `n2` missing"),
            ("n1,c,n2,c\n1,2,3,4\n", &table, "f.csv:1:9", "two columns have the name `c`"),
            ("1,2,3\n", &pixels(), "f.csv:1:1", "must be the 4 pixels and nothing else; it has 3"),
            ("pixel0,pixel1,pixel3\n1,2,3\n", &pixels(), "f.csv:1:1", "column `pixel2` missing"),
            ("a,b\n1,2\n", &pixels(), "f.csv:1:1", "columns `pixel_0_0_0`, "),
            ("1,2,3,4\n1,2,,4\n", &pixels(), "f.csv:2:5", "the cell is empty"),
        ] {
            let diag = encode(text, input).expect_err(part);
            assert!(diag.message.contains(part), "{text:?}:\n{diag}");
            assert!(diag.at.as_ref().unwrap().to_string() == place, "{text:?}:\n{diag}");
        }
        let diag = encode("", &table).unwrap_err();
        assert!(diag.message.contains("is empty") && diag.hint.unwrap().contains("n1, c, n2"));
    }

    #[test]
    fn blank_lines_of_a_single_column_are_counted() {
        for (text, blank) in [("3\n1\n\n\n2\n\n", 2), ("3\n1\n2\n", 0), ("3,4\n\n5,6\n", 0)] {
            let single = input(false, ["0", "0", "0"]);
            let reader = Box::new(std::io::Cursor::new(text.to_string()));
            let mut rows = InputRows::over(reader, Path::new("f.csv"), &single).unwrap();
            while rows.next(&mut [0.0; 5]).unwrap() {}
            assert_eq!(rows.blank(), blank, "{text:?}");
        }
    }

    #[test]
    fn reading_goes_on_behind_a_bad_row() {
        let table = input(true, ["n1", "c", "n2"]);
        let reader = Box::new(std::io::Cursor::new("n1,c,n2\nx,a,1\n3,a,1\n"));
        let mut rows = InputRows::over(reader, Path::new("f.csv"), &table).unwrap();
        let mut out = [0.0; 5];
        assert!(rows.next(&mut out).is_err());
        assert!(rows.next(&mut out).unwrap() && rows.line() == 3);
        assert_eq!(out, [1.0, 1.0, 0.0, 0.0, 1.0]);
    }
}
