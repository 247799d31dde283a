//! Output of a run: the best checkpoint, its record, and the log.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use md_io::files;
use md_model::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;
use crate::data::{DataFile, MoleculeSplit};
use crate::error::io_at;
use crate::validation::ValidationErrors;

/// Folder in which a checkpoint is written before it replaces the last one.
const UNFINISHED: &str = ".unfinished-checkpoint";
/// The log.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// `training.json`: the provenance of the checkpoint in the same folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Name of the student.
    pub name: String,
    /// Version of the program that trained it.
    pub program_version: String,
    /// Number of steps after which it was saved.
    pub step: u64,
    /// SHA-256 of `model.safetensors`.
    pub model_sha256: String,
    /// Number of trainable weights.
    pub parameters: usize,
    /// Its errors on the validation frames.
    pub validation: ValidationErrors,
    /// Reference energy of each element, eV.
    pub reference_energies_ev: BTreeMap<String, f64>,
    /// The files of all frames.
    pub data: Vec<DataFile>,
    /// SHA-256 of the initial checkpoint.
    pub start_from_sha256: Option<String>,
    /// The split into training and validation by molecule.
    pub split: BTreeMap<String, MoleculeSplit>,
    /// The configuration.
    pub config: Value,
}

/// Writes `model.safetensors`, `config.json` and `training.json` into `folder`, each atomically, the record last.
pub(crate) fn write_best(
    folder: &Path,
    checkpoint: &Checkpoint,
    record: &TrainingRecord,
) -> Result<(), TrainError> {
    let unfinished = folder.join(UNFINISHED);
    fs::create_dir_all(&unfinished).map_err(io_at(&unfinished))?;
    checkpoint.save(&unfinished)?;
    for name in ["config.json", "model.safetensors"] {
        let bytes = fs::read(unfinished.join(name)).map_err(io_at(unfinished.join(name)))?;
        replace(folder, name, &bytes)?;
    }
    fs::remove_dir_all(&unfinished).map_err(io_at(&unfinished))?;
    replace(folder, "training.json", (serde_json::to_string_pretty(record)? + "\n").as_bytes())
}

fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    let path = folder.join(name);
    files::write_atomically(&path, bytes).map_err(io_at(path))
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MetricsLine {
    /// Means over the steps since the last line of this kind.
    Training {
        /// Number of steps made.
        step: u64,
        /// Number of epochs.
        epoch: f64,
        /// Learning rate of this step.
        learning_rate: f64,
        /// Mean loss of a batch.
        loss: f64,
        /// Root mean square over all force components of the batches, eV/Å, each before its step.
        force_rmse_ev_per_angstrom: f64,
        /// Mean norm of the gradient before clipping.
        gradient_norm: f64,
    },
    /// A validation of the averaged weights.
    Validation {
        /// Number of steps made.
        step: u64,
        /// Errors.
        #[serde(flatten)]
        errors: ValidationErrors,
    },
}

/// Appends a line to the log.
pub(crate) fn log(folder: &Path, line: &MetricsLine) -> Result<(), TrainError> {
    let path = folder.join(METRICS);
    let text = serde_json::to_string(line)? + "\n";
    let append = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    };
    append().map_err(io_at(&path))
}

/// Truncates the log after the last complete line of a step not beyond `step`.
pub(crate) fn truncate_log(folder: &Path, step: u64) -> Result<(), TrainError> {
    let path = folder.join(METRICS);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(io_at(&path))?,
    };
    let is_kept = |line: &&[u8]| {
        let value: Option<Value> =
            line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        value.and_then(|v| v.get("step")?.as_u64()).is_some_and(|at| at <= step)
    };
    let kept: usize = text.split_inclusive(|&b| b == b'\n').take_while(is_kept).map(<[u8]>::len).sum();
    if kept == text.len() { Ok(()) } else { replace(folder, METRICS, &text[..kept]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncate_log_cuts_after_step_and_half_line() {
        let folder = tempfile::tempdir().unwrap();
        let line = |step| MetricsLine::Training {
            step,
            epoch: 0.5,
            learning_rate: 1e-3,
            loss: 2.0,
            force_rmse_ev_per_angstrom: 0.1,
            gradient_norm: 3.0,
        };
        truncate_log(folder.path(), 0).unwrap(); // there is no log yet
        for step in [10, 20, 30] {
            log(folder.path(), &line(step)).unwrap();
        }
        let path = folder.path().join(METRICS);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|&&b| b == b'\n').count(), 3);
        truncate_log(folder.path(), 30).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap(); // an incomplete line
        truncate_log(folder.path(), 30).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole[..whole.len() / 3 * 2]);
        truncate_log(folder.path(), 15).unwrap();
        let first: MetricsLine = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(first, line(10));
    }
}
