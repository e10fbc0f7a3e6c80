//! A checkpoint: one safetensors file that holds weights and all that is needed to go on or to
//! predict. One metadata key, `nntrain`, holds JSON.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bits::Bits64;
use crate::data::preprocessing::Preprocessing;
use crate::diag::{Diag, Result};
use crate::files;

/// Version of the metadata; a reader refuses others.
pub const FORMAT: u32 = 1;

/// What the names of the optimizer's tensors start with.
pub const OPTIMIZER: &str = "optimizer/";

/// The metadata's key in the safetensors header.
const KEY: &str = "nntrain";

/// The JSON metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    pub format: u32,
    /// Version of the program that wrote it.
    pub written_by: String,
    /// The config, every default filled in, its paths relative to `config_dir`.
    pub config: String,
    pub config_dir: String,
    /// Dimensions of one input, without the batch.
    pub input_shape: Vec<usize>,
    pub preprocessing: Preprocessing,
    /// SHA-256 of the data that was trained on.
    pub dataset_fingerprint: String,
    /// Epochs done.
    pub epoch: usize,
    /// Training steps done.
    pub step: u64,
    /// What resuming needs; absent in files that only predict.
    pub resume: Option<Resume>,
    /// The history's row of that epoch as `column: value`; `None` is what JSON has no number for.
    pub metrics: Vec<(String, Option<f64>)>,
    /// SHA-256 (hex) over the tensors' names and bytes and over this JSON with an empty hash. It
    /// stands last, so that the JSON without it is the text before it.
    pub sha256: String,
}

/// The state of a run between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    pub optimizer_iterations: u64,
    pub optimizer_scalars: Vec<Bits64>,
    /// The same of the optimizers after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_optimizers: Vec<(u64, Vec<Bits64>)>,
    pub callbacks: crate::callbacks::State,
    /// Sums of a begun epoch; `None` between epochs.
    pub begun: Option<Begun>,
    /// A callback ended the run.
    pub finished: bool,
}

/// How far a begun epoch is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Steps done in this epoch.
    pub steps: usize,
    #[serde(flatten)]
    pub sums: Sums,
}

/// What was measured in a begun epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    pub loss_sum: Bits64,
    /// Of each output's loss, and of those that layers add.
    #[serde(default)]
    pub loss_parts: Vec<Bits64>,
    pub samples: usize,
    /// State of each metric's accumulator.
    pub metrics: Vec<Vec<Bits64>>,
    /// States that go on from batch to batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Vec<Bits64>>,
}

/// A tensor to be written.
pub struct Tensor<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: &'a [f32],
}

/// Writes a checkpoint whole or not at all, tensor by tensor.
pub fn write(path: &Path, meta: &Meta, tensors: &[Tensor<'_>]) -> Result<()> {
    let mut sorted: Vec<&Tensor<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let bare = Meta { sha256: String::new(), ..meta.clone() };
    let bare = serde_json::to_string(&bare).expect("metadata is plain data");
    let hash = hash(sorted.iter().map(|t| (t.name.as_str(), t.data)), &bare);
    let json = format!("{}{hash}{END}", bare.strip_suffix(END).expect("the hash is the last field"));
    let header = header(&sorted, &json);
    files::write_atomic(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        sorted.iter().try_for_each(|t| for_bytes(t.data, |bytes| file.write_all(bytes)))
    })
}

/// The safetensors header: metadata, then name, type, shape and place of each tensor. The crate's own
/// writer copies every tensor and leaves the file readable by its owner alone; its reader reads this.
fn header(sorted: &[&Tensor<'_>], metadata: &str) -> String {
    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".into(), serde_json::json!({ KEY: metadata }));
    let mut end = 0;
    for tensor in sorted {
        let start = end;
        end += size_of_val(tensor.data);
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end] });
        entries.insert(tensor.name.clone(), entry);
    }
    let mut text = serde_json::Value::Object(entries).to_string();
    // The tensors start on a multiple of 8 bytes.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    text
}

/// Little-endian bytes of the numbers, piece by piece.
fn for_bytes<E>(numbers: &[f32], mut f: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut buffer = [0; 4096];
    numbers.chunks(buffer.len() / 4).try_for_each(|chunk| {
        let bytes = &mut buffer[..chunk.len() * 4];
        for (bytes, number) in bytes.chunks_exact_mut(4).zip(chunk) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        f(bytes)
    })
}

