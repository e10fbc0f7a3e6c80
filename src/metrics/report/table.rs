//! Text in columns: the first to the left, the others to the right.

/// Columns that a terminal has.
pub const WIDTH: usize = 80;

/// The longest label that is written in full.
const LABEL: usize = 24;

/// At most `width` characters, the last an ellipsis if some are missing.
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Rows of a label and cells; each column as wide as its widest cell.
pub fn aligned(rows: &[(String, Vec<String>)]) -> String {
    let count = |text: &String| text.chars().count();
    let label_width = rows.iter().map(|(label, _)| count(label)).max().unwrap_or(0).min(LABEL);
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|(_, cells)| cells.get(column).map(count)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (label, cells) in rows {
        let mut line = format!("{:<label_width$}", shorten(label, label_width));
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A row of words.
pub fn head(words: &[&str]) -> (String, Vec<String>) {
    (String::new(), words.iter().map(|word| word.to_string()).collect())
}

/// Four decimals, or powers of ten where these would say nothing.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) { format!("{value:.4e}") } else { format!("{value:.4}") }
}
