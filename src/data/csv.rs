//! `csv`: a table in a text file of your own.
//!
//! ```toml
//! [dataset]
//! type = "csv"
//! train = "../data/houses.csv"
//! target = "price"
//! normalize_target = "standard"
//! validation = 0.2
//! ```
//!
//! A feature column whose cells are mostly texts is categorical (one-hot, with a last slot for what
//! training never saw); in one of mostly numbers, a text is a mistake. The same rule makes a target
//! a class or a value; numbers are values, `0`/`1` too, unless `task = "classification"`. Several targets are
//! one output if all are values, else one each: `target = ["digit", "result"]`,
//! `task = { digit = "classification" }`.
//! The columns of `sample_weight` and of a group split are no features unless `features` lists them.

use std::path::{Path, PathBuf};

use crate::config::fields::Fields;
use crate::config::read::FilePath;
use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::labelled;
use crate::data::preprocessing::Preprocessing;
use crate::data::source::Source;
use crate::data::split::Offers;
use crate::data::table::keys::{Missing, Normalize, Tasks, column_name, column_names};
use crate::data::table::{Format, TableSpec};
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::{Diag, Result};

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "csv",
    aliases: &[],
    about: "A table in a CSV file: numbers, categories, missing values; classes or values to predict",
    parse: |f| Box::new(Csv(read(f))),
};

#[derive(Debug)]
struct Csv(TableSpec);

impl DatasetSpec for Csv {
    fn has_validation(&self) -> bool {
        self.0.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        self.0.load(cx)
    }

    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        labelled::load(path, fitted, self.0.sample_weight.as_ref().map(|w| w.name.as_str()))
    }
}

fn read(f: &mut Fields<'_>) -> TableSpec {
    let FilePath(train) = f.key("train").required();
    let train = Source::File { path: PathBuf::from(train), at: f.place("train") };
    let test: Option<FilePath> = f.key("test").optional();
    let test = test.map(|FilePath(path)| Source::File { path: PathBuf::from(path), at: f.place("test") });
    let target = column_names(f, "target", 1).unwrap_or_default();
    if !f.has("target") {
        let diag = Diag::new("a csv dataset needs `target`: the column to predict");
        f.push(diag.at(&f.place("type")));
    }
    TableSpec {
        train,
        features: column_names(f, "features", 1),
        in_time: false,
        drop: column_names(f, "drop", 0).unwrap_or_default(),
        categorical: column_names(f, "categorical", 0).unwrap_or_default(),
        sample_weight: column_name(f, "sample_weight"),
        format: Format {
            header: f.key("header").or(true),
            delimiter: delimiter(f),
            missing_values: f.key("missing_values").or(["", "?", "NA"].map(String::from).to_vec()),
        },
        missing: f.key("missing").or(Missing::Error),
        normalize: f.key("normalize").or(Normalize::Standard),
        normalize_target: f.key("normalize_target").or(Normalize::None),
        task: Tasks::read(f, &target),
        label_mode: f.key("label_mode").or(LabelMode::Int),
        common: Common::read(f, Offers { test: test.is_some(), columns: true }),
        test,
        target,
    }
}

