//! Targets of a table: the classes of each, what is fitted on the training part, and the rows of numbers.
//!
//! Columns that all hold values are one target. Where one holds classes, or `task` is a table, each column is a
//! target of its own, called as the column is.

use crate::data::common::{LabelMode, class_counts, side_by_side};
use crate::data::mistakes::Mistakes;
use crate::data::preprocessing::{NamedTarget, Preprocessing, TargetEncoding, TargetPart, ValueColumn};
use crate::data::records::Header;
use crate::data::table::keys::Tasks;
use crate::data::table::layout::{Kind, Layout, Role, Used};
use crate::data::table::read::Columns;
use crate::data::table::{Loaded, TableSpec, cannot_fit, classes, encode, fit};
use crate::data::{Part, Rows};
use crate::diag::{Diag, Result};

/// A target that is a class.
#[derive(Clone, Debug)]
pub struct ClassTarget {
    pub column: String,
    /// In class order.
    pub names: Vec<String>,
    /// Its position in [`Layout::used`].
    position: usize,
}

impl ClassTarget {
    /// The class number of each row.
    pub fn numbers(&self, columns: &Columns) -> Vec<u32> {
        classes::numbers(columns.columns[self.position].texts(), &self.names)
    }
}

/// The targets that are classes; those of which none can be told from another are all reported.
pub fn classes(layout: &Layout, columns: &Columns, header: &Header) -> Result<Vec<ClassTarget>> {
    let (mut found, mut mistakes) = (vec![], Mistakes::default());
    for position in layout.with_role(Role::Target).filter(|i| layout.used[*i].kind == Kind::Text) {
        let used = &layout.used[position];
        match classes::names(columns, position, used, header) {
            Ok(names) => found.push(ClassTarget { column: used.name.clone(), names, position }),
            Err(diag) => mistakes.push(diag),
        }
    }
    mistakes.finish()?;
    Ok(found)
}

impl TableSpec {
    /// Fits the targets on the training rows; those that cannot be fitted are all reported.
    pub(super) fn targets(
        &self,
        layout: &Layout,
        train: &Loaded,
        rows: &[u32],
        classes: &[ClassTarget],
    ) -> Result<TargetEncoding> {
        let (mut parts, mut mistakes) = (vec![], Mistakes::default());
        for position in layout.with_role(Role::Target) {
            let used = &layout.used[position];
            let class = classes.iter().find(|class| class.position == position);
            let encoding = match class {
                Some(ClassTarget { column, names, .. }) => Ok(TargetEncoding::Classes {
                    column: column.clone(),
                    names: names.clone(),
                    one_hot: self.label_mode == LabelMode::Categorical,
                }),
                None => self.value(used, position, train, rows),
            };
            match encoding {
                Ok(encoding) => parts.push(NamedTarget { name: used.name.clone(), encoding }),
                Err(diag) => mistakes.push(diag),
            }
        }
        if self.label_mode == LabelMode::Categorical && classes.is_empty() {
            let diag = Diag::new("label_mode = \"categorical\" needs a target with classes");
            let way = layout.classification(&self.target[0].name);
            let diag = diag.at(&self.target[0].at);
            mistakes.push(diag.hint(format!("this target holds numbers; {way} makes them classes")));
        }
        mistakes.finish()?;
        let each = parts.len() > 1 && (!classes.is_empty() || matches!(self.task, Tasks::Each(_)));
        Ok(if each { TargetEncoding::Several { parts } } else { together(parts) })
    }

    fn value(
        &self,
        used: &Used,
        position: usize,
        train: &Loaded,
        rows: &[u32],
    ) -> Result<TargetEncoding, Diag> {
        let numbers = train.columns.columns[position].numbers();
        let column = fit::value(&used.name, numbers, rows, self.normalize_target).map_err(|unfit| {
            let key = if self.in_time { "normalize" } else { "normalize_target" };
            let diag = cannot_fit(unfit, &used.name, key, self.normalize_target);
            let diag = diag.at(&train.scan.header.at(used.column));
            diag.hint("a target that never changes cannot be learnt")
        })?;
        Ok(TargetEncoding::Values { columns: vec![column] })
    }
}

