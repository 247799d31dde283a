use std::io;
use std::path::PathBuf;

use md_core::{Element, ElementError, SystemError};

/// Why frames cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum XyzError {
    /// The file does not open.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An empty file.
    #[error("{} holds no frame (expected a line with the number of atoms first)", path.display())]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// Something wrong in the file.
    #[error("{file}:{line}: {problem}")]
    At {
        /// Name of the file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: XyzProblem,
    },
}

/// What is wrong in one line of a file. Text from the file is cut to [`XyzProblem::EXCERPT_CHARS`] characters.
#[derive(Debug, thiserror::Error)]
pub enum XyzProblem {
    /// The file cannot be read on.
    #[error("cannot read on: {0}")]
    Read(io::Error),
    /// Bytes that are no text.
    #[error("byte {byte} of the line is not UTF-8: is this a text file?")]
    NotUtf8 {
        /// First such byte, counted from 1.
        byte: usize,
    },
    /// A line that continues for too long to be one.
    #[error(
        "the line is longer than {} MiB: is this an extended XYZ file?",
        XyzProblem::LONGEST_LINE_BYTES >> 20
    )]
    LongLine,
    /// A frame that does not begin with a number of atoms.
    #[error("found {found:?} where a frame begins (expected the number of atoms alone)")]
    AtomCount {
        /// The line.
        found: String,
    },
    /// More atoms than a frame may have.
    #[error(
        "found {found} where a frame begins, expected at most {} atoms: is this the number of atoms of one frame?",
        XyzProblem::MOST_ATOMS
    )]
    TooManyAtoms {
        /// What the file says.
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
        /// Lines the frame needs.
        expected: usize,
        /// Lines that are there.
        found: usize,
    },
    /// A quote or bracket in an extended comment line that nothing closes.
    #[error("the comment line opens a {0} that is never closed (write \\{0} for the character itself)")]
    Unclosed(char),
    /// A key that may be given once.
    #[error("the comment line gives {0:?} twice: remove one")]
    RepeatedKey(String),
    /// A `Properties` value that describes no columns.
    #[error(
        "Properties={found:?}: {reason} (expected name:type:width triplets, such as species:S:1:pos:R:3)"
    )]
    Properties {
        /// The value.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line with too few or too many columns.
    #[error("found {found} columns, expected {}{expected}", if *.exactly { "" } else { "at least " })]
    Columns {
        /// Columns on the line.
        found: usize,
        /// Columns that `Properties` declares; 4 for plain XYZ.
        expected: usize,
        /// Whether more are wrong, too.
        exactly: bool,
    },
    /// A number that is none, or not finite.
    #[error("found {found:?}, expected {expected}")]
    Number {
        /// The text.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// No element.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// The columns `species` and `Z` name different elements.
    #[error("species says {species} but Z says {z}")]
    ElementConflict {
        /// Element by symbol.
        species: Element,
        /// Element by atomic number.
        z: Element,
    },
    /// A `Lattice` that is no cell.
    #[error(
        "Lattice={found:?}: {reason} (expected 9 numbers: three lattice vectors in Å, one after the other)"
    )]
    Lattice {
        /// The value.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `pbc` that is not understood.
    #[error("pbc={found:?} (expected one or three of T and F)")]
    Pbc {
        /// The value.
        found: String,
    },
    /// A periodic frame without a box.
    #[error(
        "pbc={pbc:?} without a Lattice: add Lattice=\"ax ay az bx by bz cx cy cz\" in Å, or set pbc=\"F F F\""
    )]
    NoLattice {
        /// The value of `pbc`.
        pbc: String,
    },
    /// A label that is required and not there.
    #[error("the frame has no {what} {name:?}; it has {present}")]
    MissingLabel {
        /// Key or column.
        what: &'static str,
        /// Its name.
        name: String,
        /// What there is instead.
        present: String,
    },
    /// Atoms that make no system.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl XyzProblem {
    /// Longest piece of a file that a message repeats.
    pub const EXCERPT_CHARS: usize = 80;
    /// Longest line that is read, bytes: memory is bounded whatever a file inflates to.
    pub const LONGEST_LINE_BYTES: usize = 4 << 20;
    /// Most atoms of a frame.
    pub const MOST_ATOMS: usize = 1_000_000;
}

/// The beginning of `text`, for a message. Characters that could steer a terminal are replaced.
pub(super) fn excerpt(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut start: String = chars.by_ref().take(XyzProblem::EXCERPT_CHARS).collect();
    start.extend(chars.next().map(|_| '…'));
    start
}