/// How the JSON ends, behind the hash.
const END: &str = "\"}";

/// Characters of a hash.
const HASH: usize = 64;

/// SHA-256 over names and numbers of the tensors in order of their names, then the JSON without hash.
fn hash<'a>(tensors: impl Iterator<Item = (&'a str, &'a [f32])>, bare: &str) -> String {
    let mut hasher = Sha256::new();
    for (name, numbers) in tensors {
        hasher.update(name.as_bytes());
        hasher.update((numbers.len() as u64).to_le_bytes());
        let Ok(()) = for_bytes(numbers, |bytes| {
            hasher.update(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    hasher.update(bare);
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A checkpoint read and checked.
#[derive(Debug)]
pub struct Checkpoint {
    pub meta: Meta,
    /// By name, in its order.
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Checkpoint {
    /// A tensor by its name, if it is there with this many numbers.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32], String> {
        match self.tensors.get(name) {
            None => Err(format!("the tensor `{name}` is missing")),
            Some((found, _)) if found != shape => {
                Err(format!("`{name}` has shape {found:?}, the config makes it {shape:?}"))
            }
            Some((_, data)) => Ok(data),
        }
    }

    /// Name, shape and numbers of each weight, without the optimizer's state.
    pub fn into_weights(self) -> impl Iterator<Item = (String, Vec<usize>, Vec<f32>)> {
        let weights = self.tensors.into_iter().filter(|(name, _)| !name.starts_with(OPTIMIZER));
        weights.map(|(name, (shape, numbers))| (name, shape, numbers))
    }
}

/// Whether a safetensors file is a checkpoint of ours, by its header.
pub fn is_one(header: &safetensors::tensor::Metadata) -> bool {
    header.metadata().as_ref().is_some_and(|m| m.contains_key(KEY))
}

/// Reads a checkpoint; whatever is wrong with the file is said in words.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let wrong = |what: String, hint: &str| Diag::new(format!("{}: {what}", path.display())).hint(hint);
    let whole = "the file is damaged or not complete: take another copy, or the run's other checkpoint";
    let bytes = std::fs::read(path).map_err(|e| Diag::new(format!("cannot read {}: {e}", path.display())))?;
    let (header_len, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| {
        wrong(
            format!("not a complete safetensors file ({e})"),
            "a checkpoint is a .safetensors file of a run folder; if it was one, it is damaged",
        )
    })?;
    let json = header.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| {
        wrong("a safetensors file, but not a checkpoint of nntrain".into(), "it has no `nntrain` metadata")
    })?;
    check_format(json).map_err(|what| wrong(what, "use the version of nntrain that wrote it"))?;
    let meta: Meta =
        serde_json::from_str(json).map_err(|e| wrong(format!("unreadable metadata ({e})"), whole))?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| {
        wrong(format!("not a complete safetensors file ({e}), header of {header_len} bytes"), whole)
    })?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(wrong(format!("tensor `{name}` is {:?}, not F32", view.dtype()), whole).into());
        }
        let bytes = view.data().chunks_exact(4);
        let numbers: Vec<f32> = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name, (view.shape().to_vec(), numbers));
    }
    // The text itself is hashed: what the reader would ignore in it may not be damaged either.
    let bare = json.len().checked_sub(HASH + END.len()).and_then(|cut| json.get(..cut)).unwrap_or_default();
    let numbers = tensors.iter().map(|(name, (_, numbers))| (name.as_str(), &**numbers));
    if hash(numbers, &format!("{bare}{END}")) != meta.sha256 {
        return Err(wrong("the checksum does not fit the contents".into(), whole).into());
    }
    Ok(Checkpoint { meta, tensors })
}

/// The format comes first: metadata of another version need not look like ours.
fn check_format(json: &str) -> Result<(), String> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|e| format!("unreadable metadata ({e})"))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found == u64::from(FORMAT) => Ok(()),
        Some(found) => Err(format!("format version {found}; this program reads version {FORMAT}")),
        None => Err("the metadata names no format version".into()),
    }
}
