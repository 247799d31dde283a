use std::io;
use std::path::PathBuf;

use md_core::{Element, ElementError, SystemError};

/// Why frames cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum XyzError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{} holds no frame (expected a line with the number of atoms first)", path.display())]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// A file of one structure has more than one.
    #[error("{} holds more than one frame (expected one structure): give a file of the one that is meant", path.display())]
    SeveralFrames {
        /// The file.
        path: PathBuf,
    },
    /// A line of the file is invalid.
    #[error("{file}:{line}: {problem}")]
    At {
        /// Name of the file.
        file: String,
        /// Line number, counted from 1.
        line: usize,
        /// Problem in that line.
        problem: XyzProblem,
    },
}

/// A problem in one line of a file. Text from the file is truncated to [`XyzProblem::EXCERPT_CHARS`] characters.
#[derive(Debug, thiserror::Error)]
pub enum XyzProblem {
    /// Reading failed within the file.
    #[error("cannot read on: {0}")]
    Read(io::Error),
    /// The line is not UTF-8 text.
    #[error("byte {byte} of the line is not UTF-8: is this a text file?")]
    NotUtf8 {
        /// First invalid byte, counted from 1.
        byte: usize,
    },
    /// The line is too long.
    #[error(
        "the line is longer than {} MiB: is this an extended XYZ file?",
        XyzProblem::LONGEST_LINE_BYTES >> 20
    )]
    LongLine,
    /// A frame does not begin with the number of atoms.
    #[error("found {found:?} where a frame begins (expected the number of atoms alone)")]
    AtomCount {
        /// The line.
        found: String,
    },
    /// The frame has more atoms than allowed.
    #[error(
        "found {found} where a frame begins, expected at most {} atoms: is this the number of atoms of one frame?",
        XyzProblem::MOST_ATOMS
    )]
    TooManyAtoms {
        /// Number of atoms in the file.
        found: usize,
    },
    /// The file ends inside a frame.
    #[error(
        "the file ends inside the frame that begins at line {first_line}: expected {expected} lines \
         (2 and one per atom), found {found}"
    )]
    Truncated {
        /// Line with the number of atoms.
        first_line: usize,
        /// Number of lines that the frame needs.
        expected: usize,
        /// Number of lines found.
        found: usize,
    },
    /// A quote or bracket in an extended comment line is not closed.
    #[error("the comment line opens a {0} that is never closed (write \\{0} for the character itself)")]
    Unclosed(char),
    /// A key that may occur once is repeated.
    #[error("the comment line gives {0:?} twice: remove one")]
    RepeatedKey(String),
    /// The value of `Properties` does not describe columns.
    #[error(
        "Properties={found:?}: {reason} (expected name:type:width triplets, such as species:S:1:pos:R:3)"
    )]
    Properties {
        /// The value.
        found: String,
        /// Why it is invalid.
        reason: String,
    },
    /// A line has too few or too many columns.
    #[error("found {found} columns, expected {}{expected}", if *.exactly { "" } else { "at least " })]
    Columns {
        /// Number of columns on the line.
        found: usize,
        /// Number of columns declared by `Properties`; 4 for plain XYZ.
        expected: usize,
        /// Whether more columns are an error, too.
        exactly: bool,
    },
    /// A number is invalid or not finite.
    #[error("found {found:?}, expected {expected}")]
    Number {
        /// The text.
        found: String,
        /// Description of the expected value.
        expected: &'static str,
    },
    /// The element is unknown.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// An atom has a type instead of an element.
    #[error(
        "found the atom type {found} of LAMMPS, expected an element (write the dump with \
         `dump_modify ID element C H ...`)"
    )]
    TypeId {
        /// The text.
        found: String,
    },
    /// The columns `species` and `Z` name different elements.
    #[error("species says {species} but Z says {z}")]
    ElementConflict {
        /// Element by symbol.
        species: Element,
        /// Element by atomic number.
        z: Element,
    },
    /// The value of `Lattice` is not a valid cell.
    #[error(
        "Lattice={found:?}: {reason} (expected 9 numbers: three lattice vectors in Å, one after the other)"
    )]
    Lattice {
        /// The value.
        found: String,
        /// Why it is invalid.
        reason: String,
    },
    /// The value of `pbc` is invalid.
    #[error("pbc={found:?} (expected one or three of T and F)")]
    Pbc {
        /// The value.
        found: String,
    },
    /// A periodic frame has no lattice.
    #[error(
        "pbc={pbc:?} without a Lattice: add Lattice=\"ax ay az bx by bz cx cy cz\" in Å, or set pbc=\"F F F\""
    )]
    NoLattice {
        /// The value of `pbc`.
        pbc: String,
    },
    /// A required label is missing.
    #[error("the frame has no {what} {name:?}; it has {present}")]
    MissingLabel {
        /// Key or column.
        what: &'static str,
        /// Its name.
        name: String,
        /// Labels that are present.
        present: String,
    },
    /// The atoms do not form a valid system.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl XyzProblem {
    /// Maximum length of text from a file in a message, in characters.
    pub const EXCERPT_CHARS: usize = 80;
    /// Maximum length of a line, bytes; it bounds the memory for any file, also a compressed one.
    pub const LONGEST_LINE_BYTES: usize = 4 << 20;
    /// Maximum number of atoms in a frame.
    pub const MOST_ATOMS: usize = 1_000_000;
}

/// Returns the beginning of `text` for a message. Characters that could control a terminal are replaced.
pub(super) fn excerpt(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut start: String = chars.by_ref().take(XyzProblem::EXCERPT_CHARS).collect();
    start.extend(chars.next().map(|_| '…'));
    start
}
