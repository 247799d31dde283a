use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, Read};

use md_core::{Cell, Mat3, System, SystemError, Vec3};

use super::columns::{Atoms, Columns, number};
use super::comment::Comment;
use super::error::{XyzError, XyzProblem, excerpt};
use super::{LabelKeys, LabelledFrame};

/// Iterator over the frames of a reader. It holds one frame in memory and ends after an error.
///
/// ```
/// use md_io::extxyz::{FrameReader, LabelKeys};
/// let text = "2\nProperties=pos:R:3:species:S:1 energy=-31.7\n0 0 0 H\n0.74 0 0 H\n";
/// let mut frames = FrameReader::new(text.as_bytes(), "h2.extxyz", LabelKeys::default());
/// let h2 = frames.next().unwrap().unwrap();
/// assert_eq!((h2.system.n_atoms(), h2.energy_ev, h2.forces), (2, Some(-31.7), None));
/// assert!(frames.next().is_none());
/// ```
pub struct FrameReader<R> {
    lines: Lines<R>,
    file: String,
    keys: LabelKeys,
    /// Line with the number of atoms of the current frame.
    first_line: usize,
    finished: bool,
    names: Names,
}

/// Names that the frames of a file declare, for messages: of at most [`Names::MOST`] columns and keys, each an excerpt.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Columns of `Properties`.
    pub columns: BTreeSet<String>,
    /// Keys of the comment line, without `Properties`, `Lattice` and `pbc`.
    pub keys: BTreeSet<String>,
}

impl Names {
    /// Maximum number of names of each kind.
    pub const MOST: usize = 50;

    fn add<'n>(known: &mut BTreeSet<String>, names: impl IntoIterator<Item = &'n String>) {
        for name in names {
            if known.len() < Self::MOST && !known.contains(name) {
                known.insert(excerpt(name));
            }
        }
    }
}

impl<R: BufRead> FrameReader<R> {
    /// Creates an iterator over the frames of `reader`; `file` is its name in messages.
    pub fn new(reader: R, file: impl Into<String>, keys: LabelKeys) -> Self {
        let lines = Lines { reader, number: 0, buffer: Vec::new() };
        FrameReader {
            lines,
            file: file.into(),
            keys,
            first_line: 0,
            finished: false,
            names: Names::default(),
        }
    }

    /// Returns the names that the frames read so far declare.
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn read_frame(&mut self) -> Result<Option<LabelledFrame>, XyzProblem> {
        let Some(n_atoms) = self.read_atom_count()? else { return Ok(None) };
        self.first_line = self.lines.number;
        let truncated =
            |first_line, found| XyzProblem::Truncated { first_line, expected: n_atoms + 2, found };
        if n_atoms > XyzProblem::MOST_ATOMS {
            return Err(XyzProblem::TooManyAtoms { found: n_atoms });
        }
        let Some(comment) = self.lines.next()? else { return Err(truncated(self.first_line, 1)) };
        let header = Header::parse(comment, &self.keys)?;
        Names::add(&mut self.names.columns, header.columns.names());
        Names::add(&mut self.names.keys, header.comment.pairs().iter().map(|(key, _)| key));
        if header.energy_ev.is_some() {
            Names::add(&mut self.names.keys, [&self.keys.energy]);
        }
        let mut atoms = Atoms::default(); // grows with the lines read, not with the number of atoms declared
        for n_read in 0..n_atoms {
            let Some(line) = self.lines.next()? else {
                return Err(truncated(self.first_line, 2 + n_read));
            };
            header.columns.read_atom(line, &mut atoms)?;
        }
        let mut system = System::new(atoms.elements, atoms.positions)?;
        if !atoms.masses_amu.is_empty() {
            system = system.with_masses_amu(atoms.masses_amu)?;
        }
        if let Some(cell) = header.cell {
            system = system.with_cell(cell);
        }
        let declared = |column: Vec<Vec3>| (!column.is_empty()).then_some(column);
        Ok(Some(LabelledFrame {
            other_columns: header.columns.other_names().to_vec(),
            system,
            energy_ev: header.energy_ev,
            forces: declared(atoms.forces),
            velocities: declared(atoms.velocities),
            info: header.comment.into_pairs().into_iter().collect(),
        }))
    }

    /// Reads the number of atoms that begins a frame; `None` at the end of the file.
    fn read_atom_count(&mut self) -> Result<Option<usize>, XyzProblem> {
        while let Some(line) = self.lines.next()? {
            let text = line.trim();
            if !text.is_empty() {
                let count = text.parse().map_err(|_| XyzProblem::AtomCount { found: excerpt(text) })?;
                return Ok(Some(count));
            }
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for FrameReader<R> {
    type Item = Result<LabelledFrame, XyzError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let frame = self.read_frame().transpose();
        self.finished = !matches!(frame, Some(Ok(_)));
        frame.map(|result| {
            result.map_err(|problem| {
                let line = match &problem {
                    XyzProblem::System(error) => self.first_line + lines_below_count(error),
                    _ => self.lines.number,
                };
                XyzError::At { file: self.file.clone(), line, problem }
            })
        })
    }
}

impl<R> fmt::Debug for FrameReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("file", &self.file)
            .field("line", &self.lines.number)
            .finish_non_exhaustive()
    }
}

