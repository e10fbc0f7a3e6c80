//! Which samples train and which validate.
//!
//! `tail` is Keras's `validation_split` (the last samples, before any shuffling). `random`
//! and `stratified` (each class by itself) and `group` (whole groups) draw from the stream `split`
//! of the run's seed, so that the same seed gives the same parts.

use crate::config::fields::Fields;
use crate::config::read::Read;
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::data::table::keys::{Named, column_name};
use crate::diag::{At, Diag, suggest};
use crate::rng::Stream;

/// The key `validation`.
#[derive(Clone, Debug)]
pub enum Validation {
    /// Absent or `false`: everything trains.
    None,
    /// `"test"`: the test part is the validation part.
    Test,
    /// A fraction, or a table with `type`.
    Split { kind: Kind, fraction: f64, at: At },
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Stratified where the target is a class, else random: what a bare fraction means.
    Auto,
    Tail,
    Random,
    Stratified,
    Group {
        column: Named,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Tail,
    Random,
    Stratified,
    Group,
}

crate::words!(Word, Tail = "tail", Random = "random", Stratified = "stratified", Group = "group");

/// What a dataset can offer to `validation`.
#[derive(Clone, Copy, Debug)]
pub struct Offers {
    pub test: bool,
    /// Columns to group by.
    pub columns: bool,
}

impl Validation {
    pub fn read(f: &mut Fields<'_>, offers: Offers) -> Validation {
        let at = f.place("validation");
        let Some(value) = f.raw("validation") else {
            f.resolve("validation", Plain::Bool(false));
            return Validation::None;
        };
        match &value.data {
            Data::Bool(false) => {
                f.resolve("validation", Plain::Bool(false));
                Validation::None
            }
            Data::Str(word) => Validation::read_word(f, word, offers),
            Data::Int(_) | Data::Float(_) => {
                let fraction = f64::read(value).unwrap_or(f64::NAN);
                if !(fraction > 0.0 && fraction < 1.0) {
                    let message = format!("must be more than 0 and less than 1, got {fraction}");
                    f.error("validation", message, None);
                }
                f.resolve("validation", Plain::Float(fraction));
                Validation::Split { kind: Kind::Auto, fraction, at }
            }
            Data::Table(_) => Validation::read_table(f, value, offers),
            _ => {
                let expected = "expected \"test\", a fraction, a table with `type`, or false";
                f.error("validation", format!("{expected}; found {}", value.kind()), None);
                Validation::None
            }
        }
    }

    fn read_word(f: &mut Fields<'_>, word: &str, offers: Offers) -> Validation {
        if word != "test" {
            let hint = suggest(word, &["test"]).filter(|h| h.starts_with("did"));
            let hint = hint.unwrap_or_else(|| "for a split: { type = \"random\", fraction = 0.2 }".into());
            let expected = "expected \"test\", a fraction, a table with `type`, or false";
            f.error("validation", format!("{expected}; found \"{word}\""), Some(hint));
        } else if !offers.test {
            let hint = "give a fraction, as in validation = 0.2".to_string();
            f.error("validation", "this dataset has no test part", Some(hint));
        } else {
            f.resolve("validation", Plain::Str("test".into()));
        }
        Validation::Test
    }

    fn read_table(f: &mut Fields<'_>, value: &Value, offers: Offers) -> Validation {
        let Data::Table(table) = &value.data else { unreachable!("the caller saw a table") };
        let mut diags = vec![];
        let mut inner = Fields::new(table, &value.at, "`validation`", &mut diags);
        let word: Word = inner.key("type").required();
        let fraction: f64 = inner.key("fraction").above(0.0).within(0.0, 1.0).or(0.2);
        let kind = match word {
            Word::Tail => Kind::Tail,
            Word::Random => Kind::Random,
            Word::Stratified => Kind::Stratified,
            Word::Group => match column_name(&mut inner, "column") {
                _ if !offers.columns => {
                    inner.error("type", "only a `csv` dataset has columns to group by", None);
                    Kind::Random
                }
                Some(column) => Kind::Group { column },
                None if inner.has("column") => Kind::Random,
                None => {
                    let diag = Diag::new("a group split needs `column`").at(&value.at);
                    inner.push(diag.hint("rows with the same value there stay together"));
                    Kind::Random
                }
            },
        };
        let plain = inner.finish();
        diags.into_iter().for_each(|d| f.push(d));
        f.resolve("validation", Plain::Table(plain));
        Validation::Split { kind, fraction, at: value.at.clone() }
    }

    /// The column that a group split needs.
    pub fn group_column(&self) -> Option<&Named> {
        match self {
            Validation::Split { kind: Kind::Group { column }, .. } => Some(column),
            _ => None,
        }
    }
}

/// `validation` of data in time, where a fraction is its end: other splits are refused.
pub fn in_time(f: &mut Fields<'_>, validation: &mut Validation, what: &str) {
    if let Validation::Split { kind, .. } = validation {
        if !matches!(kind, Kind::Auto | Kind::Tail) {
            let hint = Some("give a fraction: the end, as in validation = 0.2".to_string());
            f.error("validation", format!("{what} is split in time"), hint);
        }
        *kind = Kind::Tail;
    }
}

/// What a split looks at: class numbers or group numbers of the rows, where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labels<'a> {
    pub classes: Option<&'a [u32]>,
    pub groups: Option<&'a [u32]>,
}

