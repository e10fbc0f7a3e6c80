//! The house rules that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules in the order in which they may import: each only those before it. Modules of one line
/// may not import each other.
const RANKS: &[&[&str]] = &[
    &["bits", "diag", "rng"],
    &["files"],
    &["config"],
    &["shape"],
    &["kernels", "target"],
    &["graph"],
    &["ops", "compile", "initializers", "regularizers"],
    &["activations", "exec"],
    &["layers", "losses", "data", "optim", "report"],
    &["metrics"],
    &["callbacks"],
    &["checkpoint", "model"],
    &["train"],
    &["cli"],
];

/// Used everywhere in tests, and by nothing else.
const TESTING: &str = "testing";

fn sources() -> Vec<(PathBuf, String)> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = vec![];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// First step below src: `layers` for src/layers/dense.rs, `shape` for src/shape.rs.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|r| r.contains(&module))
}

/// Everything before the file's tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// The modules that stand behind a `crate::`: one, or the list in braces.
fn imported(behind: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    match behind.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap().split(',').map(|m| word(m.trim())).collect(),
        None => vec![word(behind)],
    }
}

#[test]
fn imports_go_down() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let own = module(&path);
        if ["lib", "main", TESTING].contains(&own.as_str())
            || path.ends_with("tests.rs")
            || path.ends_with("testing.rs")
        {
            continue;
        }
        let own_rank = rank(&own).unwrap_or_else(|| panic!("module `{own}` has no rank in this test"));
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for name in code.split("crate::").skip(1).flat_map(imported) {
                // Macros live at the crate's root; twins and the battery are compiled for tests only.
                let elsewhere =
                    name == own || name == TESTING || ["words", "battery", "simd"].contains(&name.as_str());
                match rank(&name) {
                    _ if elsewhere => {}
                    Some(other) if other < own_rank => {}
                    _ => wrong.push(format!("{}:{}: {own} imports {name}", path.display(), number + 1)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_lives_in_kernels_and_arena() {
    for (path, text) in sources() {
        let allowed = module(&path) == "kernels" || path.ends_with("exec/arena.rs");
        let uses = text.lines().any(|l| l.split("//").next().unwrap().contains("unsafe {"));
        assert!(allowed || !uses, "{} uses unsafe", path.display());
    }
}

/// Every block and every unsafe impl is preceded by its argument.
#[test]
fn unsafe_has_its_argument() {
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if !(code.contains("unsafe {") || code.trim_start().starts_with("unsafe impl"))
                || code.contains("macro")
            {
                continue;
            }
            let near = lines[i.saturating_sub(6)..=i].iter().any(|l| l.contains("SAFETY"));
            assert!(near, "{}:{}: unsafe without SAFETY", path.display(), i + 1);
        }
    }
}

#[test]
fn files_stay_short() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = without_tests(text).lines().count();
        (lines > 400).then(|| format!("{}: {lines} lines", path.display()))
    };
    let long: Vec<String> = sources().iter().filter_map(long).collect();
    assert!(long.is_empty(), "over 400 lines without tests:\n{}", long.join("\n"));
}

/// A word's file is named in its folder's table.
#[test]
fn words_are_registered() {
    for folder in ["layers", "losses", "metrics", "optim", "data"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let table = fs::read_to_string(folder.join("mod.rs")).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            let is_word = path.is_file() && fs::read_to_string(&path).unwrap().contains("pub const ENTRY");
            assert!(
                !is_word || table.contains(&format!("{name}::ENTRY")),
                "{} is not registered",
                path.display()
            );
        }
    }
}

/// Every layer goes through the battery.
#[test]
fn layers_have_their_battery() {
    for (path, text) in sources() {
        if module(&path) == "layers" && text.contains("pub const ENTRY") {
            assert!(text.contains("crate::battery!"), "{} has no battery", path.display());
        }
    }
}
