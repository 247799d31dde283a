//! Labelled frames, and their split into training and validation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use md_core::{Batch, System, Vec3};
use md_io::extxyz::{self, LabelKeys, LabelledFrame};
use md_io::files;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::error::io_at;
use crate::random::stream;
use crate::{TrainError, TrainingConfig, ValidationConfig};

/// One frame with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledSystem {
    /// Elements and positions.
    pub system: System,
    /// Energy, eV.
    pub energy_ev: f64,
    /// Force on each atom, eV/Å.
    pub forces: Vec<Vec3>,
    /// Name of its molecule.
    pub molecule: String,
    /// Name of its trajectory, unique within a molecule.
    pub trajectory: String,
    /// Kind of frame, if the file states it.
    pub kind: Option<String>,
    /// Index of its file in [`Dataset::files`].
    pub file: usize,
    /// Its position in that file, from 1.
    pub number: usize,
}

/// A file of labelled frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path as in the configuration.
    pub file: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Number of frames.
    pub frames: usize,
    /// Number of times that each of them occurs in an epoch.
    pub repeat: u32,
}

/// All labelled frames of a configuration, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The files.
    pub files: Vec<DataFile>,
    /// The frames of all files.
    pub frames: Vec<LabelledSystem>,
}

impl Dataset {
    /// Reads every file of the configuration.
    ///
    /// # Errors
    /// A file cannot be read, is named twice, or has a frame without energy, forces, `molecule` or `trajectory`, or
    /// with a periodic cell.
    pub fn read(config: &TrainingConfig) -> Result<Self, TrainError> {
        let mut data = Dataset { files: Vec::new(), frames: Vec::new() };
        for section in &config.data {
            for file in &section.frames {
                data.add(file, &config.resolve(file), section.repeat)?;
            }
        }
        Ok(data)
    }

    fn add(&mut self, file: &Path, path: &Path, repeat: u32) -> Result<(), TrainError> {
        let sha256 = files::sha256_file(path).map_err(io_at(path))?;
        if let Some(same) = self.files.iter().find(|f| f.sha256 == sha256) {
            return Err(TrainError::RepeatedFile { first: same.file.clone(), second: file.to_owned() });
        }
        let keys = LabelKeys { required: true, ..LabelKeys::default() };
        let frames = extxyz::read_frames(path, &keys)?;
        self.files.push(DataFile { file: file.to_owned(), sha256, frames: frames.len(), repeat });
        for (i, frame) in frames.into_iter().enumerate() {
            let labelled = labelled(frame, self.files.len() - 1, i + 1)
                .map_err(|problem| TrainError::Frame { file: path.to_owned(), frame: i + 1, problem })?;
            self.frames.push(labelled);
        }
        let own = self.frames.iter().filter(|frame| frame.file + 1 == self.files.len());
        let labels = own.map(|frame| (&frame.system, frame.forces.as_slice()));
        match md_metrics::bond_forces(labels).and_then(|bonds| bonds.fault()) {
            Some(problem) => Err(TrainError::Labels { file: path.to_owned(), problem }),
            None => Ok(()),
        }
    }

    /// Returns the frames of an epoch, in order: each repeated as configured for its file.
    pub fn repeated(&self, frames: &[usize]) -> Vec<usize> {
        let repeat = |&frame: &usize| self.files[self.frames[frame].file].repeat as usize;
        frames.iter().flat_map(|frame| std::iter::repeat_n(*frame, repeat(frame))).collect()
    }

    /// Creates the batch of some frames, with their positions (Å).
    pub(crate) fn batch(&self, frames: &[usize]) -> (Batch, Vec<Vec3>) {
        let systems: Vec<System> = frames.iter().map(|&f| self.frames[f].system.clone()).collect();
        (Batch::new(&systems), Batch::gather_positions(&systems))
    }

    /// Formats frames as `water.extxyz: 3, 17; methane.extxyz: 5`.
    pub(crate) fn describe(&self, frames: &[usize]) -> String {
        let mut by_file: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for frame in frames.iter().map(|&f| &self.frames[f]) {
            by_file.entry(frame.file).or_default().push(frame.number.to_string());
        }
        let described: Vec<String> = by_file
            .into_iter()
            .map(|(file, numbers)| format!("{}: {}", self.files[file].file.display(), numbers.join(", ")))
            .collect();
        described.join("; ")
    }
}

fn labelled(mut frame: LabelledFrame, file: usize, number: usize) -> Result<LabelledSystem, String> {
    let mut key = |key: &str| {
        frame.info.remove(key).filter(|value| !value.is_empty()).ok_or_else(|| {
            format!(
                "has no key '{key}': add {key}=NAME to its comment line (frames of one trajectory are held out \
                 together; give frames that are not from one a trajectory each)"
            )
        })
    };
    let (molecule, trajectory) = (key("molecule")?, key("trajectory")?);
    if frame.system.cell().is_some() {
        return Err("is periodic, and the student has open boundaries: write pbc=\"F F F\"".to_owned());
    }
    let (Some(energy_ev), Some(forces)) = (frame.energy_ev, frame.forces) else {
        return Err("has no energy or no forces".to_owned());
    };
    let kind = frame.info.remove("kind");
    Ok(LabelledSystem { system: frame.system, energy_ev, forces, molecule, trajectory, kind, file, number })
}

