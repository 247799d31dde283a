//! Detection of repeated geometries.

use std::collections::BTreeMap;

use md_core::System;
use md_metrics::{Composition, composition};

/// Tolerance of interatomic distances of equal geometries, Å: the displacement of an atom at 100 K in a tenth of a
/// femtosecond.
const SAME_ANGSTROM: f64 = 1e-4;

/// Descriptor of a geometry, invariant under translation, rotation, reflection and permutation of equal atoms.
///
/// It contains the mean and the root mean square of the distances of each atom to the others, weighted by their atomic
/// numbers and sorted among the atoms of an element: none of them changes more than the distance that changes most.
#[derive(Debug, Clone)]
pub struct Geometry {
    composition: Composition,
    /// Sorted means and root mean squares of distances, Å.
    distances: Vec<f64>,
}

impl Geometry {
    /// Computes the descriptor of a system.
    pub fn from_system(system: &System) -> Self {
        let (elements, positions) = (system.elements(), system.positions());
        let weights: Vec<f64> = elements.iter().map(|e| f64::from(e.atomic_number())).collect();
        let mut by_atom = Vec::with_capacity(2 * elements.len());
        for (i, element) in elements.iter().enumerate() {
            let [mut sum, mut squares, mut total] = [0.0; 3];
            for (j, weight) in weights.iter().enumerate().filter(|(j, _)| *j != i) {
                let squared = (positions[i] - positions[j]).norm_squared();
                sum += weight * squared.sqrt();
                squares += weight * squared;
                total += weight;
            }
            if total > 0.0 {
                by_atom.push((0, *element, sum / total));
                by_atom.push((1, *element, (squares / total).sqrt()));
            }
        }
        by_atom.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        let distances = by_atom.into_iter().map(|(_, _, distance)| distance).collect();
        Geometry { composition: composition(elements), distances }
    }

    /// Returns the mean of all values in units of the tolerance, rounded down: for equal geometries it differs by at
    /// most one.
    fn cell(&self) -> i64 {
        let mean = self.distances.iter().sum::<f64>() / self.distances.len().max(1) as f64;
        (mean / SAME_ANGSTROM).floor() as i64
    }

    fn is_same(&self, other: &[f64]) -> bool {
        self.distances.len() == other.len()
            && self.distances.iter().zip(other).all(|(a, b)| (a - b).abs() <= SAME_ANGSTROM)
    }
}

/// A set of distinct geometries.
#[derive(Debug, Clone, Default)]
pub struct Geometries(BTreeMap<Composition, BTreeMap<i64, Vec<Vec<f64>>>>);

impl Geometries {
    /// Adds a geometry; returns whether it is new.
    pub fn insert(&mut self, geometry: &Geometry) -> bool {
        if self.contains(geometry) {
            return false;
        }
        let known = self.0.entry(geometry.composition.clone()).or_default();
        known.entry(geometry.cell()).or_default().push(geometry.distances.clone());
        true
    }

    /// Whether a geometry is known.
    pub fn contains(&self, geometry: &Geometry) -> bool {
        let cell = geometry.cell();
        let near = cell.saturating_sub(1)..=cell.saturating_add(1);
        self.0.get(&geometry.composition).is_some_and(|known| {
            known.range(near).flat_map(|(_, all)| all).any(|other| geometry.is_same(other))
        })
    }
}

#[cfg(test)]
mod tests {
    use md_core::{Element, Vec3};

    use super::*;

    fn water(positions: [[f64; 3]; 3], elements: [Element; 3]) -> Geometry {
        let positions = positions.map(Vec3::from).to_vec();
        Geometry::from_system(&System::new(elements.to_vec(), positions).unwrap())
    }

    #[test]
    fn geometries_insert_recognises_moved_and_permuted_copies() {
        let (h, o) = (Element::H, Element::O);
        let mut known = Geometries::default();
        assert!(known.insert(&water([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, h])));
        for (same, elements) in [
            ([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, h]),
            ([[0.0, 0.0, 0.0], [-0.24, 0.93, 0.0], [0.96, 0.0, 0.0]], [o, h, h]),
            ([[0.96, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.24, 0.93, 0.0]], [h, o, h]),
            ([[5.0, 1.0, 2.0], [5.0, 1.96, 2.0], [5.0, 0.76, 2.93]], [o, h, h]),
            ([[0.0, 0.0, 0.0], [0.960_05, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, h]),
            ([[0.0, 0.0, 0.0], [0.959_95, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, h]),
        ] {
            assert!(!known.insert(&water(same, elements)), "{same:?}");
        }
        for (other, elements) in [
            ([[0.0, 0.0, 0.0], [0.961, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, h]),
            ([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.241, 0.93, 0.0]], [o, h, h]),
            ([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], [h, o, h]),
            ([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], [o, h, Element::N]),
        ] {
            assert!(known.insert(&water(other, elements)), "{other:?}");
        }
    }
}
