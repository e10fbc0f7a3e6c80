//! Keras's default layer names: `conv2d`, `conv2d_1`, `max_pooling2d`, `re_lu`, ...

use crate::config::tree::Value;

/// The name by which layers refer to the dataset's input; no layer has it.
pub const INPUT: &str = "input";

/// Keras's `to_snake_case`: an underscore before a capital that starts a word of lower-case
/// letters, and between a lower-case letter and a capital.
pub fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let starts_word = c.is_uppercase() && chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        let after_lower = i > 0 && chars[i - 1].is_lowercase() && c.is_uppercase();
        if i > 0 && (starts_word || after_lower) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The first of `base`, `base_1`, `base_2`, ... that is free.
pub fn unique(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (1..).map(|i| format!("{base}_{i}"));
    let mut candidates = std::iter::once(base.to_string()).chain(numbered);
    candidates.find(|name| !taken(name)).expect("some number is free")
}

/// The name of each element of an array of layers: the one that is written, else the one it gets.
pub fn of_layers(items: &[Value]) -> Vec<String> {
    let written = |item: &Value, key: &str| Some(item.as_table()?.get(key)?.as_str()?.to_string());
    let given: Vec<String> = items.iter().filter_map(|i| written(i, "name")).collect();
    let mut names: Vec<String> = vec![];
    for item in items {
        let kind = || snake_case(&written(item, "type").unwrap_or_default());
        let taken = |n: &str| n == INPUT || given.iter().chain(&names).any(|other| other == n);
        let name = written(item, "name").unwrap_or_else(|| unique(&kind(), taken));
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keras_s() {
        for (class, name) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("BatchNormalization", "batch_normalization"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("ZeroPadding2D", "zero_padding2d"),
        ] {
            assert_eq!(snake_case(class), name);
        }
        assert_eq!(unique("dense", |n| ["dense", "dense_1"].contains(&n)), "dense_2");
    }
}
