//! Trajectories on disk: an observer that writes systems of a run to extended XYZ files, one for each system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use md_core::{Frame, Observer, ObserverError};

use crate::extxyz::{FrameToWrite, WriteError};
use crate::files::{Written, sync_folder_of};

mod buffered;
#[cfg(test)]
mod tests;

use buffered::BufferedFile;

/// Why a trajectory cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TrajectoryError {
    /// A file cannot be created, appended to or synced.
    #[error("cannot write the trajectory {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A frame cannot be written.
    #[error("cannot write a frame to the trajectory {}: {source}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: WriteError,
    },
    /// The file name contains a path.
    #[error("'{0}' is no file name for a trajectory (expected a name without folders)")]
    Name(String),
    /// Two systems have the same name or index.
    #[error("system {id} ('{stem}') is listed twice, or another system has its file name")]
    Repeated {
        /// Index of the system in the batch.
        id: usize,
        /// Name of its file without extension.
        stem: String,
    },
    /// A file to be continued does not exist.
    #[error("the trajectory {} is missing (expected {expected} bytes)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Length at the checkpoint, bytes.
        expected: u64,
    },
    /// A file to be continued is too short.
    #[error("the trajectory {} has {found} bytes (expected at least {expected})", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Length at the checkpoint, bytes.
        expected: u64,
        /// Actual length, bytes.
        found: u64,
    },
    /// A file to be continued has other contents.
    #[error("the trajectory {} is damaged: its content does not match its checksum", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The checkpoint has another number of systems.
    #[error("the checkpoint is of {found} trajectories (expected {expected})")]
    Checkpoint {
        /// Number of systems.
        expected: usize,
        /// Number of lengths in the checkpoint.
        found: usize,
    },
}

/// Compression of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Uncompressed: `STEM.extxyz`.
    #[default]
    None,
    /// gzip: `STEM.extxyz.gz`. Equal frames give equal bytes.
    Gzip,
}

impl Compression {
    fn extension(self) -> &'static str {
        match self {
            Compression::None => "extxyz",
            Compression::Gzip => "extxyz.gz",
        }
    }
}

/// Writes selected systems to `FOLDER/STEM.extxyz` or `FOLDER/STEM.extxyz.gz`, every `stride` steps.
///
/// A frame contains positions (Å), velocities (Å/fs), forces (eV/Å), the cell, masses if they are not standard, and the
/// keys `energy` (eV), `step`, `time_fs`, `kinetic_energy_ev`, `conserved_ev` and `temperature_k`.
/// [`extxyz`](crate::extxyz) reads all of them exactly, compressed or not.
///
/// Memory is bounded (about 64 KiB per system) and no file is open between writes, so a batch may have more systems
/// than the process may open files. Every write appends complete frames, compressed ones as one complete gzip member.
/// Call [`TrajectoryWriter::finish`] after the run to learn whether the last frames could be written; dropping the
/// writer writes them, too, but only logs an error.
#[derive(Debug)]
pub struct TrajectoryWriter {
    stride: u64,
    folder: PathBuf,
    /// Whether the folder was synced, so that it lists the files after a power failure.
    folder_synced: bool,
    files: BTreeMap<usize, BufferedFile>,
}

impl TrajectoryWriter {
    /// Creates the folder if needed, and an empty file for each system, given as pairs of its index in the initial
    /// batch of the run and the name of its file without extension. Existing files are overwritten. A `stride` of 0
    /// counts as 1.
    ///
    /// # Errors
    /// See [`TrajectoryError`].
    pub fn create(
        folder: &Path,
        systems: &[(usize, String)],
        stride: u64,
        compression: Compression,
    ) -> Result<Self, TrajectoryError> {
        let paths = paths(folder, systems, compression)?;
        fs::create_dir_all(folder)
            .map_err(|source| TrajectoryError::Io { path: folder.to_owned(), source })?;
        let file = |(id, path)| Ok((id, BufferedFile::create(path, compression)?));
        let files = paths.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(TrajectoryWriter { stride: stride.max(1), folder: folder.to_owned(), folder_synced: false, files })
    }

