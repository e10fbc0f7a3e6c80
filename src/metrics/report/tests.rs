use super::*;
use crate::data::preprocessing::ValueColumn;
use crate::metrics::TargetKind;
use crate::shape::Shape;

fn classes(names: &[&str]) -> TargetEncoding {
    let names = names.iter().map(|n| n.to_string()).collect();
    TargetEncoding::Classes { column: "y".into(), names, one_hot: false }
}

fn output(units: usize, targets: TargetKind) -> OutputKind {
    OutputKind { shape: Shape::batch([units]), targets, ignore: None }
}

fn class_index(classes: usize, units: usize) -> OutputKind {
    output(units, TargetKind::ClassIndex { classes })
}

fn one_hot(class: usize, classes: usize) -> Vec<f32> {
    (0..classes).map(|c| if c == class { 1.0 } else { 0.0 }).collect()
}

#[test]
fn three_classes() {
    // True a: 2 right, 1 taken for b. True b: 1 right. True c: taken for a; never predicted.
    let pairs = [(0, 0), (0, 0), (0, 1), (1, 1), (2, 0)];
    let y_true: Vec<f32> = pairs.iter().map(|(t, _)| *t as f32).collect();
    let y_pred: Vec<f32> = pairs.iter().flat_map(|(_, p)| one_hot(*p, 3)).collect();
    let mut report = Report::new(&classes(&["a", "b", "c"]), &class_index(3, 3));
    report.update(&y_true[..2], &y_pred[..6]);
    report.update(&y_true[2..], &y_pred[6..]);
    let json = report.json();
    assert_eq!(json["classes"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(json["confusion_matrix"], serde_json::json!([[2, 1, 0], [0, 1, 0], [1, 0, 0]]));
    let of = |key: &str, class: usize| json["per_class"][class][key].as_f64().unwrap();
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
    close(of("precision", 0), 2.0 / 3.0);
    close(of("recall", 0), 2.0 / 3.0);
    close(of("precision", 1), 0.5);
    close(of("f1_score", 1), 2.0 / 3.0);
    close(of("precision", 2) + of("recall", 2) + of("f1_score", 2), 0.0);
    close(json["macro_average"]["f1_score"].as_f64().unwrap(), 4.0 / 9.0);
    close(json["weighted_average"]["recall"].as_f64().unwrap(), 0.6);
    assert_eq!(json["weighted_average"]["support"], 5);
    assert!(!json.contains_key("binary"));
    let text = report.text();
    let expected = "                  precision  recall  f1_score  support
a                    0.6667  0.6667    0.6667        3
b                    0.5000  1.0000    0.6667        1
c                    0.0000  0.0000    0.0000        1
accuracy                               0.6000        5
macro average        0.3889  0.5556    0.4444        5
weighted average     0.5000  0.6000    0.5333        5

confusion matrix (rows: true, columns: predicted)
   a  b  c
a  2  1  0
b  0  1  0
c  1  0  0
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn one_hot_targets_are_the_same_as_class_numbers() {
    let y_pred = [0.2, 0.5, 0.3, 0.1, 0.2, 0.7];
    let mut numbers = Report::new(&classes(&["a", "b", "c"]), &class_index(3, 3));
    numbers.update(&[1.0, 0.0], &y_pred);
    let mut hot = Report::new(&classes(&["a", "b", "c"]), &output(3, TargetKind::OneHot { classes: 3 }));
    hot.update(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.0], &y_pred);
    assert_eq!(numbers.json(), hot.json());
}

#[test]
fn two_classes_with_ties_in_the_scores() {
    // Pairs of a positive above a negative: 0.9 > all 3, 0.4 > 0.1 and ties with 0.4, below 0.6.
    let (y_true, y_pred) = ([1.0, 0.0, 1.0, 0.0, 0.0], [0.9, 0.6, 0.4, 0.4, 0.1]);
    let mut report = Report::new(&classes(&["no", "yes"]), &class_index(2, 1));
    report.update(&y_true, &y_pred);
    let binary = report.json()["binary"].clone();
    for (key, expected) in [
        ("true_positives", 1.0),
        ("false_positives", 1.0),
        ("true_negatives", 2.0),
        ("false_negatives", 1.0),
        ("precision", 0.5),
        ("recall", 0.5),
        ("f1_score", 0.5),
        ("auc", 4.5 / 6.0),
    ] {
        assert_eq!(binary[key].as_f64(), Some(expected), "{key}");
    }
    assert_eq!(binary["positive_class"], "yes");
    // A softmax over two units says the same.
    let pairs: Vec<f32> = y_pred.iter().flat_map(|p| [1.0 - p, *p]).collect();
    let mut softmax = Report::new(&classes(&["no", "yes"]), &class_index(2, 2));
    softmax.update(&y_true, &pairs);
    assert_eq!(softmax.json()["binary"]["auc"].as_f64(), Some(4.5 / 6.0));
    assert!(report.text().contains("positive class: yes") && report.text().contains("auc"));
}

#[test]
fn one_class_only_has_no_area() {
    let mut report = Report::new(&classes(&["no", "yes"]), &class_index(2, 1));
    assert_eq!(report.json()["binary"]["auc"].as_f64(), Some(0.0));
    report.update(&[1.0], &[0.9]);
    assert_eq!(report.json()["binary"]["auc"].as_f64(), Some(0.0));
}

#[test]
fn values_are_in_the_targets_units() {
    let columns = vec![
        ValueColumn { name: "price".into(), offset: 100.0, scale: 10.0 },
        ValueColumn { name: "area".into(), offset: 0.0, scale: 1.0 },
    ];
    let mut report = Report::new(&TargetEncoding::Values { columns }, &output(2, TargetKind::Values));
    report.update(&[1.0, 5.0, -1.0, 5.0], &[0.5, 4.0, -1.0, 5.0]);
    let json = report.json();
    let of = |column: usize, key: &str| json["per_column"][column][key].as_f64().unwrap();
    assert_eq!(of(0, "mean_squared_error"), 12.5);
    assert_eq!(of(0, "root_mean_squared_error"), 12.5f64.sqrt());
    assert_eq!(of(0, "mean_absolute_error"), 2.5);
    assert_eq!(of(0, "r2_score"), 1.0 - 0.25 / 2.0);
    assert_eq!(of(1, "r2_score"), 0.0);
    let text = report.text();
    assert!(text.contains("price  12.5000  3.5355  2.5000  0.8750"), "\n{text}");
}

#[test]
fn ten_long_names_fit_eighty_columns_and_forty_become_mistakes() {
    let names: Vec<String> = (0..10).map(|c| format!("automobile number {c}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut report = Report::new(&classes(&names), &class_index(10, 10));
    (0..1000).for_each(|i| report.update(&[(i % 10) as f32], &one_hot(i % 7, 10)));
    let text = report.text();
    assert!(text.contains("confusion matrix"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "\n{text}");

    let names: Vec<String> = (0..40).map(|c| format!("class {c}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut report = Report::new(&classes(&names), &class_index(40, 40));
    (0..3).for_each(|_| report.update(&[7.0], &one_hot(9, 40)));
    report.update(&[1.0, 2.0], &[one_hot(1, 40), one_hot(3, 40)].concat());
    let text = report.text();
    let mistakes = text.split("most frequent mistakes\n").nth(1).unwrap();
    assert_eq!(mistakes, "true     predicted  count\nclass 7    class 9      3\nclass 2    class 3      1\n");
}
