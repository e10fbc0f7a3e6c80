//! CSV records that know where each cell stands in the file.
//!
//! The `csv` crate does the parsing (quotes, CRLF, byte order mark); this keeps the text of the
//! current record beside it, so that a message can show the line and mark the cell, on a pipe too.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::StringRecord;

use crate::diag::{At, Diag, Source};

/// Hands bytes through and keeps those from `needed_from` on.
struct Tee<R> {
    inner: R,
    kept: Vec<u8>,
    /// Offset in the file of the first kept byte.
    kept_from: u64,
    needed_from: u64,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Dropping only here, once per filled buffer, keeps the cost per byte constant.
        let unneeded = (self.needed_from - self.kept_from) as usize;
        self.kept.drain(..unneeded.min(self.kept.len()));
        self.kept_from = self.needed_from;
        let mut n = self.inner.read(buffer)?;
        // The csv crate takes a first read of just a byte order mark for the end of the file.
        while self.kept_from == 0 && self.kept.is_empty() && (1..4).contains(&n) {
            match self.inner.read(&mut buffer[n..])? {
                0 => break,
                more => n += more,
            }
        }
        self.kept.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

impl<R> Tee<R> {
    fn slice(&self, range: Range<u64>) -> &[u8] {
        &self.kept[(range.start - self.kept_from) as usize..(range.end - self.kept_from) as usize]
    }
}

/// Reads a CSV record by record.
pub struct Records<R> {
    reader: csv::Reader<Tee<R>>,
    record: StringRecord,
    /// Range in the file and line of the current record.
    range: Range<u64>,
    line: usize,
    file: PathBuf,
    delimiter: u8,
    again: bool,
}

impl<R: Read> Records<R> {
    pub fn new(inner: R, file: &Path, delimiter: u8) -> Records<R> {
        let tee = Tee { inner, kept: vec![], kept_from: 0, needed_from: 0 };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(1 << 16)
            .from_reader(tee);
        let record = StringRecord::new();
        Records { reader, record, range: 0..0, line: 0, file: file.to_path_buf(), delimiter, again: false }
    }

    /// Blank lines are skipped.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Diag> {
        if std::mem::take(&mut self.again) {
            return Ok(Some(self.row()));
        }
        let start = self.reader.position().clone();
        self.reader.get_mut().needed_from = start.byte();
        let read = self.reader.read_record(&mut self.record);
        self.range = start.byte()..self.reader.position().byte();
        self.line = start.line() as usize;
        match read {
            Ok(true) => match self.row().unclosed_quote() {
                Some(diag) => Err(diag),
                None => Ok(Some(self.row())),
            },
            Ok(false) => Ok(None),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Makes [`Self::next`] give the current record once more.
    pub fn unread(&mut self) {
        self.again = true;
    }

    fn row(&self) -> Row<'_> {
        let raw = self.reader.get_ref().slice(self.range.clone());
        let blank = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let skipped_lines = raw[..blank].iter().filter(|b| **b == b'\n').count();
        let raw = &raw[blank..];
        let raw = raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(raw);
        let (line, delimiter) = (self.line + skipped_lines, self.delimiter);
        Row { cells: &self.record, raw, line, skipped_lines, file: &self.file, delimiter }
    }

    fn unreadable(&self, error: &csv::Error) -> Diag {
        let name = self.file.display();
        match error.kind() {
            csv::ErrorKind::Utf8 { .. } => Diag::new(format!("this line of `{name}` is not UTF-8 text"))
                .at(&self.row().at_line())
                .hint("save the file as UTF-8"),
            _ => Diag::new(format!("cannot read `{name}`: {error}")),
        }
    }
}

/// One record.
pub struct Row<'a> {
    cells: &'a StringRecord,
    raw: &'a [u8],
    /// Line number of the record's start, from 1.
    pub line: usize,
    /// Blank lines between the record before and this one.
    pub skipped_lines: usize,
    file: &'a Path,
    delimiter: u8,
}

