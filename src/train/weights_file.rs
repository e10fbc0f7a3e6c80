//! The weights in any safetensors file: a checkpoint's, checked as a whole, or those of another program.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::checkpoint;
use crate::diag::{Diag, Result};
use crate::train::setup::checkpoint_file;

/// Tensors by their names `<layer>/<weight>`.
#[derive(Debug)]
pub struct WeightsFile {
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    /// Or of which type the numbers are that cannot be read.
    pub numbers: Result<Vec<f32>, Dtype>,
}

impl WeightsFile {
    /// Reads a file, or a run folder's best checkpoint. Of a checkpoint the optimizer's state is left out.
    pub fn read(path: &Path) -> Result<WeightsFile> {
        let path = &checkpoint_file(path)?;
        let bytes =
            std::fs::read(path).map_err(|e| Diag::new(format!("cannot read {}: {e}", path.display())))?;
        let damaged = |e| {
            Diag::new(format!("{}: not a complete safetensors file ({e})", path.display()))
                .hint("weights are read from .safetensors files, as run folders have them")
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        if checkpoint::is_one(&header) {
            let weights = checkpoint::read(path)?.into_weights();
            let tensors =
                weights.map(|(name, shape, numbers)| (name, Tensor { shape, numbers: Ok(numbers) }));
            return Ok(WeightsFile { tensors: tensors.collect() });
        }
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let tensor = |view: &TensorView<'_>| Tensor { shape: view.shape().to_vec(), numbers: numbers(view) };
        Ok(WeightsFile {
            tensors: file.iter().map(|(name, view)| (name.to_string(), tensor(&view))).collect(),
        })
    }

    /// Whether there is a layer, or a block of layers, of this name.
    pub fn has(&self, layer: &str) -> bool {
        self.of(layer).next().is_some()
    }

    /// The weights of a layer, or of all layers in a block: what follows its name, and the tensor.
    pub fn of<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        let rest = move |name: &'a str| name.strip_prefix(layer)?.strip_prefix('/');
        self.tensors.iter().filter_map(move |(name, tensor)| Some((rest(name)?, tensor)))
    }
}

fn numbers(view: &TensorView<'_>) -> Result<Vec<f32>, Dtype> {
    let pairs = || view.data().chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match view.dtype() {
        Dtype::F32 => {
            let bytes = view.data().chunks_exact(4);
            Ok(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        Dtype::F16 => Ok(pairs().map(from_half).collect()),
        Dtype::BF16 => Ok(pairs().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect()),
        other => Err(other),
    }
}

/// The number that IEEE 754's binary16 is: a sign, 5 bits of exponent, 10 of fraction.
fn from_half(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // Subnormal: fraction * 2^-24, exact in f32.
        0 => fraction as f32 * f32::from_bits((127 - 24) << 23),
        0x1f => f32::from_bits(0xff << 23 | fraction << 13),
        _ => f32::from_bits((exponent + 127 - 15) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        // 1, -2, the largest, the smallest normal and subnormal numbers, zeros, infinity.
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2f32.powi(-14)),
            (0x0001, 2f32.powi(-24)),
            (0x83ff, -1023.0 * 2f32.powi(-24)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(from_half(bits), value, "{bits:#x}");
        }
        assert!(from_half(0x7e01).is_nan());
        assert_eq!(from_half(0x8000).to_bits(), (-0.0f32).to_bits());
    }

    /// A tensor's type, its bytes, and the two numbers that they are.
    const TYPES: [(Dtype, &[u8], [f32; 2]); 3] = [
        (Dtype::F32, &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc1], [1.0, -10.0]),
        (Dtype::F16, &[0x00, 0x3c, 0x00, 0xc9], [1.0, -10.0]),
        (Dtype::BF16, &[0x80, 0x3f, 0x20, 0xc1], [1.0, -10.0]),
    ];

    #[test]
    fn numbers_of_each_type_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.safetensors");
        let names = ["a/f32", "a/f16", "a/bf16"];
        let mut views: Vec<_> = names
            .iter()
            .zip(TYPES)
            .map(|(name, (dtype, bytes, _))| (*name, TensorView::new(dtype, vec![1, 2], bytes).unwrap()))
            .collect();
        views.push(("b/c/i64", TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap()));
        safetensors::serialize_to_file(views, None, &file).unwrap();
        let read = WeightsFile::read(&file).unwrap();
        for (name, (_, _, values)) in names.iter().zip(TYPES) {
            let tensor = &read.tensors[*name];
            assert_eq!((&*tensor.shape, tensor.numbers.as_deref()), (&[1, 2][..], Ok(&values[..])), "{name}");
        }
        assert_eq!(read.tensors["b/c/i64"].numbers, Err(Dtype::I64));
        assert_eq!(read.of("a").map(|(weight, _)| weight).collect::<Vec<_>>(), ["bf16", "f16", "f32"]);
        assert_eq!(read.of("b").map(|(weight, _)| weight).collect::<Vec<_>>(), ["c/i64"]);
        assert_eq!(read.of("").count(), 0);
    }

    #[test]
    fn what_is_no_weights_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.safetensors");
        let said = |path: &Path| WeightsFile::read(path).unwrap_err().diags()[0].message.clone();
        assert!(said(&file).contains("cannot read"), "{}", said(&file));
        assert!(said(folder.path()).contains("holds no checkpoint"), "{}", said(folder.path()));
        std::fs::write(&file, "weights").unwrap();
        assert!(said(&file).contains("not a complete safetensors file"), "{}", said(&file));
    }
}
