//! Finds reference data that a model was trained on: they say how well it remembers, not how well it predicts.
//!
//! What a model was trained on is in the `training.json` beside its weights (`mdproof train` writes it): the files, with their
//! SHA-256. A reference is known if it is one of these files, or, where they are still there, if it has their geometries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use md_core::System;
use md_io::extxyz::{self, LabelKeys};
use md_io::files;
use md_metrics::{Composition, composition};
use md_model::Checkpoint;
use rayon::prelude::*;
use serde::Deserialize;

use crate::geometries::{Geometries, Geometry};

/// Part of the frames of a file that may be known, where its training data are of the same molecule: frames of small
/// molecules agree by chance.
const KNOWN_BY_CHANCE: f64 = 0.01;

/// Number of atoms from which on equal geometries are equal frames: two atoms have but one distance.
const FEWEST_ATOMS: usize = 3;

/// A file of labelled frames that a model was trained on.
#[derive(Debug, Clone)]
pub(crate) struct TrainedOn {
    /// Name of the model.
    pub(crate) model: String,
    /// Path of the frames, as in the campaign.
    pub(crate) file: PathBuf,
    /// What is wrong with it, naming the file.
    pub(crate) reason: String,
}

/// The part of `training.json` that names the data.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(default)]
    data: Vec<TrainingFile>,
}

#[derive(Debug, Deserialize)]
struct TrainingFile {
    file: PathBuf,
    sha256: String,
}

/// Training files read so far, by their SHA-256: several models have them in common.
#[derive(Debug)]
pub(crate) struct TrainingData {
    /// Compositions of the molecules of the campaign that have references.
    wanted: BTreeSet<Composition>,
    read: BTreeMap<String, Option<Geometries>>,
}

impl TrainingData {
    pub(crate) fn new<'a>(molecules: impl Iterator<Item = &'a System>) -> Self {
        let large = molecules.filter(|system| system.n_atoms() >= FEWEST_ATOMS);
        TrainingData {
            wanted: large.map(|system| composition(system.elements())).collect(),
            read: BTreeMap::new(),
        }
    }

    /// Returns those of `references` that the model in `checkpoint` was trained on.
    pub(crate) fn known(&mut self, model: &str, checkpoint: &Path, references: &[&Path]) -> Vec<TrainedOn> {
        let record = match record(checkpoint) {
            Ok(Some(record)) => Ok(record),
            Ok(None) => return Vec::new(),
            Err(error) => Err(format!("{error}: what the model was trained on cannot be compared")),
        };
        let found = references.iter().filter_map(|file| {
            let reason = match &record {
                // A file that cannot be read is an error of its evaluation.
                Ok((folder, record)) => self.reason(file, folder, record).ok().flatten()?,
                Err(unread) => unread.clone(),
            };
            Some(TrainedOn { model: model.to_owned(), file: file.to_path_buf(), reason })
        });
        found.collect()
    }

    /// Says why a reference is not held out, if it is not.
    fn reason(&mut self, reference: &Path, folder: &Path, record: &Record) -> Result<Option<String>> {
        let advice = "give frames that it has not seen";
        let sha256 = files::sha256_file(reference)?;
        let shown = reference.display();
        if let Some(same) = record.data.iter().find(|data| data.sha256.eq_ignore_ascii_case(&sha256)) {
            let name = same.file.display();
            return Ok(Some(format!(
                "{shown} is a file that the model was trained on ({name} in its training.json): {advice}"
            )));
        }
        if self.wanted.is_empty() || record.data.is_empty() {
            return Ok(None);
        }
        let frames = extxyz::open(reference, LabelKeys::default())?
            .map(|frame| Ok(Geometry::from_system(&frame?.system)))
            .collect::<Result<Vec<_>>>()?;
        self.read(record, folder);
        for data in &record.data {
            let Some(Some(geometries)) = self.read.get(&data.sha256) else { continue };
            let known = || frames.iter().enumerate().filter(|(_, frame)| geometries.contains(frame));
            let Some((first, _)) = known().next() else { continue };
            let (known, all) = (known().count(), frames.len());
            let name = data.file.display();
            let found = format!("{known} of {all} frames of {shown} (frame {first} is the first)");
            if known as f64 <= KNOWN_BY_CHANCE * all as f64 {
                tracing::warn!(
                    "{found} have the geometries of frames in {name}, which the model was trained on"
                );
                continue;
            }
            return Ok(Some(format!("{found} are in {name}, which the model was trained on: {advice}")));
        }
        Ok(None)
    }

    /// Reads the geometries of the training files of a record, of those that are still there as they were.
    fn read(&mut self, record: &Record, folder: &Path) {
        let wanted = &self.wanted;
        let read = |data: &TrainingFile| {
            let mut geometries = Geometries::default();
            for frame in extxyz::open(&locate(data, folder)?, LabelKeys::default()).ok()? {
                let system = frame.ok()?.system;
                if wanted.contains(&composition(system.elements())) {
                    geometries.insert(&Geometry::from_system(&system));
                }
            }
            Some(geometries)
        };
        let new = record.data.iter().filter(|data| !self.read.contains_key(&data.sha256)).collect::<Vec<_>>();
        let found: Vec<_> = new.par_iter().map(|data| (data.sha256.clone(), read(data))).collect();
        self.read.extend(found);
    }
}