impl<'a> Row<'a> {
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// A cell without the blanks around it; empty where the record is too short.
    pub fn cell(&self, index: usize) -> &'a str {
        self.raw_cell(index).trim()
    }

    /// Whether the row is as many whole numbers as `out` has room for, bare digits each, which then are there:
    /// pixels as most files have them, at a fraction of the cost of finding the cells first.
    pub fn whole_numbers(&self, out: &mut [f32]) -> bool {
        /// Digits that an f32 holds for certain.
        const DIGITS: usize = 7;
        let line = self.raw.strip_suffix(b"\n").unwrap_or(self.raw);
        let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
        let last = out.len().wrapping_sub(1);
        for (i, out) in out.iter_mut().enumerate() {
            let digits = rest.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
            let (number, behind) = rest.split_at(digits);
            rest = match behind.split_first() {
                Some((b, behind)) if *b == self.delimiter && i < last => behind,
                None if i == last => behind,
                _ => return false,
            };
            if !(1..=DIGITS).contains(&digits) {
                return false;
            }
            *out = number.iter().fold(0, |sum, b| 10 * sum + u32::from(b - b'0')) as f32;
        }
        rest.is_empty() && !out.is_empty()
    }

    /// A cell with the blanks around it.
    pub fn raw_cell(&self, index: usize) -> &'a str {
        self.cells.get(index).unwrap_or("")
    }

    pub fn cells(&self) -> impl Iterator<Item = &'a str> {
        self.cells.iter().map(str::trim)
    }

    pub fn file(&self) -> &'a Path {
        self.file
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.raw).trim_end_matches(['\r', '\n']).to_string()
    }

    /// The mistake of a quote that opens a cell and swallows the rest of the file.
    fn unclosed_quote(&self) -> Option<Diag> {
        if !self.raw.contains(&b'"') {
            return None;
        }
        let text = self.text();
        let open = split(&text, self.delimiter).1?;
        let at = At::in_line(self.file, self.line, &text, open..open + 1);
        Some(
            Diag::new("the quote that opens here is never closed")
                .at(&at)
                .hint("a quote inside a cell is written twice"),
        )
    }

    /// Where a cell stands, for a message.
    pub fn at(&self, index: usize) -> At {
        let text = self.text();
        let span = cell_spans(&text, self.delimiter).into_iter().nth(index);
        let end = text.len();
        At::in_line(self.file, self.line, &text, span.unwrap_or(end..end))
    }

    pub fn at_line(&self) -> At {
        let text = self.text();
        At::in_line(self.file, self.line, &text, 0..text.len())
    }

    /// The names of the columns: the cells, or numbers from 0.
    pub fn header(&self, named: bool) -> Header {
        let text = self.text();
        let spans = cell_spans(&text, self.delimiter);
        let name = self.file.display().to_string();
        let source = Arc::new(Source { name, text, first_line: self.line });
        let names = match named {
            true => self.cells().map(str::to_string).collect(),
            false => (0..self.len()).map(|i| i.to_string()).collect(),
        };
        Header { names, source, spans }
    }
}

/// Column names and where they stand (headerless: where the first row's cells stand).
#[derive(Debug)]
pub struct Header {
    pub names: Vec<String>,
    source: Arc<Source>,
    spans: Vec<Range<usize>>,
}

impl Header {
    pub fn at(&self, index: usize) -> At {
        let end = self.source.text.len();
        At::new(&self.source, self.spans.get(index).cloned().unwrap_or(end..end))
    }

    pub fn at_line(&self) -> At {
        At::new(&self.source, 0..self.source.text.len())
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }
}

/// The bytes of each cell of one record's text, without blanks around them.
fn cell_spans(text: &str, delimiter: u8) -> Vec<Range<usize>> {
    split(text, delimiter).0
}

