use std::ops::Range;

use crate::{Cell, Element, System, Vec3};

/// Many independent systems as a structure of arrays, with the properties that do not change as they move.
///
/// The atoms of system `s` are `range(s)` in every per-atom array. Systems do not interact.
///
/// ```
/// use md_core::{Batch, Element, System, Vec3};
/// let argon = System::new(vec![Element::AR], vec![Vec3::zeros()]).unwrap();
/// let pair = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(3.8, 0.0, 0.0)]).unwrap();
/// let batch = Batch::new(&[argon, pair]);
/// assert_eq!((batch.n_systems(), batch.n_atoms()), (2, 3));
/// assert_eq!(batch.range(1), 1..3);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Batch {
    elements: Vec<Element>,
    masses_amu: Vec<f64>,
    offsets: Vec<usize>,
    cells: Vec<Option<Cell>>,
}

impl Batch {
    /// Creates a batch of these systems, in order. It does not contain positions: see [`Batch::gather_positions`].
    pub fn new(systems: &[System]) -> Self {
        let mut offsets = vec![0];
        for system in systems {
            offsets.push(offsets[offsets.len() - 1] + system.n_atoms());
        }
        Batch {
            elements: systems.iter().flat_map(System::elements).copied().collect(),
            masses_amu: systems.iter().flat_map(System::masses_amu).copied().collect(),
            offsets,
            cells: systems.iter().map(|s| s.cell().cloned()).collect(),
        }
    }

    /// Returns the positions (Å) of all atoms of these systems, in batch order.
    pub fn gather_positions(systems: &[System]) -> Vec<Vec3> {
        systems.iter().flat_map(System::positions).copied().collect()
    }

    /// Number of systems.
    pub fn n_systems(&self) -> usize {
        self.cells.len()
    }

    /// Number of atoms in all systems.
    pub fn n_atoms(&self) -> usize {
        self.elements.len()
    }

    /// Indices of the atoms of system `s`. Panics if there is no such system.
    pub fn range(&self, s: usize) -> Range<usize> {
        self.offsets[s]..self.offsets[s + 1]
    }

    /// The ranges of all systems, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|w| w[0]..w[1])
    }

    /// Element of each atom.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Mass of each atom, amu.
    pub fn masses_amu(&self) -> &[f64] {
        &self.masses_amu
    }

    /// Periodic cell of system `s`; `None` for open boundaries.
    pub fn cell(&self, s: usize) -> Option<&Cell> {
        self.cells[s].as_ref()
    }

    /// Returns the batch of only the systems `keep`, in that order.
    #[must_use]
    pub fn select(&self, keep: &[usize]) -> Self {
        let mut offsets = vec![0];
        for &s in keep {
            offsets.push(offsets[offsets.len() - 1] + self.range(s).len());
        }
        Batch {
            elements: self.select_atoms(keep, &self.elements),
            masses_amu: self.select_atoms(keep, &self.masses_amu),
            offsets,
            cells: keep.iter().map(|&s| self.cells[s].clone()).collect(),
        }
    }

    /// Returns the entries of a per-atom array that belong to the systems `keep`.
    pub fn select_atoms<T: Clone>(&self, keep: &[usize], per_atom: &[T]) -> Vec<T> {
        keep.iter().flat_map(|&s| per_atom[self.range(s)].iter().cloned()).collect()
    }
}

/// A batch at given positions, the input of a potential.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    /// The systems.
    pub batch: &'a Batch,
    /// Position of each atom, Å, one per atom of the batch.
    pub positions: &'a [Vec3],
}
