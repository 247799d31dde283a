//! Extended XYZ as read and written by ASE 3.29 (`ase.io.extxyz`), and plain XYZ.
//!
//! A frame is a line with the number of atoms, a comment line and one line per atom:
//!
//! ```text
//! 3
//! Properties=species:S:1:pos:R:3:forces:R:3 energy=-2061.4 pbc="F F F"
//! O  0.000  0.000  0.119   0.0  0.0  0.3
//! H  0.000  0.763 -0.477   0.0  0.1 -0.1
//! H  0.000 -0.763 -0.477   0.0 -0.1 -0.2
//! ```
//!
//! | in the file | meaning | unit |
//! |---|---|---|
//! | column `species` (S, 1) or `Z` (I, 1) | element, by symbol or atomic number; if both are given they must agree | |
//! | column `pos` (R, 3) | positions | Å |
//! | column `masses` or `mass` (R, 1) | masses; standard masses if absent | amu |
//! | column `velocities` (R, 3) | velocities | Å/fs |
//! | column [`LabelKeys::forces`] (R, 3) | forces | eV/Å |
//! | key [`LabelKeys::energy`] | potential energy | eV |
//! | key `Lattice` (9 numbers, or three lists of 3) | the three lattice vectors, one after the other | Å |
//! | key `pbc` (1 or 3 flags) | directions in which the system is periodic | |
//!
//! - Columns may be in any order; others are skipped by their declared width. Other keys are kept as text in
//!   [`LabelledFrame::info`]; words without a value are dropped. Values may be quoted as `"…"`, `'…'`, `{…}` or `[…]`,
//!   with `\` to escape a character.
//! - `Lattice` without `pbc` is periodic in all directions, as in ASE. With a `pbc` of three `F` the boundaries are
//!   open and the box is ignored. A periodic `pbc` without `Lattice` is an error.
//! - Without `Properties` the columns are `species`, `pos` (plain XYZ) and the rest of a line is ignored; keys in the
//!   comment are read there, too (an `energy` is assumed to be in eV). With `Properties` the number of columns must
//!   match exactly.
//! - `properties` is read as `Properties` is; exponents of numbers may begin with E or, as in Fortran, with D. A dump of
//!   LAMMPS with types instead of elements is an error.
//! - Non-finite numbers are errors, in positions and in labels.
//! - Blank lines before a frame and after the last one, and CRLF line ends, are accepted, and so is a byte order mark.
//! - A file that begins with the bytes `1f 8b` is treated as gzip, whatever its name, and decompressed as it is read.
//! - Memory is bounded by [`XyzProblem::LONGEST_LINE_BYTES`] and [`XyzProblem::MOST_ATOMS`], and a compression ratio
//!   too high for frames is an error.
//!
//! ASE keeps a column `velocities` untouched, as `atoms.arrays["velocities"]` in Å/fs; its own velocities are stored in
//! `momenta`, in other units. `atoms.set_velocities(atoms.arrays["velocities"] / ase.units.fs)` converts them. A column
//! `momenta` is skipped here.

mod columns;
mod comment;
mod error;
mod gzip;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use md_core::{System, Vec3};

pub use error::{XyzError, XyzProblem};
pub use reader::{FrameReader, Names};
pub use writer::{FrameToWrite, WriteError, write_frame};

/// Names of the labels in a file, and whether labels are required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelKeys {
    /// Key of the potential energy (eV) in the comment line.
    pub energy: String,
    /// Name of the force column (eV/Å).
    pub forces: String,
    /// Whether a frame without energy or forces is an error. Otherwise missing labels are `None`.
    pub required: bool,
}

impl Default for LabelKeys {
    /// `energy` and `forces`, as ASE writes them; not required.
    fn default() -> Self {
        LabelKeys { energy: "energy".into(), forces: "forces".into(), required: false }
    }
}

/// One frame of a file: a system with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledFrame {
    /// Elements, positions, masses and cell.
    pub system: System,
    /// Potential energy, eV.
    pub energy_ev: Option<f64>,
    /// Force on each atom, eV/Å.
    pub forces: Option<Vec<Vec3>>,
    /// Velocity of each atom, Å/fs.
    pub velocities: Option<Vec<Vec3>>,
    /// All other keys of the comment line with their values as text. The last value of a repeated key is kept.
    pub info: BTreeMap<String, String>,
    /// Names of the columns that were not read.
    pub other_columns: Vec<String>,
}

/// Opens a file, plain or gzip, for reading frame by frame.
///
/// # Errors
/// [`XyzError::Open`].
pub fn open(path: &Path, keys: LabelKeys) -> Result<FrameReader<Box<dyn BufRead + Send>>, XyzError> {
    File::open(path)
        .and_then(|file| from_reader(BufReader::new(file), path.display().to_string(), keys))
        .map_err(|source| XyzError::Open { path: path.to_owned(), source })
}

/// Reads frames from `reader`, plain or gzip; `file` is its name in messages.
///
/// # Errors
/// Errors of `reader` before the first frame.
pub fn from_reader<'a>(
    reader: impl BufRead + Send + 'a,
    file: impl Into<String>,
    keys: LabelKeys,
) -> io::Result<FrameReader<Box<dyn BufRead + Send + 'a>>> {
    Ok(FrameReader::new(gzip::decompressed(reader)?, file, keys))
}

/// Reads all frames of a file, at least one.
///
/// # Errors
/// See [`XyzError`]. No frames are returned if any part of the file is invalid.
pub fn read_frames(path: &Path, keys: &LabelKeys) -> Result<Vec<LabelledFrame>, XyzError> {
    let frames = open(path, keys.clone())?.collect::<Result<Vec<_>, _>>()?;
    if frames.is_empty() { Err(XyzError::NoFrames { path: path.to_owned() }) } else { Ok(frames) }
}

/// Reads the only frame of a file, without labels. The file is read to its end.
///
/// # Errors
/// See [`XyzError`]: also if anything but blank lines follows the frame, or a gzip checksum is wrong.
pub fn read_system(path: &Path) -> Result<System, XyzError> {
    let mut frames = open(path, LabelKeys::default())?;
    let Some(frame) = frames.next() else { return Err(XyzError::NoFrames { path: path.to_owned() }) };
    let system = frame?.system;
    match frames.next() {
        None => Ok(system),
        Some(Ok(_)) => Err(XyzError::SeveralFrames { path: path.to_owned() }),
        Some(Err(error)) => Err(error),
    }
}
