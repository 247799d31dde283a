use crate::{Element, Mat3, Vec3};

/// Two atoms closer than this (Å) count as one atom entered twice.
pub const COINCIDENT_ANGSTROM: f64 = 0.05;

/// One molecule (or other collection of atoms) in one geometry: the input of a simulation.
///
/// Valid by construction: at least one atom, finite positions, no coincident atoms, positive masses.
///
/// ```
/// use md_core::{Element, System, Vec3};
/// let oh = System::new(vec![Element::O, Element::H], vec![Vec3::zeros(), Vec3::new(0.97, 0.0, 0.0)]).unwrap();
/// assert_eq!(oh.n_atoms(), 2);
/// assert_eq!(oh.masses_amu(), &[15.999, 1.008]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct System {
    elements: Vec<Element>,
    masses_amu: Vec<f64>,
    positions: Vec<Vec3>,
    cell: Option<Cell>,
}

/// Why a list of atoms is not a valid [`System`]. Atoms are counted from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SystemError {
    /// There are no atoms.
    #[error("the system has no atoms")]
    Empty,
    /// The arrays differ in length.
    #[error("{elements} elements but {found} {what}")]
    Length {
        /// Number of elements given.
        elements: usize,
        /// Length of the other array.
        found: usize,
        /// Contents of the other array.
        what: String,
    },
    /// A coordinate is NaN or infinite.
    #[error("atom {atom} ({element}) has the position ({}, {}, {}), which is not finite", position.x, position.y, position.z)]
    NonFinitePosition {
        /// Index of the atom.
        atom: usize,
        /// Its element.
        element: Element,
        /// Its position, Å.
        position: Vec3,
    },
    /// Two atoms coincide.
    #[error(
        "atoms {first} and {second} coincide ({distance_angstrom:.4} Å apart, less than {COINCIDENT_ANGSTROM} Å): \
         remove one of them or correct its position"
    )]
    Coincident {
        /// Index of one atom.
        first: usize,
        /// Index of the other.
        second: usize,
        /// Their distance in Å.
        distance_angstrom: f64,
    },
    /// A mass is not positive and finite.
    #[error("atom {atom} has a mass of {mass_amu} amu (expected a positive number)")]
    Mass {
        /// Index of the atom.
        atom: usize,
        /// The mass given, amu.
        mass_amu: f64,
    },
    /// The lattice vectors span no volume.
    #[error("the lattice vectors are not finite or span no volume")]
    FlatCell,
}

impl System {
    /// Creates a system with standard atomic masses and open boundaries. `positions` in Å, one per element.
    ///
    /// # Errors
    /// See [`SystemError`].
    pub fn new(elements: Vec<Element>, positions: Vec<Vec3>) -> Result<Self, SystemError> {
        if elements.is_empty() {
            return Err(SystemError::Empty);
        }
        check_length(elements.len(), positions.len(), "positions")?;
        for (atom, &position) in positions.iter().enumerate() {
            if !position.iter().all(|x| x.is_finite()) {
                return Err(SystemError::NonFinitePosition { atom, element: elements[atom], position });
            }
        }
        if let Some(error) = coincident(&positions) {
            return Err(error);
        }
        let masses_amu = elements.iter().map(|e| e.mass_amu()).collect();
        Ok(System { elements, masses_amu, positions, cell: None })
    }

    /// Returns the same system with other masses (isotopes) (amu).
    ///
    /// # Errors
    /// [`SystemError::Length`] or [`SystemError::Mass`].
    pub fn with_masses_amu(mut self, masses_amu: Vec<f64>) -> Result<Self, SystemError> {
        check_length(self.elements.len(), masses_amu.len(), "masses")?;
        if let Some((atom, &mass_amu)) =
            masses_amu.iter().enumerate().find(|(_, m)| !(m.is_finite() && **m > 0.0))
        {
            return Err(SystemError::Mass { atom, mass_amu });
        }
        self.masses_amu = masses_amu;
        Ok(self)
    }

    /// Returns the same system in a periodic cell.
    #[must_use]
    pub fn with_cell(mut self, cell: Cell) -> Self {
        self.cell = Some(cell);
        self
    }