/// Says why the labelled `frames` are not held out for the model in `checkpoint`, if so.
pub fn seen_in_training(checkpoint: &Path, frames: &Path) -> Option<String> {
    // One of each composition: there may be any number of frames.
    let mut systems = BTreeMap::new();
    for frame in extxyz::open(frames, LabelKeys::default()).ok()? {
        let system = frame.ok()?.system;
        systems.entry(composition(system.elements())).or_insert(system);
    }
    let known = TrainingData::new(systems.values()).known("", checkpoint, &[frames]);
    known.into_iter().next().map(|known| known.reason)
}

/// Returns the files that a checkpoint was trained on; `None` without a record of its training, or where one of them is gone or
/// changed.
///
/// # Errors
/// The record cannot be read.
pub(crate) fn training_files(checkpoint: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some((folder, record)) = record(checkpoint)? else { return Ok(None) };
    let files: Option<Vec<PathBuf>> = record.data.iter().map(|data| locate(data, &folder)).collect();
    Ok(files.filter(|files| !files.is_empty()))
}

/// States what is assumed of frames if no record names those that the model in `checkpoint` was trained on, or if they are not found.
pub(crate) fn assumption(checkpoint: &Path) -> Option<String> {
    let (folder, data) = match record(checkpoint) {
        Ok(Some((folder, record))) if !record.data.is_empty() => (folder, record.data),
        _ => {
            let text =
                "no training.json names the frames that it was trained on: labelled frames count as held out";
            return Some(text.to_owned());
        }
    };
    let gone: Vec<&TrainingFile> = data.iter().filter(|file| locate(file, &folder).is_none()).collect();
    let first = gone.first()?.file.display();
    Some(format!(
        "{} of {} files that its training.json names are not found as they were ({first} is the first): labelled frames count as held \
         out unless the whole file is one of them",
        gone.len(),
        data.len()
    ))
}

/// Returns the record of the training of a checkpoint and its folder, if there is one.
fn record(checkpoint: &Path) -> Result<Option<(PathBuf, Record)>> {
    let files = Checkpoint::files(checkpoint);
    let Some((_, path)) = files.into_iter().find(|(name, _)| name == "training.json") else {
        return Ok(None);
    };
    let record = md_results::read_json(&path)?;
    let folder = std::path::absolute(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Some((folder, record)))
}

