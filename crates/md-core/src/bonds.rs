//! Covalent bonds inferred from a geometry.

use crate::{System, neighbours};

/// A bond between atoms `i < j`, with its length in the geometry it was inferred from.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bond {
    /// Index of one atom.
    pub i: usize,
    /// Index of the other atom, larger than `i`.
    pub j: usize,
    /// Length in Å.
    pub length_angstrom: f64,
}

/// Default factor on the sum of covalent radii up to which [`find`] takes two atoms as bonded.
pub const DEFAULT_SCALE: f64 = 1.25;

/// Returns the pairs of atoms closer than `scale` times the sum of their covalent radii (Cordero et al. 2008), ordered
/// by `i`, then `j`. Atoms of elements without a tabulated radius form no bonds.
///
/// ```
/// use md_core::{Element, System, Vec3, bonds};
/// let water = System::new(
///     vec![Element::O, Element::H, Element::H],
///     vec![Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)],
/// ).unwrap();
/// let found = bonds::find(&water, bonds::DEFAULT_SCALE);
/// assert_eq!(found.iter().map(|b| (b.i, b.j)).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
/// ```
pub fn find(system: &System, scale: f64) -> Vec<Bond> {
    let radii: Vec<Option<f64>> = system.elements().iter().map(|e| e.covalent_radius_angstrom()).collect();
    let largest = radii.iter().flatten().fold(0.0, |a: f64, &b| a.max(b));
    let mut bonds = Vec::new();
    neighbours::for_each_pair(system.positions(), 2.0 * largest * scale, |pair| {
        if let (Some(a), Some(b)) = (radii[pair.i], radii[pair.j])
            && pair.distance < scale * (a + b)
        {
            bonds.push(Bond { i: pair.i, j: pair.j, length_angstrom: pair.distance });
        }
    });
    bonds
}