    /// Returns the same atoms at other positions (Å).
    ///
    /// # Errors
    /// See [`SystemError`].
    pub fn with_positions(self, positions: Vec<Vec3>) -> Result<Self, SystemError> {
        let moved = System::new(self.elements, positions)?;
        Ok(System { masses_amu: self.masses_amu, cell: self.cell, ..moved })
    }

    /// Number of atoms, at least 1.
    pub fn n_atoms(&self) -> usize {
        self.elements.len()
    }

    /// Element of each atom.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Mass of each atom, amu.
    pub fn masses_amu(&self) -> &[f64] {
        &self.masses_amu
    }

    /// Position of each atom, Å.
    pub fn positions(&self) -> &[Vec3] {
        &self.positions
    }

    /// Periodic cell; `None` for open boundaries.
    pub fn cell(&self) -> Option<&Cell> {
        self.cell.as_ref()
    }
}

/// Finds two coincident atoms.
///
/// Each atom is compared with those in the cells around it. The cells are cubes so small that one cannot hold more than
/// a few atoms that are all apart, so a coincident pair is found early, and the cost is that of sorting for any
/// arrangement.
fn coincident(positions: &[Vec3]) -> Option<SystemError> {
    // The conversion saturates: atoms that far away differ by more than this anyway, or not at all.
    let cell =
        |x: &Vec3| -> [i64; 3] { std::array::from_fn(|c| (x[c] / COINCIDENT_ANGSTROM).floor() as i64) };
    let mut atoms: Vec<([i64; 3], usize)> = positions.iter().map(cell).zip(0..).collect();
    atoms.sort_unstable();
    for (first, x) in positions.iter().enumerate() {
        let [cx, cy, cz] = cell(x);
        let near = |c: i64| [c.saturating_sub(1), c, c.saturating_add(1)];
        let columns = near(cx).into_iter().flat_map(|x| near(cy).map(|y| [x, y]));
        let around = columns.flat_map(|[x, y]| {
            let [low, _, high] = near(cz);
            let from = atoms.partition_point(|(cell, _)| *cell < [x, y, low]);
            atoms[from..].iter().take_while(move |(cell, _)| *cell <= [x, y, high])
        });
        let at = |second: usize| (second, (positions[second] - x).norm());
        let near_enough = around
            .filter(|(_, second)| *second > first)
            .map(|&(_, second)| at(second))
            .filter(|&(_, distance)| distance <= COINCIDENT_ANGSTROM);
        if let Some((second, distance_angstrom)) = near_enough.min_by_key(|&(second, _)| second) {
            return Some(SystemError::Coincident { first, second, distance_angstrom });
        }
    }
    None
}

fn check_length(elements: usize, found: usize, what: &str) -> Result<(), SystemError> {
    if elements == found {
        Ok(())
    } else {
        Err(SystemError::Length { elements, found, what: what.to_owned() })
    }
}

/// Lattice of a periodic system: the rows are the lattice vectors (Å), with a periodicity flag for each.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Cell {
    vectors: Mat3,
    periodic: [bool; 3],
}

impl Cell {
    /// Creates a cell from its lattice vectors (rows, Å) and the directions in which it repeats.
    ///
    /// # Errors
    /// [`SystemError::FlatCell`] when the vectors span no volume.
    pub fn new(vectors: Mat3, periodic: [bool; 3]) -> Result<Self, SystemError> {
        let volume = vectors.determinant().abs();
        let scale = vectors.row(0).norm() * vectors.row(1).norm() * vectors.row(2).norm();
        if volume.is_finite() && volume > 1e-9 * scale {
            Ok(Cell { vectors, periodic })
        } else {
            Err(SystemError::FlatCell)
        }
    }

    /// Lattice vectors as rows, Å.
    pub fn vectors(&self) -> &Mat3 {
        &self.vectors
    }

    /// Whether the system repeats along each lattice vector.
    pub fn periodic(&self) -> [bool; 3] {
        self.periodic
    }

    /// Volume in Å³.
    pub fn volume_angstrom3(&self) -> f64 {
        self.vectors.determinant().abs()
    }
}