/// The only target, or columns of values as one.
fn together(mut parts: Vec<NamedTarget>) -> TargetEncoding {
    if parts.len() == 1 {
        return parts.remove(0).encoding;
    }
    let columns = |part: NamedTarget| -> Vec<ValueColumn> {
        match part.encoding {
            TargetEncoding::Values { columns } => columns,
            _ => unreachable!("classes are targets of their own"),
        }
    };
    TargetEncoding::Values { columns: parts.into_iter().flat_map(columns).collect() }
}

/// The targets of all rows.
pub fn rows(target: &TargetEncoding, columns: &Columns, layout: &Layout, mode: LabelMode) -> Rows {
    let positions: Vec<usize> = layout.with_role(Role::Target).collect();
    let TargetEncoding::Several { parts } = target else { return part(target, columns, &positions, mode) };
    let part = |(of, position): (&NamedTarget, &usize)| part(&of.encoding, columns, &[*position], mode);
    side_by_side(&parts.iter().zip(&positions).map(part).collect::<Vec<Rows>>())
}

fn part(target: &TargetEncoding, columns: &Columns, positions: &[usize], mode: LabelMode) -> Rows {
    match target {
        TargetEncoding::Classes { names, .. } => {
            let classes = classes::numbers(columns.columns[positions[0]].texts(), names);
            mode.targets(classes.into_iter(), names.len())
        }
        TargetEncoding::Values { columns: fitted } => encode::values(columns, positions, fitted),
        _ => unreachable!("a column holds classes or values"),
    }
}