/// The cells' bytes, and where a quote opens that is never closed.
fn split(text: &str, delimiter: u8) -> (Vec<Range<usize>>, Option<usize>) {
    let bytes = text.as_bytes();
    let (mut spans, mut start, mut inside_quotes) = (vec![], 0, false);
    for (i, byte) in bytes.iter().enumerate() {
        if *byte == b'"' && bytes[start] == b'"' {
            inside_quotes = !inside_quotes;
        } else if *byte == delimiter && !inside_quotes {
            spans.push(trimmed(text, start..i));
            start = i + 1;
        }
    }
    spans.push(trimmed(text, start..text.len()));
    (spans, inside_quotes.then_some(start))
}

fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let cell = &text[span.clone()];
    let start = span.start + (cell.len() - cell.trim_start().len());
    start..start + cell.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_no_rows_but_are_counted() {
        let mut records = Records::new(&b"text\na\n\n\r\nb\n\"\"\n\n"[..], Path::new("f.csv"), b',');
        let mut found = vec![];
        while let Some(row) = records.next().unwrap() {
            found.push((row.cell(0).to_string(), row.line, row.skipped_lines));
        }
        let expected = [("text", 1, 0), ("a", 2, 0), ("b", 5, 2), ("", 6, 0)];
        assert_eq!(found, expected.map(|(cell, line, skipped)| (cell.to_string(), line, skipped)));
    }

    /// Gives out a few bytes at a time, as a pipe may.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len()).min(3);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn cells_and_positions_through_quotes_crlf_bom_and_blank_lines() {
        let text = "\u{feff}a, b ,c\r\n\r\n1,\"x, \"\"y\"\"\", 3 \r\n\n\"two\nlines\",é,z\n";
        let mut records = Records::new(Drip(text.as_bytes()), Path::new("f.csv"), b',');
        let header = records.next().unwrap().unwrap().header(true);
        assert_eq!(header.names, ["a", "b", "c"]);
        assert_eq!(header.at(1).to_string(), "f.csv:1:4");
        let row = records.next().unwrap().unwrap();
        assert_eq!(row.cells().collect::<Vec<_>>(), ["1", "x, \"y\"", "3"]);
        assert_eq!(row.at(1).to_string(), "f.csv:3:3");
        assert_eq!(row.at(2).to_string(), "f.csv:3:15");
        assert_eq!(row.at(2).source.text, "1,\"x, \"\"y\"\"\", 3 ");
        let row = records.next().unwrap().unwrap();
        assert_eq!((row.line, row.at(1).to_string()), (5, "f.csv:6:8".to_string()));
        assert_eq!(row.at(2).to_string(), "f.csv:6:10");
        assert!(records.next().unwrap().is_none());
    }

    #[test]
    fn long_files_keep_only_what_they_need() {
        let text: String = (0..50_000).map(|i| format!("{i},b\n")).collect();
        let mut records = Records::new(text.as_bytes(), Path::new("f.csv"), b',');
        let mut n = 0;
        while let Some(row) = records.next().unwrap() {
            assert_eq!(row.cell(0), n.to_string());
            assert_eq!(row.text(), format!("{n},b"));
            n += 1;
        }
        assert_eq!(n, 50_000);
        assert!(records.reader.get_ref().kept.len() <= 2 << 16);
    }

    #[test]
    fn unread_gives_the_record_again() {
        let mut records = Records::new(&b"a\nb\n"[..], Path::new("f.csv"), b',');
        records.next().unwrap();
        records.unread();
        assert_eq!(records.next().unwrap().unwrap().cell(0), "a");
        assert_eq!(records.next().unwrap().unwrap().cell(0), "b");
    }

    #[test]
    fn bytes_that_are_no_text() {
        let mut records = Records::new(&b"a,b\n1,\xff\n"[..], Path::new("f.csv"), b',');
        records.next().unwrap();
        let diag = records.next().err().unwrap();
        assert!(diag.to_string().contains("f.csv:2:1"), "{diag}");
    }
}
