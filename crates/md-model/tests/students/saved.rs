//! Writes files as `torch.save` does.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, TorchError, WeightTensor, Weights,
};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::within;

/// Contents of a file.
#[derive(Clone)]
pub(crate) enum Object {
    Int(i32),
    Float(f64),
    Str(&'static str),
    Dict(Vec<(String, Object)>),
    /// A dictionary with the keys 0, 1, …
    Numbered(Vec<Object>),
    List(Vec<Object>),
    Tensor(WeightTensor),
}

pub(crate) fn dict<const N: usize>(entries: [(&str, Object); N]) -> Object {
    Object::Dict(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// Creates a state dictionary, with a prefix to every name.
pub(crate) fn state(weights: &Weights, prefix: &str) -> Object {
    Object::Dict(
        weights.iter().map(|(name, t)| (format!("{prefix}{name}"), Object::Tensor(t.clone()))).collect(),
    )
}

/// Writes the pickle of an object and collects the data of its tensors.
struct Writer {
    pickle: Vec<u8>,
    data: Vec<Vec<u8>>,
}

impl Writer {
    fn str(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    fn int(&mut self, n: i32) {
        self.pickle.push(b'J');
        self.pickle.extend(n.to_le_bytes());
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.pickle.push(b'(');
        sizes.iter().for_each(|&n| self.int(n as i32));
        self.pickle.push(b't');
    }

    fn write(&mut self, object: &Object) {
        match object {
            Object::Int(n) => self.int(*n),
            Object::Float(x) => {
                self.pickle.push(b'G');
                self.pickle.extend(x.to_be_bytes());
            }
            Object::Str(text) => self.str(text),
            Object::Dict(entries) => {
                self.pickle.extend(b"}(");
                for (key, value) in entries {
                    self.str(key);
                    self.write(value);
                }
                self.pickle.push(b'u');
            }
            Object::Numbered(values) => {
                self.pickle.extend(b"}(");
                for (n, value) in (0..).zip(values) {
                    self.int(n);
                    self.write(value);
                }
                self.pickle.push(b'u');
            }
            Object::List(items) => {
                self.pickle.extend(b"](");
                items.iter().for_each(|item| self.write(item));
                self.pickle.push(b'e');
            }
            Object::Tensor(tensor) => {
                self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                self.str("storage");
                self.pickle.extend(b"ctorch\nFloatStorage\n");
                self.str(&self.data.len().to_string());
                self.str("cpu");
                self.int(tensor.values.len() as i32);
                self.pickle.extend(b"tQ");
                self.int(0);
                self.sizes(&tensor.shape);
                let strides: Vec<usize> =
                    (1..=tensor.shape.len()).map(|d| tensor.shape[d..].iter().product()).collect();
                self.sizes(&strides);
                self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
                self.data.push(tensor.values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect());
            }
        }
    }
}

/// Returns the bytes of a file that contains `object`.
pub(crate) fn saved(object: &Object) -> Vec<u8> {
    let mut writer = Writer { pickle: b"\x80\x02".to_vec(), data: Vec::new() };
    writer.write(object);
    writer.pickle.push(b'.');
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let names = (0..writer.data.len()).map(|key| format!("m/data/{key}"));
    for (name, bytes) in std::iter::once("m/data.pkl".to_owned())
        .chain(names)
        .zip(std::iter::once(&writer.pickle).chain(&writer.data))
    {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) const SIZES: DistillerHyperparameters = DistillerHyperparameters {
    hidden_dim: 8,
    num_interactions: 1,
    num_rbf: 4,
    cutoff: 4.5,
    max_z: 8,
    learnable_rbf: false,
};

pub(crate) fn student(seed: u64) -> Checkpoint {
    Checkpoint::untrained(&Architecture::Distiller(SIZES), seed).unwrap()
}

/// Its `config`.
pub(crate) fn config() -> Object {
    dict([
        ("hidden_dim", Object::Int(8)),
        ("num_interactions", Object::Int(1)),
        ("num_rbf", Object::Int(4)),
        ("cutoff", Object::Float(4.5)),
        ("max_z", Object::Int(8)),
    ])
}

/// The same as `config.json`.
pub(crate) const BESIDE: &str = r#"{
    "model_type": "painn_student_mlff_distiller",
    "hidden_dim": 8, "num_interactions": 1, "num_rbf": 4, "max_z": 8, "cutoff": 4.5
}"#;

/// `best.pt` in a folder.
pub(crate) struct File(pub(crate) TempDir);

impl File {
    pub(crate) fn new(object: &Object) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("best.pt"), saved(object)).unwrap();
        File(folder)
    }

    pub(crate) fn path(&self, choice: &str) -> PathBuf {
        self.0.path().join(format!("best.pt{choice}"))
    }

    pub(crate) fn load(&self, choice: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::load(self.path(choice))
    }
}

/// Returns what is wrong with the file of `torch.save` that the error names.
pub(crate) fn of_torch<'a>(file: &Path, error: &'a CheckpointError) -> &'a TorchError {
    let CheckpointError::Torch(error) = within(file, error) else { panic!("{error:?}") };
    error
}

pub(crate) fn trained(weights: &Weights) -> Weights {
    weights
        .iter()
        .filter(|(name, _)| !name.starts_with("rbf."))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect()
}

/// Tensors as returned by `parameters()`, without names.
pub(crate) fn listed(weights: &Weights) -> Object {
    Object::List(weights.values().map(|t| Object::Tensor(t.clone())).collect())
}
