//! Checkpoints of every format that was ever released are opened, or refused in words.

use std::process::Command;

/// Made by the first version of the format: `house_prices` after 200 epochs of adam, on the table
/// that ships. A model opens years later on another machine, where none of its folders exist.
#[test]
fn format_1_predicts_what_it_predicted() {
    let root = env!("CARGO_MANIFEST_DIR");
    let checkpoint = format!("{root}/tests/checkpoints/format1_house_prices.safetensors");
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("new.csv");
    std::fs::write(&input, "size,age\n110,7\n85,12\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nntrain"))
        .args(["predict", &checkpoint])
        .arg(&input)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let prices: Vec<f32> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    // Instruction sets without fused products round differently in the last place.
    let close = prices.iter().zip(EXPECTED).all(|(p, e)| (p - e).abs() < 1e-3);
    assert!(close && prices.len() == 2, "{prices:?} for {EXPECTED:?}");
}

const EXPECTED: [f32; 2] = [191.8171, 171.89471];