/// Divides rows `0..n` into training and validation rows, both ascending.
pub fn divide(
    validation: &Validation,
    n: usize,
    labels: Labels<'_>,
    seed: u64,
) -> Result<(Vec<u32>, Option<Vec<u32>>), Diag> {
    let all: Vec<u32> = (0..u32::try_from(n).expect("a dataset has fewer than 2^32 samples")).collect();
    let Validation::Split { kind, fraction, at } = validation else {
        return Ok((all, None));
    };
    let stream = Stream::new(seed, "split");
    let chosen = match (kind, labels.classes) {
        (Kind::Tail, _) => tail(&all, *fraction),
        (Kind::Auto | Kind::Stratified, Some(classes)) => stratified(classes, *fraction, stream),
        (Kind::Auto | Kind::Random, _) => random(all.clone(), *fraction, stream),
        (Kind::Stratified, None) => {
            return Err(Diag::new("a stratified split needs a target with classes")
                .at(at)
                .hint("use type = \"random\""));
        }
        (Kind::Group { .. }, _) => {
            let groups = labels.groups.expect("the reader of the data kept the group column");
            grouped(groups, *fraction, stream)
        }
    };
    let mut validates = vec![false; n];
    chosen.iter().for_each(|row| validates[*row as usize] = true);
    let (held_out, train): (Vec<u32>, Vec<u32>) = all.iter().partition(|row| validates[**row as usize]);
    if train.is_empty() || held_out.is_empty() {
        let (t, v) = (train.len(), held_out.len());
        let message =
            format!("validation = {fraction} of {n} samples leaves {t} samples to train and {v} to validate");
        return Err(Diag::new(message).at(at).hint("choose a fraction that leaves some of both"));
    }
    Ok((train, Some(held_out)))
}

/// Keras: everything from `floor(n * (1 - fraction))` on.
fn tail(all: &[u32], fraction: f64) -> Vec<u32> {
    let split_at = (all.len() as f64 * (1.0 - fraction)).floor() as usize;
    all[split_at..].to_vec()
}

fn random(mut rows: Vec<u32>, fraction: f64, stream: Stream) -> Vec<u32> {
    let count = (rows.len() as f64 * fraction).round() as usize;
    stream.shuffle(0, &mut rows);
    rows.truncate(count);
    rows
}

/// Of each class its share; what rounding leaves goes to the classes that lost most by it.
/// No class is taken whole.
fn stratified(classes: &[u32], fraction: f64, stream: Stream) -> Vec<u32> {
    let mut members = numbered(classes);
    let share = |class: &Vec<u32>| class.len() as f64 * fraction;
    let mut counts: Vec<usize> = members.iter().map(|m| share(m).floor() as usize).collect();
    let wanted = (classes.len() as f64 * fraction).round() as usize;
    let mut by_loss: Vec<usize> = (0..members.len()).collect();
    let loss = |class: &usize| share(&members[*class]).fract();
    by_loss.sort_by(|a, b| loss(b).total_cmp(&loss(a)).then(a.cmp(b)));
    let left = wanted.saturating_sub(counts.iter().sum());
    by_loss.iter().filter(|c| loss(c) > 0.0).take(left).for_each(|c| counts[*c] += 1);
    let mut chosen = vec![];
    for (class, (rows, count)) in members.iter_mut().zip(counts).enumerate() {
        stream.shuffle(class as u32, rows);
        chosen.extend(rows.iter().take(count.min(rows.len().saturating_sub(1))));
    }
    chosen
}

/// A share of the groups, at least one and never all.
fn grouped(groups: &[u32], fraction: f64, stream: Stream) -> Vec<u32> {
    let members = numbered(groups);
    let mut order: Vec<usize> = (0..members.len()).filter(|g| !members[*g].is_empty()).collect();
    if order.len() < 2 {
        return vec![];
    }
    stream.shuffle(0, &mut order);
    let count = ((order.len() as f64 * fraction).round() as usize).clamp(1, order.len() - 1);
    order[..count].iter().flat_map(|g| members[*g].iter().copied()).collect()
}

