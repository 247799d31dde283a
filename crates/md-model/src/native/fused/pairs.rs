//! Pairs of atoms of several systems, and the conversion of their gradients to forces.

use md_core::{Vec3, neighbours};

use crate::geometry::UNIT_EPSILON;
use crate::native::matrix::Real;
use crate::student::Systems;

/// Two atoms within the cutoff.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<T> {
    pub(super) i: usize,
    /// Larger than `i`.
    pub(super) j: usize,
    /// From i to j.
    pub(super) direction: [T; 3],
    displacement: Vec3,
    /// Distance, Å.
    pub(super) distance: f64,
}

/// The gradient of the energy with respect to distance (eV/Å) and direction (eV) of a pair.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairGrads {
    pub(super) distance: f64,
    pub(super) direction: Vec3,
}

/// Finds all pairs of atoms of the same system within the cutoff (Å), system by system.
pub(super) fn find<T: Real>(systems: &Systems<'_>, cutoff: f64, pairs: &mut Vec<Pair<T>>) {
    pairs.clear();
    for atoms in systems.ranges() {
        let first = atoms.start;
        neighbours::for_each_pair(&systems.positions[atoms], cutoff, |pair| {
            let r = pair.displacement / (pair.distance + UNIT_EPSILON);
            pairs.push(Pair {
                i: first + pair.i,
                j: first + pair.j,
                direction: [T::from_f64(r.x), T::from_f64(r.y), T::from_f64(r.z)],
                displacement: pair.displacement,
                distance: pair.distance,
            });
        });
    }
}

/// Adds to `forces` (eV/Å) the contribution of the gradients with respect to pairs.
pub(super) fn add_forces<T>(pairs: &[Pair<T>], by_pairs: &[PairGrads], forces: &mut [Vec3]) {
    for (pair, by) in pairs.iter().zip(by_pairs) {
        // ∂d/∂x = x/d (0 where d = 0), and u = x/(d + ε).
        let (x, d) = (pair.displacement, pair.distance);
        let s = d + UNIT_EPSILON;
        let along = by.distance - by.direction.dot(&x) / (s * s);
        let gradient = x * (along / d.max(f64::MIN_POSITIVE)) + by.direction / s;
        forces[pair.i] += gradient;
        forces[pair.j] -= gradient;
    }
}