/// The key `delimiter`.
pub fn delimiter(f: &mut Fields<'_>) -> u8 {
    let delimiter: String = f.key("delimiter").or(",".to_string());
    match delimiter.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
        _ => {
            let message = format!("must be one ASCII character, got {delimiter:?}");
            f.error("delimiter", message, Some("for tabs: delimiter = \"\\t\"".to_string()));
            b','
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::preprocessing::{ColumnEncoding, InputEncoding, TargetEncoding};
    use crate::data::rows::InputRows;
    use crate::data::testing::{Folder, dataset};
    use crate::diag::Failure;
    use crate::kernels::par::Pool;

    /// Loads `train` with more keys.
    fn load(train: &str, keys: &str) -> Result<Dataset> {
        load_both(train, None, keys)
    }

    fn load_both(train: &str, test: Option<&str>, keys: &str) -> Result<Dataset> {
        let folder = Folder::new();
        folder.write("t.csv", train);
        let mut all = "type = \"csv\", train = \"t.csv\"".to_string();
        if let Some(test) = test {
            folder.write("u.csv", test);
            all += ", test = \"u.csv\"";
        }
        let spec = dataset(&format!("{all}, {keys}")).map_err(Failure::Input)?;
        spec.load(&folder.context())
    }

    fn row(part: &Part, position: usize) -> (Vec<f32>, Vec<f32>, f32) {
        let table = &part.table;
        let (mut input, mut target) = (vec![0.0; table.inputs.width()], vec![0.0; table.targets.width()]);
        let mut weight = [0.0];
        part.gather(&Pool::new(1), &[position as u32], &mut input, &mut target, &mut weight);
        (input, target, weight[0])
    }

    const HOUSES: &str =
        "size,age,city,price\n100,5,Bonn,200\n120,10,Ulm,220\n80,15,Bonn,170\n150,2,Jena,280\n";

    #[test]
    fn numbers_categories_and_a_value() {
        let data =
            load(HOUSES, "target = \"price\", normalize = \"minmax\", normalize_target = \"standard\"")
                .unwrap();
        assert_eq!(data.input_shape.dims, [6]);
        let (input, target, weight) = row(&data.train, 1);
        assert_eq!(input, [4.0 / 7.0, 8.0 / 13.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(weight, 1.0);
        let TargetEncoding::Values { columns } = &data.preprocessing.target else { panic!() };
        assert!((columns[0].decode(target[0]) - 220.0).abs() < 1e-4);
        assert_eq!((columns[0].offset, columns[0].name.as_str()), (217.5, "price"));
    }

    #[test]
    fn features_drop_weights_and_a_list_of_targets() {
        let keys = "target = [\"price\", \"age\"], drop = [\"city\"], normalize = \"none\"";
        let data = load(HOUSES, keys).unwrap();
        assert_eq!(row(&data.train, 0), (vec![100.0], vec![200.0, 5.0], 1.0));
        let keys = "target = \"price\", features = [\"age\", \"size\"], sample_weight = \"size\"";
        let diags = load(HOUSES, keys).unwrap_err();
        assert!(diags.diags()[0].message.contains("is a feature and also the sample weight"));
        let keys = "target = \"price\", features = [\"age\"], sample_weight = \"size\", normalize = \"none\"";
        assert_eq!(row(&load(HOUSES, keys).unwrap().train, 3), (vec![2.0], vec![280.0], 150.0));
    }

    #[test]
    fn text_targets_are_classes_and_numbers_only_on_request() {
        let text = "x,y\n1,no\n2,yes\n3,no\n";
        let data = load(text, "target = \"y\", label_mode = \"categorical\"").unwrap();
        assert_eq!(data.preprocessing.classes().unwrap(), ["no", "yes"]);
        assert_eq!(row(&data.train, 1).1, [0.0, 1.0]);
        let text = "x,y\n1,10\n2,9\n3,10\n";
        let data = load(text, "target = \"y\"").unwrap();
        assert!(data.preprocessing.classes().is_none());
        assert!(data.notes.iter().any(|n| n.contains("task = \"classification\"")), "{:?}", data.notes);
        let data = load(text, "target = \"y\", task = \"classification\"").unwrap();
        assert_eq!(data.preprocessing.classes().unwrap(), ["9", "10"]);
        assert_eq!(row(&data.train, 1).1, [0.0]);
    }

    #[test]
    fn no_header_quotes_crlf_bom_and_a_delimiter() {
        let text = "\u{feff}1;\"a;b\";5\r\n2; c ;6\r\n";
        let keys = "target = 2, header = false, delimiter = \";\", normalize = \"none\", categorical = [1]";
        let data = load(text, keys).unwrap();
        assert_eq!(row(&data.train, 0), (vec![1.0, 1.0, 0.0, 0.0], vec![5.0], 1.0));
        let InputEncoding::Columns { columns, delimiter, header, .. } = &data.preprocessing.input else {
            panic!()
        };
        assert_eq!((columns[1].name.as_str(), *delimiter, *header), ("1", ';', false));
        let ColumnEncoding::Category { categories, .. } = &columns[1].encoding else { panic!() };
        assert_eq!(categories, &["a;b", "c"]);
    }

    #[test]
    fn missing_cells() {
        let text = "x,c,y\n1,a,1\n,b,2\n4,?,3\n1,a,4\n";
        let failure = load(text, "target = \"y\"").unwrap_err();
        let places: Vec<String> =
            failure.diags().iter().map(|d| d.at.as_ref().unwrap().to_string()).collect();
        assert!(places[0].ends_with("t.csv:3:1") && places[1].ends_with("t.csv:4:3"), "{places:?}");
        assert!(failure.diags()[0].hint.as_ref().unwrap().contains("missing = \"mean\""));
        let data = load(text, "target = \"y\", missing = \"mean\", normalize = \"none\"").unwrap();
        assert_eq!(row(&data.train, 1).0, [2.0, 0.0, 1.0, 0.0]);
        assert_eq!(row(&data.train, 2).0, [4.0, 1.0, 0.0, 0.0]);
        assert!(data.notes[0].contains("1 missing cells were filled with 2"), "{:?}", data.notes);
        let data = load(text, "target = \"y\", missing = \"drop_row\", normalize = \"none\"").unwrap();
        assert_eq!((data.train.len(), row(&data.train, 1).1[0]), (2, 4.0));
        assert!(data.notes[0].contains("2 rows with missing cells were left out"), "{:?}", data.notes);
        let failure = load("x,y\n1,\n2,3\n", "target = \"y\", missing = \"mean\"").unwrap_err();
        assert!(failure.diags()[0].hint.as_ref().unwrap().contains("\"drop_row\""));
    }

    #[test]
    fn the_test_file_sees_what_training_fitted() {
        let test = "city,price,age,size\nKiel,1,5,90\n";
        let keys = "target = \"price\", normalize = \"minmax\", validation = \"test\"";
        let data = load_both(HOUSES, Some(test), keys).unwrap();
        let (validation, test) = (data.validation.unwrap(), data.test.unwrap());
        assert_eq!(row(&test, 0).0, [1.0 / 7.0, 3.0 / 13.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(validation.len(), 1);
        assert!(
            data.notes.iter().any(|n| n.starts_with("test: 1 cells hold categories")),
            "{:?}",
            data.notes
        );
        let failure = load_both("x,y\n1,a\n2,b\n", Some("x,y\n1,a\n2,c\n"), "target = \"y\"").unwrap_err();
        let diag = &failure.diags()[0];
        assert!(diag.message.contains("`c` in column `y` is no class"), "{diag}");
        assert!(diag.at.as_ref().unwrap().to_string().ends_with("u.csv:3:3"), "{diag}");
        let failure = load_both("x,z,y\n1,2,3\n2,1,3\n", Some("x,y\n1,1\n"), "target = \"y\"").unwrap_err();
        assert!(failure.diags()[0].message.contains("no column `z`"));
    }

    #[test]
    fn a_group_split_keeps_groups_and_their_column_is_no_feature() {
        let text: String = (0..12).map(|i| format!("{i},g{},{}\n", i % 4, i * 2)).collect();
        let keys = "target = \"y\", validation = { type = \"group\", fraction = 0.25, column = \"g\" }";
        let data = load(&format!("x,g,y\n{text}"), keys).unwrap();
        let rows = data.validation.unwrap().rows;
        assert_eq!((data.input_shape.dims, rows.len()), (vec![1], 3));
        assert!(rows.iter().all(|r| r % 4 == rows[0] % 4));
    }

    #[test]
    fn mistakes_name_the_cell() {
        let good = "target = \"y\"";
        for (text, keys, place, part) in [
            ("", good, "t.csv:1:1", "is empty"),
            ("x,y\n", good, "t.csv:1:1", "has a header and no rows"),
            ("x,y\n1,2\n1,2,3\n", good, "t.csv:3:5", "this row has 3 cells, the header has 2"),
            ("x,y\n1,2\n1\n", good, "t.csv:3:1", "this row has 1 cells"),
            ("x,y\n1,2\n2,2\n a1 ,2\n", good, "t.csv:4:2", "`a1` is no number"),
            ("x,y\n1,2\n2,2\ninf,2\n", good, "t.csv:4:1", "not a finite number"),
            ("x,y\n1,2\n2,NaN\n", good, "t.csv:3:3", "not a finite number"),
            ("x,x,y\n1,2,3\n", good, "t.csv:1:3", "two columns have the name `x`"),
            ("x,y\n1,2\n1,3\n", good, "t.csv:1:1", "is 1 in every training row: normalize = \"standard\""),
            ("x,y\n1,a\n2,a\n", good, "t.csv:1:3", "has only one class: `a`"),
            ("x,y\n1,\n2,\n", good, "t.csv:1:3", "column `y` has no values"),
            (
                "x,y\n1,1\n2,1.0\n",
                "target = \"y\", task = \"classification\"",
                "t.csv:1:3",
                "the same number",
            ),
            ("x,w,y\n1,-1,1\n2,1,1\n", "target = \"y\", sample_weight = \"w\"", "t.csv:2:3", "is negative"),
            ("x,y\n1,2\n", "target = \"Y\"", "config.toml:1:", "there is no column `Y`"),
            ("1,2\n1,2\n", good, "config.toml:1:", "there is no column `y`"),
            ("x,y\n1,2\n", "target = \"y\", features = [\"x\", \"y\"]", "config.toml:1:", "also a target"),
            ("x,y\n1,2\n", "target = \"y\", drop = [\"x\"]", "t.csv:1:1", "no column is left"),
            ("x,y\n1,2\n", "target = \"y\", categorical = [\"y\"]", "config.toml:1:", "but no feature"),
            (
                "x,y\n1,2\n2,3\n",
                "target = \"y\", label_mode = \"categorical\"",
                "config.toml:1:",
                "with classes",
            ),
        ] {
            let failure = load(text, keys).expect_err(part);
            let diag = &failure.diags()[0];
            assert!(diag.message.contains(part), "{text:?} {keys}:\n{diag}");
            assert!(diag.at.as_ref().unwrap().to_string().contains(place), "{text:?} {keys}:\n{diag}");
        }
    }

    #[test]
    fn mistakes_of_all_kinds_come_together() {
        let text = "x,c,y\n1,a,2\n1,2\nb,,3\n4,a,5\n";
        let failure = load(text, "target = \"y\"").unwrap_err();
        let places: Vec<String> =
            failure.diags().iter().map(|d| d.at.as_ref().unwrap().to_string()).collect();
        let ends: Vec<&str> = places.iter().map(|p| p.rsplit_once("t.csv:").unwrap().1).collect();
        assert_eq!(ends, ["3:1", "4:1", "4:3"]);
        let failure = load(text, "target = \"y\", drop = [\"d\"]").unwrap_err();
        assert_eq!(failure.diags().len(), 2);
        let failure = load("x,y\n,1\n,2,3\n", "target = \"y\"").unwrap_err();
        assert!(failure.diags()[1].message.contains("column `x` has no values"), "{:?}", failure.diags());
    }

    #[test]
    fn many_mistakes_are_found_in_one_go() {
        let rows: String = (0..30).map(|i| if i % 2 == 0 { "1,2\n" } else { "a,\n" }).collect();
        let failure = load(&format!("x,y\n{rows}"), "target = \"y\"").unwrap_err();
        assert_eq!(failure.diags().len(), 21);
        assert_eq!(failure.diags()[20].message, "and 10 more mistakes in the data");
    }

    #[test]
    fn keys_are_checked() {
        for (keys, part) in [
            ("target = \"y\"", "needs `train`"),
            ("train = \"t.csv\"", "needs `target`"),
            ("train = \"t.csv\", target = []", "names no column"),
            ("train = \"t.csv\", target = -1", "expected column names"),
            ("train = \"t.csv\", target = 1, sample_weight = [1, 2]", "expected one column, found 2"),
            (
                "train = \"t.csv\", target = 1, validation = { type = \"group\", column = [] }",
                "names no column",
            ),
            ("train = \"t.csv\", target = 1, delimiter = \"--\"", "one ASCII character"),
            ("train = \"t.csv\", target = 1, missing = \"zero\"", "is not one of"),
            ("train = \"t.csv\", target = 1, validation = \"test\"", "no test part"),
            ("train = \"t.csv\", target = 1, limit = 0", "at least 1"),
        ] {
            let diags = dataset(&format!("type = \"csv\", {keys}")).unwrap_err();
            assert!(diags.len() == 1 && diags[0].message.contains(part), "{keys}: {diags:?}");
        }
        let failure = dataset("type = \"csv\", train = \"no.csv\", target = \"y\"").unwrap();
        let failure = failure.load(&Folder::new().context()).unwrap_err();
        let diag = &failure.diags()[0];
        assert!(diag.message.contains("no.csv") && diag.at.is_some(), "{diag}");
    }

    /// Training and prediction must give the network the same bits.
    #[test]
    fn predicting_encodes_as_training_did() {
        let folder = Folder::new();
        let text = "x,c,y,z\n1.1,a,1,1e9\n,b,2,1000000001\n4e-3,?,3,1000000007\n-7,a,4,1000000003\n";
        let path = folder.write("t.csv", text);
        let keys = "type = \"csv\", train = \"t.csv\", target = \"y\", missing = \"median\"";
        let spec = dataset(keys).unwrap();
        let data = spec.load(&folder.context()).unwrap();
        let mut rows = InputRows::open(&path, &data.preprocessing.input).unwrap();
        let mut out = vec![0.0; rows.width()];
        for position in 0..4 {
            assert!(rows.next(&mut out).unwrap());
            let trained = row(&data.train, position).0;
            assert!(out.iter().zip(&trained).all(|(a, b)| a.to_bits() == b.to_bits()), "{out:?} {trained:?}");
        }
        assert!(!rows.next(&mut out).unwrap());
        let other = spec.load_other(&path, &data.preprocessing).unwrap();
        for position in 0..4 {
            assert_eq!(row(&other, position), row(&data.train, position));
        }
    }

    #[test]
    fn a_limit_keeps_the_first_rows_and_all_class_names() {
        let text = "x,g,y\n1,p,b\n2,q,b\n3,r,a\n4,p,c\n";
        let data = load(text, "target = \"y\", limit = 2, drop = \"g\"").unwrap();
        assert_eq!((data.train.len(), data.train.table.inputs.len()), (2, 2));
        assert_eq!(data.preprocessing.classes().unwrap(), ["a", "b", "c"]);
        // The test file needs no group column.
        let keys = "target = \"y\", validation = { type = \"group\", column = \"g\" }";
        let data = load_both(text, Some("x,y\n1,a\n"), keys).unwrap();
        assert_eq!(data.test.unwrap().len(), 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_parts_and_fingerprint() {
        let a = load(HOUSES, "target = \"price\", validation = 0.5, drop = \"city\"").unwrap();
        let b = load(HOUSES, "target = \"price\", validation = 0.5, drop = \"city\"").unwrap();
        assert_eq!((a.train.rows, a.fingerprint.len()), (b.train.rows, 64));
        assert_eq!(a.fingerprint, b.fingerprint);
    }
}
