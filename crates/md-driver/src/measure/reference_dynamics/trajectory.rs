//! Reads reference trajectories, and checks that they can be compared with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::{System, bonds};
use md_io::extxyz::{self, LabelKeys, LabelledFrame};

use super::velocities;
use crate::labels;

/// Number of frames below which distributions and a spectrum mean nothing.
const FEWEST_FRAMES: usize = 32;

/// Part of the interval by which the time between two frames may differ from it: times with few decimals.
const UNEVEN: f64 = 1e-3;

/// An atom jumps if it moves this far between two frames, Å, and this many times as far as half of all moves: another
/// atom has taken its place in the file. At 1000 K a hydrogen atom moves 0.1 Å in a femtosecond at most.
const JUMP_ANGSTROM: f64 = 0.5;
const JUMP_OF_MEDIAN: f64 = 10.0;

/// Length of a bond of the structure in a frame, relative to the structure, from which on it is no bond there.
const NO_BOND: f64 = 1.6;

/// A reference trajectory.
pub(super) struct Trajectory {
    pub(super) file: PathBuf,
    pub(super) frames: Vec<LabelledFrame>,
    pub(super) interval_fs: f64,
}

impl Trajectory {
    /// Reads a trajectory and checks all that can be checked without a model; `structure` has its atoms, in its order.
    ///
    /// # Errors
    /// Another molecule or another order of its atoms, too few frames, missing velocities, uneven times, atoms that change
    /// places, or velocities that are not those of the positions; the message names the file.
    pub(super) fn read(file: &Path, structure: Option<&System>) -> Result<Self> {
        let frames = extxyz::read_frames(file, &LabelKeys::default())?;
        Self::from_frames(file, frames, structure).with_context(|| file.display().to_string())
    }

    fn from_frames(file: &Path, frames: Vec<LabelledFrame>, structure: Option<&System>) -> Result<Self> {
        if frames.len() < FEWEST_FRAMES {
            bail!("{} frames are too few to compare with (expected {FEWEST_FRAMES} or more)", frames.len());
        }
        for (n, frame) in frames.iter().enumerate() {
            check_same_atoms(n, frame, &frames[0].system)?;
            if frame.velocities.is_none() {
                bail!("{}", no_velocities(n, frame));
            }
        }
        structure.map_or(Ok(()), |structure| check_structure(&frames[0], structure))?;
        let interval_fs = interval_fs(&frames)?;
        check_jumps(&frames)?;
        velocities::check(&frames, interval_fs)?;
        Ok(Trajectory { file: file.to_owned(), frames, interval_fs })
    }
}

/// Checks that the atoms of a frame are those of a structure, in its order.
///
/// # Errors
/// Other atoms, another order, or bonds of the structure that no atoms of the frame have.
fn check_structure(first: &LabelledFrame, structure: &System) -> Result<()> {
    labels::check_atoms(0, first, structure)?;
    let found = first.system.elements().iter().zip(structure.elements());
    if let Some((atom, (here, there))) = found.enumerate().find(|(_, (here, there))| here != there) {
        bail!(
            "the atoms are in another order than those of the structure: atom {atom} is {here} in frame 0 and {there} \
             in the structure (number atoms alike in both files)"
        );
    }
    let positions = first.system.positions();
    for bond in bonds::find(structure, bonds::DEFAULT_SCALE) {
        let length = (positions[bond.j] - positions[bond.i]).norm();
        if length > NO_BOND * bond.length_angstrom {
            let (i, j, expected) = (bond.i, bond.j, bond.length_angstrom);
            bail!(
                "the atoms {i} and {j} are {length:.2} Å apart in frame 0 and bonded in the structure ({expected:.2} Å): the \
                 atoms are in another order, or the positions are not in Å (number atoms alike in both files)"
            );
        }
    }
    Ok(())
}

fn check_same_atoms(n: usize, frame: &LabelledFrame, first: &System) -> Result<()> {
    labels::check_atoms(n, frame, first)
        .context("the frames are not of one molecule (frame 0 is the structure)")?;
    let pairs = frame.system.elements().iter().zip(first.elements());
    if let Some((atom, (here, there))) = pairs.enumerate().find(|(_, (here, there))| here != there) {
        bail!(
            "the atoms change their order: atom {atom} is {there} in frame 0 and {here} in frame {n} (write all frames in \
             one order)"
        );
    }
    Ok(())
}

fn no_velocities(n: usize, frame: &LabelledFrame) -> String {
    let expected = "expected a column velocities:R:3 in Å/fs";
    if frame.other_columns.iter().any(|column| column == "momenta") {
        format!(
            "frame {n} has a column 'momenta' and no velocities ({expected}; in ASE: \
             atoms.arrays[\"velocities\"] = atoms.get_velocities() * ase.units.fs)"
        )
    } else {
        let like = |column: &&String| column.to_lowercase().starts_with("v");
        let there = frame.other_columns.iter().find(like);
        let there = there.map(|column| format!("; is '{column}' the one?")).unwrap_or_default();
        format!("frame {n} has no velocities ({expected}{there})")
    }
}