    /// Continues the files of a [`TrajectoryWriter::checkpoint`], which returned what was `written` to each, in the order
    /// of the system indices. Bytes after that are removed: frames after the checkpoint, which the continued run writes
    /// again. The other arguments must be those of the creation.
    ///
    /// # Errors
    /// [`TrajectoryError::Missing`], [`TrajectoryError::Shorter`], [`TrajectoryError::Damaged`] or
    /// [`TrajectoryError::Checkpoint`] if the files are not those of the checkpoint; none of them is changed then. Also
    /// the other errors of [`TrajectoryError`].
    pub fn reopen(
        folder: &Path,
        systems: &[(usize, String)],
        stride: u64,
        compression: Compression,
        written: &[Written],
    ) -> Result<Self, TrajectoryError> {
        let paths = paths(folder, systems, compression)?;
        if paths.len() != written.len() {
            return Err(TrajectoryError::Checkpoint { expected: paths.len(), found: written.len() });
        }
        let file = |((id, path), written)| Ok((id, BufferedFile::reopen(path, compression, written)?));
        let files: BTreeMap<_, _> = paths.into_iter().zip(written).map(file).collect::<Result<_, _>>()?;
        for file in files.values() {
            file.cut()?;
        }
        Ok(TrajectoryWriter { stride: stride.max(1), folder: folder.to_owned(), folder_synced: false, files })
    }

    /// Writes the buffered frames and waits until everything is on disk. Returns what each file holds, in the order of
    /// the system indices, for [`TrajectoryWriter::reopen`].
    ///
    /// # Errors
    /// [`TrajectoryError`]; the other files are still written.
    pub fn checkpoint(&mut self) -> Result<Vec<Written>, TrajectoryError> {
        self.flush()?;
        let written = self.files.values_mut().map(BufferedFile::sync).collect::<Result<_, _>>()?;
        if !self.folder_synced {
            sync_folder_of(&self.folder.join("any file"))
                .and_then(|()| sync_folder_of(&self.folder))
                .map_err(|source| TrajectoryError::Io { path: self.folder.clone(), source })?;
            self.folder_synced = true;
        }
        Ok(written)
    }

    /// Writes the buffered frames.
    ///
    /// # Errors
    /// [`TrajectoryError`]; the other files are still written.
    pub fn finish(mut self) -> Result<(), TrajectoryError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), TrajectoryError> {
        let results: Vec<_> = self.files.values_mut().map(BufferedFile::flush).collect();
        results.into_iter().collect()
    }

    fn write(&mut self, frame: Frame<'_>) -> Result<(), TrajectoryError> {
        for (index, system) in frame.systems().enumerate() {
            let Some(file) = self.files.get_mut(&system.id) else { continue };
            let info = [
                ("step", system.step().to_string()),
                ("time_fs", format!("{:?}", system.time_fs())),
                ("kinetic_energy_ev", format!("{:?}", system.kinetic_energy_ev())),
                ("conserved_ev", format!("{:?}", system.conserved_ev())),
                ("temperature_k", format!("{:?}", system.temperature_k())),
            ];
            file.append(&FrameToWrite {
                masses_amu: Some(system.masses_amu()),
                cell: frame.state.batch().cell(index),
                energy_ev: Some(system.potential_energy_ev()),
                forces: Some(system.forces()),
                velocities: Some(system.velocities()),
                info: &info,
                ..FrameToWrite::new(system.elements(), system.positions())
            })?;
        }
        Ok(())
    }
}

impl Observer for TrajectoryWriter {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        self.write(frame).map_err(|error| ObserverError {
            observer: "trajectory writer".into(),
            step: frame.state.step(),
            source: error.into(),
        })
    }
}

/// Returns the path of the file of each system.
fn paths(
    folder: &Path,
    systems: &[(usize, String)],
    compression: Compression,
) -> Result<BTreeMap<usize, PathBuf>, TrajectoryError> {
    let mut paths = BTreeMap::new();
    let mut stems = BTreeSet::new();
    for (id, stem) in systems {
        if stem.is_empty() || stem.contains(['/', '\\', '\0']) {
            return Err(TrajectoryError::Name(stem.clone()));
        }
        let path = folder.join(format!("{stem}.{}", compression.extension()));
        if !stems.insert(stem) || paths.insert(*id, path).is_some() {
            return Err(TrajectoryError::Repeated { id: *id, stem: stem.clone() });
        }
    }
    Ok(paths)
}
