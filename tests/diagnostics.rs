//! Every bad config is a file with its expected message.
//!
//! `tests/diagnostics/NAME.toml` is checked from that folder, and `NAME.stderr` is what `nntrain check` says.
//! A first line `# arguments: ...` adds arguments. `UPDATE_SNAPSHOTS=1 cargo test --test diagnostics`
//! writes the messages anew: read them as the user who made the mistake would.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

/// The names of all files with an extension, sorted.
fn names(extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of this test is there");
    let paths = entries.map(|e| e.expect("its entries can be read").path());
    let wanted = paths.filter(|p| p.extension().is_some_and(|e| e == extension));
    let mut names: Vec<String> =
        wanted.map(|p| p.file_stem().unwrap().to_str().expect("plain names").to_string()).collect();
    names.sort();
    names
}

/// What `nntrain check NAME.toml` does.
fn check(name: &str) -> Output {
    let file = format!("{name}.toml");
    let text = std::fs::read_to_string(folder().join(&file)).expect("a case is UTF-8 text");
    let arguments = text.lines().next().and_then(|line| line.strip_prefix("# arguments: ")).unwrap_or("");
    Command::new(env!("CARGO_BIN_EXE_nntrain"))
        .args(["check", &file])
        .args(arguments.split_whitespace())
        .current_dir(folder())
        .env("NO_COLOR", "1")
        .env_remove("NNTRAIN_DATA")
        .output()
        .expect("the binary starts")
}

#[test]
fn every_mistake_is_told_as_it_was() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut wrong = vec![];
    for name in names("toml") {
        let output = check(&name);
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
        if code != Some(2) || said.contains("panicked") {
            wrong.push(format!("{name}: exit code {code:?}, expected 2:\n{said}"));
            continue;
        }
        let snapshot = folder().join(format!("{name}.stderr"));
        if update {
            std::fs::write(&snapshot, &said).expect("a snapshot can be written");
            continue;
        }
        match std::fs::read_to_string(&snapshot) {
            Ok(expected) if expected == said => {}
            Ok(expected) => wrong.push(format!("{name}: expected\n{expected}\nbut it said\n{said}")),
            Err(_) => wrong.push(format!("{name}: no {name}.stderr; it said\n{said}")),
        }
    }
    let hint = "UPDATE_SNAPSHOTS=1 cargo test --test diagnostics takes the new messages";
    assert!(wrong.is_empty(), "{}\n{} cases differ; {hint}", wrong.join("\n"), wrong.len());
}

#[test]
fn no_snapshot_outlives_its_case() {
    let cases = names("toml");
    let orphans: Vec<String> = names("stderr").into_iter().filter(|name| !cases.contains(name)).collect();
    assert!(orphans.is_empty(), "without a config: {orphans:?}");
}

#[test]
fn quotes_crlf_and_a_byte_order_mark_are_no_mistakes() {
    let output = check("good/quotes_crlf_bom");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && wrong.is_empty(), "{wrong}");
    assert!(said.contains("3 training samples"), "{said}");
}