/// Finds a training file: its path is relative to the campaign of the training, which the record does not name.
fn locate(data: &TrainingFile, folder: &Path) -> Option<PathBuf> {
    let inner: PathBuf = data.file.components().filter(|part| *part != Component::ParentDir).collect();
    let candidates = [data.file.clone(), folder.join(&data.file)].into_iter();
    let above = folder.ancestors().map(|ancestor| ancestor.join(&inner));
    candidates.chain(above).find(|path| {
        path.is_file()
            && files::sha256_file(path).is_ok_and(|sha256| data.sha256.eq_ignore_ascii_case(&sha256))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: usize = 40;

    /// Frames of water, from `first` on, with forces of zero.
    fn write(path: &Path, first: usize) {
        let frame = |n: usize| {
            let (a, b) = (0.9 + 0.003 * n as f64, 0.9 + 0.002 * (n * n % 37) as f64);
            format!("3\n\nO 0 0 0\nH {a} 0 0\nH -0.24 {b} 0\n")
        };
        std::fs::write(path, (first..first + FRAMES).map(frame).collect::<String>()).unwrap();
    }

    fn checkpoint(folder: &Path, file: &str, sha256: &str) -> PathBuf {
        let folder = folder.join("models/deep/m");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.safetensors"), "x").unwrap();
        let data = format!(
            "{{\"data\": [{{\"file\": \"{file}\", \"sha256\": \"{sha256}\", \"frames\": {FRAMES}}}]}}"
        );
        std::fs::write(folder.join("training.json"), data).unwrap();
        folder
    }

    #[test]
    fn known_finds_training_files_and_their_frames() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        std::fs::create_dir(in_folder("data")).unwrap();
        let train = in_folder("data/train.xyz");
        write(&train, 0);
        for (name, first) in [("part.xyz", FRAMES - 5), ("other.xyz", 2 * FRAMES)] {
            write(&in_folder(name), first);
        }
        std::fs::copy(&train, in_folder("copy.xyz")).unwrap();
        let mut turned = std::fs::read_to_string(&train).unwrap();
        turned.push('\n');
        std::fs::write(in_folder("again.xyz"), turned).unwrap();

        let sha256 = files::sha256_file(&train).unwrap();
        let known = |checkpoint: &Path, name: &str| {
            let water = extxyz::read_frames(&train, &LabelKeys::default()).unwrap().remove(0).system;
            let file = in_folder(name);
            let found = TrainingData::new([water].iter()).known("m", checkpoint, &[&file]);
            found.into_iter().map(|known| known.reason).collect::<Vec<_>>().join("\n")
        };
        let there = checkpoint(folder.path(), "../../data/train.xyz", &sha256);
        let copy = known(&there, "copy.xyz");
        assert!(
            copy.contains("copy.xyz is a file that the model was trained on (../../data/train.xyz"),
            "{copy}"
        );
        assert!(known(&there, "again.xyz").starts_with("40 of 40 frames of "));
        let part = known(&there, "part.xyz");
        assert!(part.starts_with("5 of 40 frames of ") && part.contains("(frame 0 is the first)"), "{part}");
        assert_eq!(known(&there, "other.xyz"), "");
        assert_eq!(known(&there, "absent.xyz"), "");
        // Training data that are gone or changed are known by their SHA-256 alone.
        let gone = checkpoint(folder.path(), "../../data/gone.xyz", &sha256.to_uppercase());
        assert!(known(&gone, "copy.xyz").contains("is a file that the model was trained on"));
        assert_eq!(known(&gone, "part.xyz"), "");
        assert_eq!(known(&in_folder("nowhere"), "copy.xyz"), "");
        let assumed = assumption(&gone).unwrap();
        assert!(assumed.starts_with("1 of 1 files ") && assumed.contains("gone.xyz"), "{assumed}");
        checkpoint(folder.path(), "../../data/train.xyz", &sha256);
        // A record whose data cannot be read vouches for no file.
        let record = there.join("training.json");
        assert_eq!(assumption(&there), None);
        std::fs::write(&record, "{\"data\": [\"train.xyz\"]}").unwrap();
        let unread = known(&there, "other.xyz");
        assert!(unread.contains("training.json") && unread.contains("cannot be compared"), "{unread}");
        std::fs::write(&record, "{}").unwrap();
        assert_eq!(known(&there, "copy.xyz"), "");
        assert!(assumption(&there).is_some_and(|text| text.contains("count as held out")));
    }
}