/// Checks that the frames are at even, increasing times; the time between two, fs.
fn interval_fs(frames: &[LabelledFrame]) -> Result<f64> {
    let times = frames.iter().enumerate().map(|(n, frame)| time_fs(n, frame)).collect::<Result<Vec<_>>>()?;
    for (n, pair) in times.windows(2).enumerate() {
        if pair[1] <= pair[0] {
            let (frame, time, before) = (n + 1, pair[1], pair[0]);
            bail!(
                "frame {frame} is at time_fs={time}, the one before at {before}: times must increase (is this one \
                 trajectory, written in order?)"
            );
        }
    }
    let interval_fs = (times[times.len() - 1] - times[0]) / (times.len() - 1) as f64;
    let uneven = times.windows(2).position(|w| (w[1] - w[0] - interval_fs).abs() > UNEVEN * interval_fs);
    if let Some(n) = uneven {
        let found = times[n + 1] - times[n];
        bail!(
            "frame {} is {found} fs after the one before, others on average {interval_fs}: the spectrum needs frames at even \
             times (leave out frames, or give each part as a file of its own)",
            n + 1
        );
    }
    Ok(interval_fs)
}

fn time_fs(n: usize, frame: &LabelledFrame) -> Result<f64> {
    match frame.info.get("time_fs") {
        Some(text) => text.parse().ok().filter(|time: &f64| time.is_finite()).with_context(|| {
            format!("frame {n} has time_fs={text:?} (expected the time since the start in fs)")
        }),
        None => {
            let other = frame.info.keys().find(|key| key.to_lowercase().contains("time"));
            let other = other.map(|key| format!("; it has '{key}'")).unwrap_or_default();
            bail!("frame {n} has no key 'time_fs' (expected the time since the start in fs{other})")
        }
    }
}

/// Checks that no atom takes the place of another from one frame to the next.
fn check_jumps(frames: &[LabelledFrame]) -> Result<()> {
    let moves = |n: usize| {
        let [before, after] = [n, n + 1].map(|n| frames[n].system.positions());
        before.iter().zip(after).map(|(a, b)| (b - a).norm()).enumerate()
    };
    let mut all: Vec<f64> = (0..frames.len() - 1).flat_map(|n| moves(n).map(|(_, moved)| moved)).collect();
    let middle = all.len() / 2;
    let median = *all.select_nth_unstable_by(middle, f64::total_cmp).1;
    for n in 0..frames.len() - 1 {
        let far = moves(n).find(|&(_, moved)| moved > JUMP_ANGSTROM.max(JUMP_OF_MEDIAN * median));
        if let Some((atom, moved)) = far {
            bail!(
                "atom {atom} moves by {moved:.2} Å from frame {n} to frame {}, others by {median:.3} Å: the atoms change \
                 their order, a molecule is wrapped by a box, or frames are missing (write all frames of one trajectory in one \
                 order, unwrapped)",
                n + 1
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
    }

    /// All frames, every second and every fifth frame: 2, 4 and 10 fs.
    #[test]
    fn trajectory_accepts_those_of_the_repository() {
        for molecule in ["water", "methane", "alanine"] {
            let structure = repository(&format!("data/molecules/{molecule}.xyz"));
            let structure = extxyz::read_system(&structure).unwrap();
            for n in 0..2 {
                let file = repository(&format!("data/trajectories/{molecule}_nve_300K_{n}.extxyz.gz"));
                let all: Vec<LabelledFrame> = extxyz::open(&file, LabelKeys::default())
                    .unwrap()
                    .take(600)
                    .map(Result::unwrap)
                    .collect();
                for every in [1, 2, 3, 4, 5, 10, 15] {
                    let frames = all.iter().step_by(every).cloned().collect();
                    let read = Trajectory::from_frames(&file, frames, Some(&structure)).unwrap();
                    assert!((read.interval_fs - 2.0 * every as f64).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn check_structure_finds_other_order() {
        let read = |text: &str| {
            extxyz::from_reader(text.as_bytes(), "f", LabelKeys::default()).unwrap().next().unwrap().unwrap()
        };
        // Hydrogen peroxide.
        let structure = read("4\n\nH 0.6 1.5 0\nO 0 0.7 0\nO 0 -0.7 0\nH 0.6 -1.5 0\n").system;
        let message =
            |text: &str| check_structure(&read(text), &structure).map_err(|error| error.to_string());
        assert_eq!(message("4\n\nH 0.6 1.6 0\nO 0 0.7 0\nO 0 -0.7 0\nH 0.6 -1.5 0.1\n"), Ok(()));
        let elements = message("4\n\nO 0 0.7 0\nH 0.6 1.5 0\nO 0 -0.7 0\nH 0.6 -1.5 0\n").unwrap_err();
        assert!(elements.contains("atom 0 is O in frame 0 and H in the structure"), "{elements}");
        let bonds = message("4\n\nH 0.6 -1.5 0\nO 0 0.7 0\nO 0 -0.7 0\nH 0.6 1.5 0\n").unwrap_err();
        assert!(bonds.contains("the atoms 0 and 1 are 2.28 Å apart in frame 0 and bonded"), "{bonds}");
    }

    #[test]
    fn no_velocities_names_column_that_is_there() {
        let read = |column: &str| {
            let text = format!("1\nProperties=species:S:1:pos:R:3:{column}:R:3\nH 0 0 0 1 2 3\n");
            let mut frames = extxyz::from_reader(text.as_bytes(), "f", LabelKeys::default()).unwrap();
            no_velocities(7, &frames.next().unwrap().unwrap())
        };
        assert!(read("momenta").starts_with("frame 7 has a column 'momenta' and no velocities"));
        assert!(read("velo").ends_with("is 'velo' the one?)"));
        assert!(read("tags").ends_with("in Å/fs)"));
    }
}