/// Training and validation frames, as indices into [`Dataset::frames`]. No trajectory has frames in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Training frames.
    pub training: Vec<usize>,
    /// Validation frames: those of the held-out trajectories and selected kinds, up to the configured number.
    pub validation: Vec<usize>,
    /// Summary by molecule.
    pub molecules: BTreeMap<String, MoleculeSplit>,
}

/// The split of the trajectories of one molecule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct MoleculeSplit {
    /// Held-out trajectories.
    pub validation_trajectories: BTreeSet<String>,
    /// Number of training trajectories.
    pub training_trajectories: usize,
    /// Number of training frames.
    pub training_frames: usize,
    /// Number of validation frames.
    pub validation_frames: usize,
}

/// Holds out trajectories of each molecule separately: `trajectory_fraction` of their number, rounded, but at least one
/// and never all if there are two or more. They are evenly spaced, from a seeded start, in the list sorted by name, so
/// that they cover the temperatures if names contain them. Validation frames are selected from each molecule in the
/// same way.
///
/// # Errors
/// [`TrainError::NothingToValidate`].
pub fn split(data: &Dataset, config: &ValidationConfig, seed: u64) -> Result<Split, TrainError> {
    let mut by_trajectory: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (index, frame) in data.frames.iter().enumerate() {
        let trajectories = by_trajectory.entry(&frame.molecule).or_default();
        trajectories.entry(&frame.trajectory).or_default().push(index);
    }
    let mut training = Vec::new();
    let mut molecules = BTreeMap::new();
    let mut candidates: Vec<(&str, Vec<usize>)> = Vec::new();
    for (molecule, trajectories) in &by_trajectory {
        let n = trajectories.len();
        let wanted = (config.trajectory_fraction * n as f64).round() as usize;
        let held_out = if n < 2 { 0 } else { wanted.clamp(1, n - 1) };
        let names: Vec<&str> = trajectories.keys().copied().collect();
        let validation: BTreeSet<&str> =
            spread(&names, held_out, seed, &format!("trajectories of {molecule}")).into_iter().collect();
        let mut record = MoleculeSplit {
            validation_trajectories: validation.iter().map(|&name| name.to_owned()).collect(),
            training_trajectories: n - held_out,
            ..MoleculeSplit::default()
        };
        let mut scored = Vec::new();
        for (name, frames) in trajectories {
            if validation.contains(name) {
                scored.extend(frames.iter().filter(|&&f| is_scored(&data.frames[f], config)));
            } else {
                record.training_frames += frames.len();
                training.extend(frames);
            }
        }
        candidates.push((molecule, scored));
        molecules.insert((*molecule).to_owned(), record);
    }
    let mut validation = Vec::new();
    let counts: Vec<usize> = candidates.iter().map(|(_, frames)| frames.len()).collect();
    for ((molecule, frames), n) in std::iter::zip(&candidates, shares(&counts, config.max_frames)) {
        validation.extend(spread(frames, n, seed, &format!("validation frames of {molecule}")));
        if let Some(record) = molecules.get_mut(*molecule) {
            record.validation_frames = n;
        }
    }
    if validation.is_empty() {
        return Err(TrainError::NothingToValidate);
    }
    training.sort_unstable();
    Ok(Split { training, validation, molecules })
}

fn is_scored(frame: &LabelledSystem, config: &ValidationConfig) -> bool {
    match &config.kinds {
        Some(kinds) => frame.kind.as_ref().is_some_and(|kind| kinds.contains(kind)),
        None => true,
    }
}

/// Returns `n` of `all`, evenly spaced from a random start, in order.
fn spread<T: Copy>(all: &[T], n: usize, seed: u64, purpose: &str) -> Vec<T> {
    let start: f64 = stream(seed, purpose).random();
    let spacing = all.len() as f64 / n as f64;
    (0..n).filter_map(|i| all.get(((i as f64 + start) * spacing) as usize).copied()).collect()
}

/// Distributes `total` over the groups as evenly as their `available` numbers allow.
fn shares(available: &[usize], total: usize) -> Vec<usize> {
    let mut smallest_first: Vec<usize> = (0..available.len()).collect();
    smallest_first.sort_by_key(|&i| available[i]);
    let mut shares = vec![0; available.len()];
    let mut left = total;
    for (done, &i) in smallest_first.iter().enumerate() {
        shares[i] = available[i].min(left / (available.len() - done));
        left -= shares[i];
    }
    shares
}

#[cfg(test)]
mod tests;
