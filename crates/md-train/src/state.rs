//! The state of a run on disk, from which it can be continued exactly.

use std::path::Path;

use md_io::files;
use md_model::PainnHyperparameters;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;
use crate::data::DataFile;
use crate::error::io_at;
use crate::layout::Layout;
use crate::loss::LossPart;
use crate::optimiser::Moments;

/// Name of the file.
pub(crate) const FILE: &str = "state.safetensors";
/// Key of the metadata. There is only one, since the order of several is undefined and files are compared bytewise.
const KEY: &str = "training";

/// What stands in the metadata, before the header, in place of the file's SHA-256 while that is computed.
const NO_SHA256: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// State of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) progress: Progress,
    pub(crate) weights: Vec<f64>,
    pub(crate) average: Vec<f64>,
    pub(crate) moments: Moments,
}

/// Counters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Number of steps made.
    pub(crate) step: u64,
    pub(crate) best: Option<Best>,
    pub(crate) validations_without_improvement: u64,
    pub(crate) interval: Interval,
}

/// The best validation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Number of steps at that validation.
    pub step: u64,
    /// Force RMSE over all validation frames, eV/Å.
    pub force_rmse_ev_per_angstrom: f64,
}

/// Sums since the last line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) steps: u64,
    pub(crate) loss: f64,
    pub(crate) squared_force_error: f64,
    pub(crate) atoms: usize,
    pub(crate) gradient_norm: f64,
}

impl Interval {
    pub(crate) fn add(&mut self, part: &LossPart, atoms: usize, gradient_norm: f64) {
        self.steps += 1;
        self.loss += part.loss;
        self.squared_force_error += part.squared_force_error;
        self.atoms += atoms;
        self.gradient_norm += gradient_norm;
    }
}

/// The inputs of a run, which must not change when it is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The configuration.
    pub(crate) config: Value,
    pub(crate) data: Vec<DataFile>,
    /// SHA-256 of the initial checkpoint.
    pub(crate) start_from: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    program_version: String,
    hyperparameters: PainnHyperparameters,
    #[serde(flatten)]
    progress: Progress,
    origin: Origin,
}

const PARTS: [&str; 4] = ["weights", "average", "first_moment", "second_moment"];

impl State {
    /// Creates the state before the first step.
    pub(crate) fn new(weights: Vec<f64>) -> Self {
        State {
            progress: Progress::default(),
            average: weights.clone(),
            moments: Moments::zero(weights.len()),
            weights,
        }
    }

    /// Writes the state into `folder`, atomically.
    pub(crate) fn write(
        &self,
        folder: &Path,
        layout: &Layout,
        hyperparameters: &PainnHyperparameters,
        origin: &Origin,
    ) -> Result<(), TrainError> {
        let header = Header {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            hyperparameters: hyperparameters.clone(),
            progress: self.progress.clone(),
            origin: origin.clone(),
        };
        let parts = [&self.weights, &self.average, &self.moments.first, &self.moments.second];
        let bytes: Vec<(String, &[usize], Vec<u8>)> = std::iter::zip(PARTS, parts)
            .flat_map(|(part, values)| {
                layout.tensors(values).map(move |(name, shape, values)| {
                    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                    (format!("{part}/{name}"), shape, bytes)
                })
            })
            .collect();
        let mut views = Vec::new();
        for (name, shape, bytes) in &bytes {
            views.push((name, TensorView::new(Dtype::F64, shape.to_vec(), bytes)?));
        }
        let metadata = [(KEY.to_owned(), format!("{NO_SHA256} {}", serde_json::to_string(&header)?))].into();
        let mut file = safetensors::serialize(views, Some(metadata))?;
        let sha256 = files::sha256(&file);
        replace(&mut file, NO_SHA256, &sha256);
        let path = folder.join(FILE);
        files::write_atomically(&path, &file).map_err(io_at(path))
    }
}

/// Replaces the first `old` in a file by `new`, which is as long.
fn replace(file: &mut [u8], old: &str, new: &str) {
    if let Some(start) = file.windows(old.len()).position(|window| window == old.as_bytes()) {
        file[start..start + old.len()].copy_from_slice(new.as_bytes());
    }
}

