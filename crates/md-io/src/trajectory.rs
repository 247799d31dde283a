//! Trajectories on disk: an observer that writes systems of a run to extended XYZ files, one file each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use md_core::{Frame, Observer, ObserverError};

use crate::extxyz::{FrameToWrite, WriteError};
use crate::files::sync_folder_of;

mod buffered;
#[cfg(test)]
mod tests;

use buffered::BufferedFile;

/// Why a trajectory cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TrajectoryError {
    /// A file that cannot be created, appended to or synced.
    #[error("cannot write the trajectory {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A frame that cannot be written.
    #[error("cannot write a frame to the trajectory {}: {source}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// A file name that would lie elsewhere.
    #[error("'{0}' is no file name for a trajectory (expected a name without folders)")]
    Name(String),
    /// One name or number for two systems.
    #[error("system {id} ('{stem}') is listed twice, or another system has its file name")]
    Repeated {
        /// Number of the system in the batch.
        id: usize,
        /// Its file name without extension.
        stem: String,
    },
    /// A file to be written on that is not there.
    #[error("the trajectory {} is missing (expected {expected} bytes)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Length it had, bytes.
        expected: u64,
    },
    /// A file that has lost its end.
    #[error("the trajectory {} has {found} bytes (expected at least {expected})", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Length it had, bytes.
        expected: u64,
        /// Length it has, bytes.
        found: u64,
    },
    /// A checkpoint of another number of systems.
    #[error("the checkpoint is of {found} trajectories (expected {expected})")]
    Checkpoint {
        /// Number of systems.
        expected: usize,
        /// Number of lengths.
        found: usize,
    },
}

/// How the files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all: `STEM.extxyz`.
    #[default]
    None,
    /// By gzip: `STEM.extxyz.gz`. Same frames give the same bytes.
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

/// Writes chosen systems to `FOLDER/STEM.extxyz` or `FOLDER/STEM.extxyz.gz`, every `stride` steps.
///
/// A frame has positions (Å), velocities (Å/fs), forces (eV/Å), the cell, masses where they are not standard,
/// and the keys `energy` (eV), `step`, `time_fs`, `kinetic_energy_ev`, `conserved_ev` and `temperature_k`.
/// [`extxyz`](crate::extxyz) reads them back exactly, compressed or not.
///
/// Memory is bounded (some 64 KiB per system) and no file is held open between writes, so a batch may have
/// more systems than a process may have files. Whenever a file is written to, it gets whole frames,
/// compressed ones as one whole gzip member. [`TrajectoryWriter::finish`] after the run tells whether the
/// last frames could be written; dropping the writer writes them, too, but only logs an error.
#[derive(Debug)]
pub struct TrajectoryWriter {
    stride: u64,
    folder: PathBuf,
    /// Whether the folder lists the files after a power cut, too.
    folder_synced: bool,
    files: BTreeMap<usize, BufferedFile>,
}

impl TrajectoryWriter {
    /// Creates the folder if need be, and an empty file for each system: pairs of the number it has in the
    /// batch the run begins with and the name of its file without extension. Existing files are overwritten.
    /// A `stride` of 0 is taken for 1.
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

    /// Continues with files that [`TrajectoryWriter::checkpoint`] gave these lengths of, in bytes, in the order
    /// of the systems' numbers. What is behind them is cut off: frames after the checkpoint, which come
    /// again. The other arguments are those the files were created with.
    ///
    /// # Errors
    /// [`TrajectoryError::Missing`], [`TrajectoryError::Shorter`] or [`TrajectoryError::Checkpoint`] when the
    /// files are not those of the checkpoint; then none of them is changed. And the others of
    /// [`TrajectoryError`].
    pub fn reopen(
        folder: &Path,
        systems: &[(usize, String)],
        stride: u64,
        compression: Compression,
        lengths: &[u64],
    ) -> Result<Self, TrajectoryError> {
        let paths = paths(folder, systems, compression)?;
        if paths.len() != lengths.len() {
            return Err(TrajectoryError::Checkpoint { expected: paths.len(), found: lengths.len() });
        }
        let file = |((id, path), &length)| Ok((id, BufferedFile::reopen(path, compression, length)?));
        let files: BTreeMap<_, _> = paths.into_iter().zip(lengths).map(file).collect::<Result<_, _>>()?;
        for file in files.values() {
            file.cut()?;
        }
        Ok(TrajectoryWriter { stride: stride.max(1), folder: folder.to_owned(), folder_synced: false, files })
    }

    /// Writes what is still in memory, and waits until all that was written is on the disk. The result is the
    /// length of each file, in bytes, in the order of the systems' numbers: what [`TrajectoryWriter::reopen`]
    /// needs to continue from here.
    ///
    /// # Errors
    /// [`TrajectoryError`]; the other files are written nevertheless.
    pub fn checkpoint(&mut self) -> Result<Vec<u64>, TrajectoryError> {
        self.flush()?;
        let lengths = self.files.values_mut().map(BufferedFile::sync).collect::<Result<_, _>>()?;
        if !self.folder_synced {
            sync_folder_of(&self.folder.join("any file"))
                .and_then(|()| sync_folder_of(&self.folder))
                .map_err(|source| TrajectoryError::Io { path: self.folder.clone(), source })?;
            self.folder_synced = true;
        }
        Ok(lengths)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// [`TrajectoryError`]; the other files are written nevertheless.
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

/// The file of each system.
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
