//! Trajectories on disk: an observer that writes systems of a run to extended XYZ files, one file each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use md_core::{Frame, Observer, ObserverError};

use crate::extxyz::{FrameToWrite, WriteError, write_frame};

/// A system's frames go to disk when so many bytes of them have gathered.
const BUFFER_BYTES: usize = 64 * 1024;
/// And at the latest after so many frames.
const BUFFER_FRAMES: usize = 100;

/// Why a trajectory cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TrajectoryError {
    /// A file that cannot be created or appended to.
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
}

/// Writes chosen systems to `FOLDER/STEM.extxyz`, every `stride` steps.
///
/// A frame has positions (Å), velocities (Å/fs), forces (eV/Å), the cell, masses where they are not standard,
/// and the keys `energy` (eV), `step`, `time_fs`, `kinetic_energy_ev`, `conserved_ev` and `temperature_k`.
/// [`extxyz`](crate::extxyz) reads them back exactly.
///
/// Memory is bounded (some 64 KiB per system) and no file is held open between writes, so a batch may have more
/// systems than a process may have files. [`TrajectoryWriter::finish`] after the run tells whether the last frames
/// could be written; dropping the writer writes them, too, but only logs an error.
#[derive(Debug)]
pub struct TrajectoryWriter {
    stride: u64,
    files: BTreeMap<usize, BufferedFile>,
}

impl TrajectoryWriter {
    /// Creates the folder if need be, and an empty file for each system: pairs of the number it has in the batch
    /// the run begins with and the name of its file without extension. Existing files are overwritten. A
    /// `stride` of 0 is taken for 1.
    ///
    /// # Errors
    /// See [`TrajectoryError`].
    pub fn create(folder: &Path, systems: &[(usize, String)], stride: u64) -> Result<Self, TrajectoryError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| TrajectoryError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(io(folder))?;
        let mut files = BTreeMap::new();
        let mut stems = BTreeSet::new();
        for (id, stem) in systems {
            if stem.is_empty() || stem.contains(['/', '\\', '\0']) {
                return Err(TrajectoryError::Name(stem.clone()));
            }
            let path = folder.join(format!("{stem}.extxyz"));
            if !stems.insert(stem) || files.contains_key(id) {
                return Err(TrajectoryError::Repeated { id: *id, stem: stem.clone() });
            }
            File::create(&path).map_err(io(&path))?;
            files.insert(*id, BufferedFile { path, buffer: Vec::new(), frames: 0 });
        }
        Ok(TrajectoryWriter { stride: stride.max(1), files })
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// [`TrajectoryError::Io`]; the other files are written nevertheless.
    pub fn finish(mut self) -> Result<(), TrajectoryError> {
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

#[derive(Debug)]
struct BufferedFile {
    path: PathBuf,
    buffer: Vec<u8>,
    frames: usize,
}

impl BufferedFile {
    fn append(&mut self, frame: &FrameToWrite<'_>) -> Result<(), TrajectoryError> {
        write_frame(&mut self.buffer, frame)
            .map_err(|source| TrajectoryError::Frame { path: self.path.clone(), source })?;
        self.frames += 1;
        if self.buffer.len() >= BUFFER_BYTES || self.frames >= BUFFER_FRAMES { self.flush() } else { Ok(()) }
    }

    /// The buffer holds whole frames, so the file does after each flush. It is empty afterwards in any case: half
    /// of it may be on disk.
    fn flush(&mut self) -> Result<(), TrajectoryError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = File::options()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(&self.buffer))
            .map_err(|source| TrajectoryError::Io { path: self.path.clone(), source });
        self.buffer.clear();
        self.frames = 0;
        written
    }
}

impl Drop for BufferedFile {
    /// Saves the last frames of a run that ended in an error or a panic.
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extxyz::{LabelKeys, LabelledFrame, read_frames};
    use md_core::{
        Batch, Cell, Configuration, Element, Evaluation, Mat3, Potential, PotentialError, Request, State,
        System, Vec3,
    };

    /// `E = ½ z²` per atom.
    struct Springs;

    impl Potential for Springs {
        fn name(&self) -> &str {
            "springs"
        }

        fn check(&self, _: &Batch, _: Request) -> Result<(), PotentialError> {
            Ok(())
        }

        fn evaluate(
            &mut self,
            c: Configuration<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<(), PotentialError> {
            out.reset(c.batch, request);
            for (s, atoms) in c.batch.ranges().enumerate() {
                out.energies[s] = c.positions[atoms].iter().map(|x| 0.5 * x.z * x.z).sum();
            }
            for (force, x) in out.forces.iter_mut().zip(c.positions) {
                *force = Vec3::new(0.0, 0.0, -x.z);
            }
            Ok(())
        }
    }