/// Returns the header in the metadata of `file` after its SHA-256 was checked. Older versions wrote none.
fn checked<'t>(text: &'t str, file: &[u8]) -> Result<&'t str, String> {
    if text.starts_with('{') {
        return Ok(text);
    }
    let (sha256, header) =
        text.split_once(' ').filter(|(sha256, _)| sha256.len() == NO_SHA256.len()).unwrap_or_default();
    let mut file = file.to_vec();
    replace(&mut file, sha256, NO_SHA256);
    if sha256 == files::sha256(&file) {
        Ok(header)
    } else {
        Err("its checksum does not match: it was damaged: start over in another folder".to_owned())
    }
}

/// A state file whose metadata has been read; the numbers are read later, with the layout of the network.
pub(crate) struct StateFile<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    header: Header,
}

impl<'a> StateFile<'a> {
    /// Parses `bytes` as the content of the file `path`.
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, TrainError> {
        let header = SafeTensors::read_metadata(bytes)
            .map_err(|error| error.to_string())
            .and_then(|(_, metadata)| {
                metadata
                    .metadata()
                    .as_ref()
                    .and_then(|all| all.get(KEY))
                    .ok_or_else(|| format!("it has no '{KEY}' in its metadata: it is another kind of file"))
                    .and_then(|text| checked(text, bytes))
                    .and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()))
            })
            .map_err(|problem| TrainError::State { path: path.to_owned(), problem })?;
        Ok(StateFile { path, bytes, header })
    }

    pub(crate) fn program_version(&self) -> &str {
        &self.header.program_version
    }

    pub(crate) fn hyperparameters(&self) -> &PainnHyperparameters {
        &self.header.hyperparameters
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.header.origin
    }

    /// Returns the state for a network with this layout.
    pub(crate) fn state(&self, layout: &Layout) -> Result<State, TrainError> {
        let [weights, average, first, second] = PARTS.map(|part| self.part(part, layout));
        Ok(State {
            progress: self.header.progress.clone(),
            weights: weights?,
            average: average?,
            moments: Moments { first: first?, second: second? },
        })
    }

    fn part(&self, part: &str, layout: &Layout) -> Result<Vec<f64>, TrainError> {
        let broken = |problem| TrainError::State { path: self.path.to_owned(), problem };
        let tensors = SafeTensors::deserialize(self.bytes).map_err(|error| broken(error.to_string()))?;
        let mut values = Vec::new();
        for (name, shape) in layout.shapes() {
            let name = format!("{part}/{name}");
            let view = tensors.tensor(&name).map_err(|error| broken(error.to_string()))?;
            if view.dtype() != Dtype::F64 || view.shape() != shape {
                let (found, dtype) = (view.shape(), view.dtype());
                return Err(broken(format!("{name} is {dtype:?} {found:?}, expected F64 {shape:?}")));
            }
            values.extend(view.data().as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)));
        }
        Ok(values)
    }
}

impl Origin {
    /// Describes the differences from `now`.
    pub(crate) fn changes(&self, now: &Origin) -> Vec<String> {
        let mut changes = Vec::new();
        compare("", &self.config, &now.config, &mut changes);
        if changes.is_empty() && self.start_from != now.start_from {
            changes.push("the checkpoint in start_from has another content".to_owned());
        }
        // With the same configuration, the files correspond one to one.
        for (before, after) in std::iter::zip(&self.data, &now.data) {
            if before.file == after.file && before.sha256 != after.sha256 {
                changes.push(format!("{} has another content", after.file.display()));
            }
        }
        changes
    }
}

fn compare(key: &str, before: &Value, after: &Value, changes: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))).collect();
            keys.sort();
            for name in keys {
                let at = |values: &serde_json::Map<_, _>| values.get(name).cloned().unwrap_or(Value::Null);
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&key, &at(a), &at(b), changes);
            }
        }
        _ if before != after => changes.push(format!("{key} was {before} and is {after}")),
        _ => {}
    }
}