/// How many samples a part has, and how many of each class of the first target that is one.
pub fn part_note(name: &str, part: &Part, preprocessing: &Preprocessing) -> String {
    let parts = preprocessing.parts();
    let class = parts.iter().find_map(|part| match part.encoding {
        TargetEncoding::Classes { names, .. } => Some((part, names)),
        _ => None,
    });
    let Some((TargetPart { name: of, range, .. }, names)) = class else {
        return format!("{name}: {} samples", part.len());
    };
    let mut row = vec![0.0; part.table.targets.width()];
    let classes = part.rows.iter().map(|r| {
        part.table.targets.copy_row(*r as usize, &mut row);
        match &row[range.clone()] {
            [number] => *number as u32,
            one_hot => {
                one_hot.iter().position(|v| *v == 1.0).expect("one entry of a one-hot row is 1") as u32
            }
        }
    });
    let name = of.map_or(name.to_string(), |of| format!("{name}, by `{of}`"));
    class_counts(&name, classes, names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;

    /// Loads a CSV with more keys, and another by `eval --data` with what was fitted on the first.
    fn load_both(text: &str, other: &str, keys: &str) -> Result<(Dataset, Part)> {
        let folder = Folder::new();
        folder.write("t.csv", text);
        let keys = format!("type = \"csv\", train = \"t.csv\", {keys}");
        let spec = dataset(&keys).map_err(Failure::Input)?;
        let data = spec.load(&folder.context())?;
        let other = spec.load_other(&folder.write("u.csv", other), &data.preprocessing)?;
        Ok((data, other))
    }

    fn load(text: &str, keys: &str) -> Result<Dataset> {
        load_both(text, text, keys).map(|(data, _)| data)
    }

    fn targets(part: &Part) -> Vec<Vec<f32>> {
        let target = |row: &u32| {
            let mut out = vec![0.0; part.table.targets.width()];
            part.table.targets.copy_row(*row as usize, &mut out);
            out
        };
        part.rows.iter().map(target).collect()
    }

    fn parts(data: &Dataset) -> Vec<(&str, std::ops::Range<usize>)> {
        data.preprocessing.parts().into_iter().map(|p| (p.name.unwrap_or("-"), p.range)).collect()
    }

    const SUMS: &str = "x,digit,kind,result,w\n1,3,b,10,1\n2,7,a,20,2\n3,3,b,30,3\n4,9,a,40,4\n";
    const TARGET: &str = "target = [\"digit\", \"result\", \"kind\"], sample_weight = \"w\"";

    #[test]
    fn each_column_is_a_target_where_one_is_a_class() {
        let keys = format!("{TARGET}, normalize_target = \"minmax\"");
        let (data, other) = load_both(SUMS, "kind,digit,result,x\na,5,25,1\n", &keys).unwrap();
        assert_eq!(parts(&data), [("digit", 0..1), ("result", 1..2), ("kind", 2..3)]);
        let thirds = [0.0f32, (1.0f64 / 3.0) as f32, (2.0f64 / 3.0) as f32, 1.0];
        let digit = [0.0, (4.0f64 / 6.0) as f32, 0.0, 1.0];
        let expected: Vec<Vec<f32>> =
            (0..4).map(|i| vec![digit[i], thirds[i], [1.0, 0.0, 1.0, 0.0][i]]).collect();
        assert_eq!(targets(&data.train), expected);
        assert_eq!(targets(&other), [[(2.0f64 / 6.0) as f32, 0.5, 0.0]]);
        assert_eq!(data.train.table.weights.as_ref().unwrap(), &[1.0, 2.0, 3.0, 4.0]);
        let told = |part: &str| data.notes.iter().any(|note| note.contains(part));
        assert!(told("task = { digit = \"classification\" } makes them classes"), "{:?}", data.notes);
        assert!(told("training, by `kind`: 4 samples (a 2, b 2)"), "{:?}", data.notes);
    }

    #[test]
    fn task_says_which_numbers_are_classes() {
        let keys = format!("{TARGET}, label_mode = \"categorical\", task = {{ digit = \"classification\" }}");
        let (data, other) = load_both(SUMS, SUMS, &keys).unwrap();
        assert_eq!(parts(&data), [("digit", 0..3), ("result", 3..4), ("kind", 4..6)]);
        assert_eq!(targets(&data.train)[1], [0.0, 1.0, 0.0, 20.0, 1.0, 0.0]);
        assert_eq!(targets(&data.train), targets(&other));
        assert!(!data.notes.iter().any(|note| note.contains("`digit` holds")), "{:?}", data.notes);
    }

    #[test]
    fn numbers_alone_are_one_target_unless_task_is_a_table() {
        let target = "target = [\"digit\", \"result\"], features = [\"x\"]";
        assert_eq!(parts(&load(SUMS, target).unwrap()), [("-", 0..2)]);
        let one_word = format!("{target}, task = \"regression\"");
        assert_eq!(parts(&load(SUMS, &one_word).unwrap()), [("-", 0..2)]);
        let each = format!("{target}, task = {{ result = \"regression\" }}");
        assert_eq!(parts(&load(SUMS, &each).unwrap()), [("digit", 0..1), ("result", 1..2)]);
        let all = format!("{target}, task = \"classification\"");
        let data = load(SUMS, &all).unwrap();
        assert_eq!(
            (parts(&data), targets(&data.train)[3].clone()),
            (vec![("digit", 0..1), ("result", 1..2)], vec![2.0, 3.0])
        );
        // A single target has no name, however its task is written.
        let keys = "target = [\"digit\"], features = [\"x\"], task = { digit = \"classification\" }";
        let data = load(SUMS, keys).unwrap();
        assert_eq!(data.preprocessing.classes().unwrap(), ["3", "7", "9"]);
    }

    #[test]
    fn parts_are_stratified_by_the_first_class() {
        let rows: String = (0..40).map(|i| format!("{i},{},{}\n", i % 7, ["a", "b"][i / 4 % 2])).collect();
        let keys = "target = [\"n\", \"kind\"], validation = { type = \"stratified\", fraction = 0.2 }";
        let data = load(&format!("x,n,kind\n{rows}"), keys).unwrap();
        let held_out = data.validation.as_ref().unwrap();
        let of_b = targets(held_out).iter().filter(|row| row[1] == 1.0).count();
        assert_eq!((held_out.len(), of_b), (8, 4));
        let keys = "target = [\"n\", \"x\"], features = [\"kind\"], task = { n = \"regression\" }, \
                    validation = { type = \"stratified\" }";
        let failure = load(&format!("x,n,kind\n{rows}"), keys).unwrap_err();
        assert!(failure.diags()[0].message.contains("needs a target with classes"), "{:?}", failure.diags());
    }

    #[test]
    fn without_a_header_targets_go_by_number() {
        let keys = "target = [1, 2], header = false, task = { 1 = \"classification\" }";
        let data = load("1,5,10\n2,6,20\n3,5,30\n", keys).unwrap();
        assert_eq!(parts(&data), [("1", 0..1), ("2", 1..2)]);
        assert_eq!(targets(&data.train)[2], [0.0, 30.0]);
    }

    #[test]
    fn mistakes_have_their_places_and_hints() {
        let good = "x,a,b\n1,p,3\n2,q,4\n";
        for (text, keys, place, part, hint) in [
            (good, "task = { c = \"regression\" }", "config.toml:1:", "`c`, which is no target", ""),
            (good, "task = { A = \"regression\" }", "config.toml:1:", "`A`, which is no target", "`a`"),
            (
                good,
                "task = { b = \"number\" }",
                "config.toml:1:",
                "`task` of `b`: `number` is not one of",
                "",
            ),
            (good, "task = 3", "config.toml:1:", "expected one of \"classification\"", ""),
            ("x,a,b\n1,p,3\n2,p,4\n", "limit = 2", "t.csv:1:3", "has only one class: `p`", "tell apart"),
            (
                "x,a,b\n1,p,3\n2,q,3\n",
                "normalize_target = \"standard\"",
                "t.csv:1:5",
                "column `b` is 3 in every training row",
                "never changes",
            ),
            (
                "x,a,b\n1,p,3\n2,q,4\n3,p,5\n4,q,one\n",
                "limit = 2",
                "t.csv:5:5",
                "`one` is no number",
                "task = { b = \"classification\" }",
            ),
        ] {
            let failure = load(text, &format!("target = [\"a\", \"b\"], {keys}")).expect_err(part);
            let diag = &failure.diags()[0];
            assert!(failure.diags().len() == 1 && diag.message.contains(part), "{keys}:\n{diag}");
            assert!(diag.at.as_ref().unwrap().to_string().contains(place), "{keys}:\n{diag}");
            assert!(diag.hint.as_deref().unwrap_or_default().contains(hint), "{keys}:\n{diag}");
        }
    }

    #[test]
    fn another_file_needs_every_target_and_known_classes() {
        let keys = "target = [\"kind\", \"result\"], drop = [\"w\", \"digit\"]";
        for (other, place, part) in [
            ("x,Kind\n1,a\n", "u.csv:1:1", &["column `kind` is missing", "column `result` is missing"][..]),
            ("x,kind,result\n1,c,1\n2,a,b\n", "u.csv:2:3", &["`c` in column `kind`", "found `b`"]),
        ] {
            let failure = load_both(SUMS, other, keys).expect_err("it is refused");
            let diags = failure.diags();
            assert_eq!(diags.len(), part.len(), "{diags:?}");
            assert!(diags.iter().zip(part).all(|(diag, part)| diag.message.contains(part)), "{diags:?}");
            assert!(diags[0].at.as_ref().unwrap().to_string().ends_with(place), "{diags:?}");
        }
    }
}