    fn systems() -> [System; 3] {
        let line = |n: usize, element| {
            let positions = (0..n).map(|i| Vec3::new(i as f64 / 3.0, 0.1, -0.7)).collect();
            System::new(vec![element; n], positions).unwrap()
        };
        let heavy = line(3, Element::H).with_masses_amu(vec![1.008, 2.014, 3.016]).unwrap();
        let boxed = line(1, Element::AR)
            .with_cell(Cell::new(Mat3::new(5.0, 0.0, 0.0, 0.1, 6.0, 0.0, 0.2, 0.3, 7.0), [true; 3]).unwrap());
        [line(2, Element::C), heavy, boxed]
    }

    /// Runs all three systems for `steps` steps; system 0 leaves the batch after half of them.
    fn run(writer: &mut TrajectoryWriter, steps: u64) -> Vec<Vec<LabelledFrame>> {
        let systems = systems();
        let mut state = State::at_rest(&systems, &mut Springs).unwrap();
        let mut ids = vec![0, 1, 2];
        let mut seen = vec![Vec::new(); 3];
        loop {
            let conserved_ev: Vec<f64> =
                (0..ids.len()).map(|s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s)).collect();
            let frame = Frame { state: &state, ids: &ids, conserved_ev: &conserved_ev };
            if state.step().is_multiple_of(writer.stride()) {
                writer.observe(frame).unwrap();
                for system in frame.systems() {
                    seen[system.id].push(LabelledFrame {
                        system: systems[system.id]
                            .clone()
                            .with_positions(system.positions().to_vec())
                            .unwrap(),
                        energy_ev: Some(system.potential_energy_ev()),
                        forces: Some(system.forces().to_vec()),
                        velocities: Some(system.velocities().to_vec()),
                        info: BTreeMap::from([
                            ("step".into(), system.step().to_string()),
                            ("time_fs".into(), format!("{:?}", system.time_fs())),
                            ("kinetic_energy_ev".into(), format!("{:?}", system.kinetic_energy_ev())),
                            ("conserved_ev".into(), format!("{:?}", system.conserved_ev())),
                            ("temperature_k".into(), format!("{:?}", system.temperature_k())),
                        ]),
                    });
                }
            }
            if state.step() == steps {
                return seen;
            }
            if state.step() == steps / 2 {
                state.retain_systems(&[1, 2]);
                ids = vec![1, 2];
            }
            state.kick(0.1);
            state.drift(0.2);
            state.evaluate(&mut Springs).unwrap();
            state.kick(0.1);
            state.advance(0.2);
        }
    }

    #[test]
    fn what_was_observed_is_read_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let names = [(0, "carbon".to_owned()), (1, "hydrogen".to_owned()), (2, "argon".to_owned())];
        let mut writer = TrajectoryWriter::create(&folder.path().join("new/folder"), &names, 4).unwrap();
        let seen = run(&mut writer, 1000); // 251 frames: more than two buffers
        writer.finish().unwrap();
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [126, 251, 251]);
        for (id, name) in names {
            let path = folder.path().join(format!("new/folder/{name}.extxyz"));
            assert_eq!(read_frames(&path, &LabelKeys::default()).unwrap(), seen[id], "{name}");
        }
    }

    #[test]
    fn only_the_chosen_systems_are_written_and_memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TrajectoryWriter::create(folder.path(), &[(2, "argon".into())], 1).unwrap();
        run(&mut writer, 350);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let path = folder.path().join("argon.extxyz");
        // 351 frames of one atom: three times BUFFER_FRAMES are on disk, all of them whole.
        assert_eq!(read_frames(&path, &LabelKeys::default()).unwrap().len(), 3 * BUFFER_FRAMES);
        assert!(writer.files[&2].buffer.len() < BUFFER_BYTES);
        drop(writer);
        assert_eq!(read_frames(&path, &LabelKeys::default()).unwrap().len(), 351);
    }

    #[test]
    fn names_that_lead_elsewhere_or_repeat_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let create = |systems: &[(usize, &str)]| {
            let systems: Vec<_> = systems.iter().map(|&(id, stem)| (id, stem.to_owned())).collect();
            TrajectoryWriter::create(&folder.path().join("inside"), &systems, 1).map(drop)
        };
        for name in ["", "../water", "a/b", "a\\b", "a\0"] {
            assert!(matches!(create(&[(0, name)]), Err(TrajectoryError::Name(_))), "{name:?}");
        }
        for systems in [[(0, "a"), (1, "a")], [(0, "a"), (0, "b")]] {
            assert!(matches!(create(&systems), Err(TrajectoryError::Repeated { .. })), "{systems:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_the_run_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TrajectoryWriter::create(folder.path(), &[(0, "water".into())], 1).unwrap();
        fs::remove_file(folder.path().join("water.extxyz")).unwrap();
        let state = State::at_rest(&systems(), &mut Springs).unwrap();
        let frame = Frame { state: &state, ids: &[0, 1, 2], conserved_ev: &[0.0; 3] };
        let error = (0..=BUFFER_FRAMES).find_map(|_| writer.observe(frame).err()).unwrap();
        assert!(error.to_string().starts_with("trajectory writer failed at step 0: cannot write"), "{error}");
        assert!(error.to_string().contains("water.extxyz"), "{error}");
    }
}