/// Returns the number of lines from the atom count to the line of an error.
fn lines_below_count(error: &SystemError) -> usize {
    match error {
        SystemError::NonFinitePosition { atom, .. } | SystemError::Mass { atom, .. } => 2 + atom,
        SystemError::Coincident { second, .. } => 2 + second,
        SystemError::Empty | SystemError::Length { .. } | SystemError::FlatCell => 0,
    }
}

/// Contents of the comment line.
struct Header {
    columns: Columns,
    cell: Option<Cell>,
    energy_ev: Option<f64>,
    /// The unused keys.
    comment: Comment,
}

impl Header {
    fn parse(line: &str, keys: &LabelKeys) -> Result<Self, XyzProblem> {
        let mut comment = Comment::parse(line)?;
        let properties = match comment.take("Properties")? {
            Some(properties) => Some(properties),
            None => comment.take("properties")?,
        };
        let mut columns = Columns::parse(properties.as_deref(), &keys.forces)?;
        if line.trim_start().starts_with("Atoms. Timestep:") {
            columns = columns.with_type_ids();
        }
        let cell = parse_cell(comment.take("Lattice")?, comment.take("pbc")?)?;
        let energy_ev = match comment.take(&keys.energy)? {
            Some(text) => Some(number(&text, "a finite energy in eV")?),
            None => None,
        };
        let header = Header { columns, cell, energy_ev, comment };
        if keys.required {
            header.require_labels(keys)?;
        }
        Ok(header)
    }

    fn require_labels(&self, keys: &LabelKeys) -> Result<(), XyzProblem> {
        if self.energy_ev.is_none() {
            let there: Vec<&str> = self.comment.pairs().iter().map(|(key, _)| key.as_str()).collect();
            return Err(missing("energy key", &keys.energy, &there));
        }
        if !self.columns.has_forces() {
            let there: Vec<&str> = self.columns.names().iter().map(String::as_str).collect();
            return Err(missing("force column", &keys.forces, &there));
        }
        Ok(())
    }
}

fn missing(what: &'static str, name: &str, present: &[&str]) -> XyzProblem {
    let present = if present.is_empty() { "none at all".into() } else { excerpt(&present.join(", ")) };
    XyzProblem::MissingLabel { what, name: name.to_owned(), present }
}

/// Parses the periodic cell; `None` for open boundaries.
fn parse_cell(lattice: Option<String>, pbc: Option<String>) -> Result<Option<Cell>, XyzProblem> {
    let vectors = lattice.as_deref().map(parse_lattice).transpose()?;
    let periodic = match &pbc {
        Some(text) => parse_pbc(text)?,
        None => [lattice.is_some(); 3],
    };
    if periodic == [false; 3] {
        return Ok(None);
    }
    let (Some(vectors), Some(found)) = (vectors, lattice) else {
        return Err(XyzProblem::NoLattice { pbc: excerpt(&pbc.unwrap_or_default()) });
    };
    match Cell::new(vectors, periodic) {
        Ok(cell) => Ok(Some(cell)),
        Err(error) => Err(XyzProblem::Lattice { found: excerpt(&found), reason: error.to_string() }),
    }
}

fn parse_lattice(text: &str) -> Result<Mat3, XyzProblem> {
    let wrong = |reason: String| XyzProblem::Lattice { found: excerpt(text), reason };
    let numbers = list(text)
        .map(|word| number(word, "a finite number"))
        .collect::<Result<Vec<f64>, _>>()
        .map_err(|problem| wrong(problem.to_string()))?;
    if numbers.len() != 9 {
        return Err(wrong(format!("it has {} numbers", numbers.len())));
    }
    Ok(Mat3::from_row_slice(&numbers))
}

fn parse_pbc(text: &str) -> Result<[bool; 3], XyzProblem> {
    let flags: Option<Vec<bool>> = list(text)
        .map(|word| match word {
            "T" | "True" | "TRUE" | "true" | "1" => Some(true),
            "F" | "False" | "FALSE" | "false" | "0" => Some(false),
            _ => None,
        })
        .collect();
    match flags.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[a, b, c]) => Ok([a, b, c]),
        _ => Err(XyzProblem::Pbc { found: excerpt(text) }),
    }
}

/// Splits a list at spaces, commas or brackets.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']')).filter(|word| !word.is_empty())
}

/// Numbered lines of text.
struct Lines<R> {
    reader: R,
    /// Number of the last line read, from 1.
    number: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line without its line end; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<&str>, XyzProblem> {
        self.buffer.clear();
        let mut limited = (&mut self.reader).take(XyzProblem::LONGEST_LINE_BYTES as u64 + 1);
        if limited.read_until(b'\n', &mut self.buffer).map_err(XyzProblem::Read)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.len() > XyzProblem::LONGEST_LINE_BYTES {
            return Err(XyzProblem::LongLine);
        }
        match str::from_utf8(&self.buffer) {
            Ok(line) => {
                // The byte order mark with which some editors begin a file.
                let line = if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line };
                Ok(Some(line.trim_end_matches(['\n', '\r'])))
            }
            Err(error) => Err(XyzProblem::NotUtf8 { byte: error.valid_up_to() + 1 }),
        }
    }
}