/// The rows of each number.
fn numbered(numbers: &[u32]) -> Vec<Vec<u32>> {
    let count = numbers.iter().max().map_or(0, |m| *m as usize + 1);
    let mut members = vec![vec![]; count];
    for (row, number) in numbers.iter().enumerate() {
        members[*number as usize].push(row as u32);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::fields;
    use crate::diag::Source;

    const ALL: Offers = Offers { test: true, columns: true };

    fn split(kind: Kind, fraction: f64) -> Validation {
        Validation::Split { kind, fraction, at: At::new(&Source::new("c.toml", "v"), 0..1) }
    }

    fn rows(validation: &Validation, n: usize, labels: Labels<'_>, seed: u64) -> (Vec<u32>, Vec<u32>) {
        let (train, held_out) = divide(validation, n, labels, seed).unwrap();
        let held_out = held_out.unwrap();
        let mut all: Vec<u32> = train.iter().chain(&held_out).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..n as u32).collect::<Vec<_>>());
        assert!(train.is_sorted() && held_out.is_sorted());
        (train, held_out)
    }

    #[test]
    fn tail_takes_the_last() {
        let (train, held_out) = rows(&split(Kind::Tail, 0.2), 10, Labels::default(), 1);
        assert_eq!((train.len(), held_out), (8, vec![8, 9]));
    }

    #[test]
    fn random_depends_on_the_seed_alone() {
        let random = split(Kind::Random, 0.3);
        let a = rows(&random, 100, Labels::default(), 1);
        assert_eq!(a, rows(&random, 100, Labels::default(), 1));
        assert_ne!(a, rows(&random, 100, Labels::default(), 2));
        assert_eq!(a.1.len(), 30);
        assert_eq!(a, rows(&split(Kind::Auto, 0.3), 100, Labels::default(), 1));
    }

    #[test]
    fn stratified_keeps_the_shares_and_never_takes_a_class_whole() {
        let classes: Vec<u32> = (0..101).map(|i| if i == 100 { 2 } else { u32::from(i % 4 == 0) }).collect();
        let labels = Labels { classes: Some(&classes), groups: None };
        let (_, held_out) = rows(&split(Kind::Auto, 0.2), 101, labels, 3);
        let count = |class| held_out.iter().filter(|r| classes[**r as usize] == class).count();
        assert_eq!((count(0), count(1), count(2)), (15, 5, 0));
    }

    #[test]
    fn the_total_is_right_when_no_share_is_whole() {
        let classes: Vec<u32> = (0..30).map(|i| i % 6).collect();
        let labels = Labels { classes: Some(&classes), groups: None };
        let (_, held_out) = rows(&split(Kind::Stratified, 0.3), 30, labels, 3);
        assert_eq!(held_out.len(), 9);
    }

    #[test]
    fn groups_stay_together() {
        let groups: Vec<u32> = (0..60).map(|i| i % 7).collect();
        let source = Source::new("c.toml", "v");
        let column = Named { name: "g".into(), at: At::new(&source, 0..1) };
        let labels = Labels { classes: None, groups: Some(&groups) };
        let (train, held_out) = rows(&split(Kind::Group { column }, 0.3), 60, labels, 3);
        assert!(train.iter().all(|t| held_out.iter().all(|v| groups[*t as usize] != groups[*v as usize])));
        let mut held: Vec<u32> = held_out.iter().map(|r| groups[*r as usize]).collect();
        held.sort_unstable();
        held.dedup();
        assert_eq!(held.len(), 2);
    }

    #[test]
    fn nothing_left_is_an_error() {
        let diag = divide(&split(Kind::Random, 0.01), 10, Labels::default(), 0).unwrap_err();
        assert!(diag.message.contains("10 samples to train and 0 to validate"), "{}", diag.message);
        assert!(divide(&split(Kind::Stratified, 0.2), 10, Labels::default(), 0).is_err());
    }

    #[test]
    fn the_key_in_all_its_forms() {
        let good = [
            "",
            "validation = false",
            "validation = \"test\"",
            "validation = 0.25",
            "validation = { type = \"tail\" }",
            "validation = { type = \"group\", fraction = 0.3, column = \"city\" }",
        ];
        for text in good {
            let (_, resolved, diags) = fields(text, |f| Validation::read(f, ALL));
            assert!(diags.is_empty(), "{text}: {diags:?}");
            assert_eq!(resolved.len(), 1, "{text}");
        }
        let bad = [
            ("validation = true", "expected \"test\", a fraction"),
            ("validation = \"tset\"", "found \"tset\""),
            ("validation = 1.5", "less than 1, got 1.5"),
            ("validation = 0", "must be more than 0"),
            ("validation = { type = \"tial\" }", "is not one of"),
            ("validation = { type = \"tail\", fracton = 0.2 }", "unknown key `fracton`"),
            ("validation = { type = \"group\" }", "needs `column`"),
        ];
        for (text, part) in bad {
            let (_, _, diags) = fields(text, |f| Validation::read(f, ALL));
            assert!(diags.iter().any(|d| d.message.contains(part)), "{text}: {diags:?}");
        }
        let none = Offers { test: false, columns: false };
        for text in ["validation = \"test\"", "validation = { type = \"group\", column = \"a\" }"] {
            let (_, _, diags) = fields(text, |f| Validation::read(f, none));
            assert_eq!(diags.len(), 1, "{text}: {diags:?}");
        }
    }
}
