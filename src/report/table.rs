//! Plain-text tables and numbers for people.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a header line, columns two spaces apart.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().map(|r| r[i].chars().count());
        cells.chain([columns[i].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(columns).zip(&widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
    let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (columns.len() - 1));
    let body = rows.iter().map(|r| line(&r.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut lines = vec![line(&names), rule.clone()];
    lines.extend(body);
    lines.push(rule);
    lines.join("\n") + "\n"
}

/// `1,234,567`.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `4.8 MB`, in powers of 1000.
pub fn bytes(n: usize) -> String {
    scaled(n as f64, "B")
}

/// `12.3 MFLOP`.
pub fn flops(n: f64) -> String {
    // An empty sum is -0.0.
    scaled(n + 0.0, "FLOP")
}

fn scaled(mut value: f64, unit: &str) -> String {
    for prefix in ["", "k", "M", "G"] {
        if value < 1000.0 {
            let digits = if prefix.is_empty() { 0 } else { 1 };
            return format!("{value:.digits$} {prefix}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} T{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((bytes(12), bytes(4_800_000)), ("12 B".into(), "4.8 MB".into()));
        assert_eq!(flops(-0.0), "0 FLOP");
        assert_eq!((flops(12_340_000.0), flops(5e13)), ("12.3 MFLOP".into(), "50.0 TFLOP".into()));
    }

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a".to_string(), "1".to_string()], vec!["long".to_string(), "22".to_string()]];
        let text = table(&[("Name", Align::Left), ("#", Align::Right)], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[2], lines[3]), ("a      1", "long  22"));
    }
}
