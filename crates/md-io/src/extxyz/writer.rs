use std::io::{self, Write};

use md_core::{Cell, Element, System, Vec3};

/// A frame for [`write_frame`]. Create it with [`FrameToWrite::new`] or `FrameToWrite::from(&system)`.
#[derive(Debug, Clone, Copy)]
pub struct FrameToWrite<'a> {
    /// Element of each atom.
    pub elements: &'a [Element],
    /// Position of each atom, Å.
    pub positions: &'a [Vec3],
    /// Mass of each atom, amu. The column is omitted if all masses are standard ones.
    pub masses_amu: Option<&'a [f64]>,
    /// Periodic cell; `None` for open boundaries.
    pub cell: Option<&'a Cell>,
    /// Potential energy, eV.
    pub energy_ev: Option<f64>,
    /// Key of the energy. Readers take the default `energy` as a label; use another key if it is not one.
    pub energy_key: &'a str,
    /// Force on each atom, eV/Å.
    pub forces: Option<&'a [Vec3]>,
    /// Name of the force column, by default `forces`; likewise.
    pub forces_key: &'a str,
    /// Velocity of each atom, Å/fs.
    pub velocities: Option<&'a [Vec3]>,
    /// Other keys of the comment line, with their values as text.
    pub info: &'a [(&'a str, String)],
}

impl<'a> FrameToWrite<'a> {
    /// Creates a frame with open boundaries, standard masses, positions in Å, and nothing else.
    pub fn new(elements: &'a [Element], positions: &'a [Vec3]) -> Self {
        FrameToWrite {
            elements,
            positions,
            masses_amu: None,
            cell: None,
            energy_ev: None,
            energy_key: "energy",
            forces: None,
            forces_key: "forces",
            velocities: None,
            info: &[],
        }
    }
}

impl<'a> From<&'a System> for FrameToWrite<'a> {
    fn from(system: &'a System) -> Self {
        FrameToWrite {
            masses_amu: Some(system.masses_amu()),
            cell: system.cell(),
            ..FrameToWrite::new(system.elements(), system.positions())
        }
    }
}

/// Why a frame cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The writer failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The arrays differ in length.
    #[error("{elements} elements but {found} {what}")]
    Length {
        /// Number of elements.
        elements: usize,
        /// Length of the other array.
        found: usize,
        /// Contents of the other array.
        what: &'static str,
    },
    /// A key or value could not be read back.
    #[error("cannot write the key {key:?} with the value {value:?}: {reason}")]
    Info {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why it is not allowed.
        reason: &'static str,
    },
}

/// Writes one frame of extended XYZ in which every number is read back bit for bit (shortest decimal form) and which
/// ASE reads as the same frame.
///
/// ```
/// use md_core::{Element, Vec3};
/// use md_io::extxyz::{FrameToWrite, write_frame};
/// let (elements, positions) = ([Element::H; 2], [Vec3::zeros(), Vec3::new(0.74, 0.0, 0.0)]);
/// let info = [("name", "hydrogen molecule".to_owned())];
/// let frame = FrameToWrite { energy_ev: Some(-31.7), info: &info, ..FrameToWrite::new(&elements, &positions) };
/// let mut text = Vec::new();
/// write_frame(&mut text, &frame).unwrap();
/// assert_eq!(
///     String::from_utf8(text).unwrap(),
///     "2\nProperties=species:S:1:pos:R:3 energy=-31.7 pbc=\"F F F\" name=\"hydrogen molecule\"\n\
///      H 0.0 0.0 0.0\nH 0.74 0.0 0.0\n"
/// );
/// ```
///
/// # Errors
/// [`WriteError`]; nothing was written unless it is [`WriteError::Io`]. Non-finite numbers are written as they are
/// (`NaN`, `inf`), and the reader rejects them.
pub fn write_frame(out: &mut impl Write, frame: &FrameToWrite<'_>) -> Result<(), WriteError> {
    let elements = frame.elements.len();
    let lengths = [
        ("positions", Some(frame.positions.len())),
        ("masses", frame.masses_amu.map(<[f64]>::len)),
        ("forces", frame.forces.map(<[Vec3]>::len)),
        ("velocities", frame.velocities.map(<[Vec3]>::len)),
    ];
    for (what, found) in lengths {
        if let Some(found) = found.filter(|&n| n != elements) {
            return Err(WriteError::Length { elements, found, what });
        }
    }
    for (key, value) in frame.info {
        check_info(frame.energy_key, key, value)?;
    }
    let masses = frame
        .masses_amu
        .filter(|masses| masses.iter().zip(frame.elements).any(|(&mass, e)| mass != e.mass_amu()));

    writeln!(out, "{elements}")?;
    if let Some(cell) = frame.cell {
        let rows = cell.vectors().transpose(); // stored column by column
        let numbers: Vec<String> = rows.iter().map(|x| format!("{x:?}")).collect();
        write!(out, "Lattice=\"{}\" ", numbers.join(" "))?;
    }
    write!(out, "Properties=species:S:1:pos:R:3")?;
    if masses.is_some() {
        write!(out, ":masses:R:1")?;
    }
    if frame.velocities.is_some() {
        write!(out, ":velocities:R:3")?;
    }
    if frame.forces.is_some() {
        write!(out, ":{}:R:3", frame.forces_key)?;
    }
    if let Some(energy) = frame.energy_ev {
        write!(out, " {}={energy:?}", frame.energy_key)?;
    }
    let [a, b, c] =
        frame.cell.map_or([false; 3], Cell::periodic).map(|periodic| if periodic { 'T' } else { 'F' });
    write!(out, " pbc=\"{a} {b} {c}\"")?;
    for (key, value) in frame.info {
        write!(out, " {key}={}", quoted(value))?;
    }
    writeln!(out)?;
    for (i, element) in frame.elements.iter().enumerate() {
        write!(out, "{element}")?;
        write_vector(out, frame.positions[i])?;
        if let Some(masses) = masses {
            write!(out, " {:?}", masses[i])?;
        }
        if let Some(velocities) = frame.velocities {
            write_vector(out, velocities[i])?;
        }
        if let Some(forces) = frame.forces {
            write_vector(out, forces[i])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// `{:?}` of an f64 is the shortest text that is read back as the same number, with an exponent if that is shorter.
fn write_vector(out: &mut impl Write, v: Vec3) -> io::Result<()> {
    write!(out, " {:?} {:?} {:?}", v.x, v.y, v.z)
}

fn check_info(energy_key: &str, key: &str, value: &str) -> Result<(), WriteError> {
    let letters = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let reason = if !letters {
        "a key is a letter or _, then letters, digits, _ and -"
    } else if ["Lattice", "Properties", "pbc", "energy", energy_key].contains(&key) {
        "the frame itself sets this key"
    } else if value.is_empty() {
        "an empty value makes ASE misread what follows"
    } else if value.chars().any(char::is_control) {
        "a comment is one line without control characters"
    } else {
        return Ok(());
    };
    Err(WriteError::Info { key: key.to_owned(), value: value.to_owned(), reason })
}

fn quoted(value: &str) -> String {
    if value.chars().all(|c| c.is_ascii_alphanumeric() || "+-_.:/".contains(c)) {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
