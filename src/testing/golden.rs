//! Reference values made by Keras: `tests/golden/*.json`, made by `tests/golden/make.py`.

use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

pub fn load(file: &str) -> Value {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

pub fn cases(file: &Value) -> &[Value] {
    file["cases"].as_array().expect("a file of reference values has cases")
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("`{key}` is a string in {value}"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array of numbers").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// `{"shape": [...], "data": [...]}`.
pub fn tensor(value: &Value) -> ArrayD<f64> {
    let shape: Vec<usize> = numbers(&value["shape"]).iter().map(|v| *v as usize).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), numbers(&value["data"])).expect("data fills the shape")
}

/// Relative to the larger of 1 and the reference value.
pub fn close(ours: f64, reference: f64, tolerance: f64, what: &str) {
    let error = (ours - reference).abs() / reference.abs().max(1.0);
    assert!(error <= tolerance, "{what}: {ours} for {reference}, error {error:.2e}");
}

pub fn all_close(ours: &[f64], reference: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), reference.len(), "{what}: number of values");
    for (i, (o, r)) in ours.iter().zip(reference).enumerate() {
        close(*o, *r, tolerance, &format!("{what} [{i}]"));
    }
}
