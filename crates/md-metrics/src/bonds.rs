//! Bond lengths and broken bonds.

use md_core::Vec3;
use md_core::bonds::Bond;

use crate::MetricError;
use crate::error::{require_finite, require_finite_vectors};

/// Computes the distance between each pair of atoms (Å).
///
/// # Errors
/// [`MetricError::NoSuchAtom`] or [`MetricError::NonFinite`].
pub fn bond_lengths_angstrom(positions: &[Vec3], pairs: &[(usize, usize)]) -> Result<Vec<f64>, MetricError> {
    require_finite_vectors("positions", positions)?;
    pairs.iter().map(|&(i, j)| length(positions, i, j)).collect()
}

fn length(positions: &[Vec3], i: usize, j: usize) -> Result<f64, MetricError> {
    match (positions.get(i), positions.get(j)) {
        (Some(x), Some(y)) => Ok((y - x).norm()),
        _ => Err(MetricError::NoSuchAtom { i, j, n_atoms: positions.len() }),
    }
}

/// Statistics of one bond in a [`BondTracker`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BondRecord {
    /// The bond, with its reference length.
    pub bond: Bond,
    /// Largest ratio of length to reference length so far; 0 before the first frame.
    pub max_ratio: f64,
    /// Time at which that ratio first exceeded the limit of the tracker, ps.
    pub first_broken_ps: Option<f64>,
}

/// A broken bond and the time at which it broke.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrokenBond {
    /// The bond, with its reference length.
    pub bond: Bond,
    /// Time of the first frame in which it is broken, ps.
    pub time_ps: f64,
}

/// Tracks the bonds of a molecule through a run, in memory proportional to the number of bonds.
///
/// Displacements do not show whether a molecule is intact: rotation moves every atom by Ångströms, and a molecule that
/// lost a hydrogen atom by 1.5 Å has small mean displacements. The ratio of a bond length to its reference does.
///
/// ```
/// use md_core::{Vec3, bonds::Bond};
/// let oh = Bond { i: 0, j: 1, length_angstrom: 0.96 };
/// let mut tracker = md_metrics::BondTracker::new(vec![oh], 1.5)?;
/// for (time_ps, x) in [(0.0, 0.96), (0.1, 1.2), (0.2, 1.6), (0.3, 2.4)] {
///     tracker.observe(time_ps, &[Vec3::zeros(), Vec3::new(x, 0.0, 0.0)])?;
/// }
/// assert_eq!(tracker.first_broken().map(|broken| broken.time_ps), Some(0.2));
/// assert!((tracker.max_ratio().unwrap() - 2.5).abs() < 1e-12);
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BondTracker {
    records: Vec<BondRecord>,
    broken_ratio: f64,
    observed: bool,
}

impl BondTracker {
    /// Creates a tracker that counts a bond as broken when it is longer than `broken_ratio` times its reference length.
    ///
    /// # Errors
    /// [`MetricError::OutOfRange`] unless the ratio is above 1 and every reference length is positive.
    pub fn new(bonds: Vec<Bond>, broken_ratio: f64) -> Result<Self, MetricError> {
        if !(broken_ratio > 1.0 && broken_ratio.is_finite()) {
            let what = "the ratio at which a bond is broken";
            return Err(MetricError::OutOfRange { what, value: broken_ratio, expected: "a number above 1" });
        }
        if let Some(bond) = bonds.iter().find(|b| !(b.length_angstrom > 0.0 && b.length_angstrom.is_finite()))
        {
            let what = "the reference length of a bond (Å)";
            let value = bond.length_angstrom;
            return Err(MetricError::OutOfRange { what, value, expected: "a positive number" });
        }
        let records = bonds
            .into_iter()
            .map(|bond| BondRecord { bond, max_ratio: 0.0, first_broken_ps: None })
            .collect();
        Ok(BondTracker { records, broken_ratio, observed: false })
    }

    /// Adds one frame: time in ps, positions in Å.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`] or [`MetricError::NoSuchAtom`]; the frame is then not counted.
    pub fn observe(&mut self, time_ps: f64, positions: &[Vec3]) -> Result<(), MetricError> {
        require_finite("time", 0, time_ps)?;
        require_finite_vectors("positions", positions)?;
        if let Some(Bond { i, j, .. }) =
            self.records.iter().map(|r| r.bond).find(|b| b.i.max(b.j) >= positions.len())
        {
            return Err(MetricError::NoSuchAtom { i, j, n_atoms: positions.len() });
        }
        for record in &mut self.records {
            let Bond { i, j, length_angstrom } = record.bond;
            let ratio = length(positions, i, j)? / length_angstrom;
            record.max_ratio = record.max_ratio.max(ratio);
            if ratio > self.broken_ratio {
                record.first_broken_ps.get_or_insert(time_ps);
            }
        }
        self.observed = true;
        Ok(())
    }

    /// Returns the statistics of each bond, in the order given.
    pub fn records(&self) -> &[BondRecord] {
        &self.records
    }

    /// Largest ratio of any bond so far; `None` without bonds or frames.
    pub fn max_ratio(&self) -> Option<f64> {
        self.records.iter().filter(|_| self.observed).map(|r| r.max_ratio).reduce(f64::max)
    }

    /// Returns the bond that broke first; of several broken in the same frame, the first in the order given.
    pub fn first_broken(&self) -> Option<BrokenBond> {
        self.records
            .iter()
            .filter_map(|r| r.first_broken_ps.map(|time_ps| BrokenBond { bond: r.bond, time_ps }))
            .min_by(|a, b| a.time_ps.total_cmp(&b.time_ps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bond(i: usize, j: usize, length_angstrom: f64) -> Bond {
        Bond { i, j, length_angstrom }
    }

    proptest! {
        #[test]
        fn bonds_survive_tumbling(angles in prop::array::uniform3(-3.0..3.0_f64), shift in -50.0..50.0_f64) {
            let water = [Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)];
            let bonds = vec![bond(0, 1, 0.96), bond(0, 2, water[2].norm())];
            let mut tracker = BondTracker::new(bonds, 1.2).unwrap();
            let turn = nalgebra::Rotation3::from_euler_angles(angles[0], angles[1], angles[2]);
            tracker.observe(0.0, &water.map(|x| turn * x + Vec3::repeat(shift))).unwrap();
            prop_assert_eq!(tracker.first_broken(), None);
            prop_assert!((tracker.max_ratio().unwrap() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn bond_tracker_keeps_first_broken_time_per_bond() {
        let mut tracker = BondTracker::new(vec![bond(0, 1, 1.0), bond(1, 2, 1.0)], 1.5).unwrap();
        assert_eq!((tracker.max_ratio(), tracker.first_broken()), (None, None));
        let chain = |a: f64, b: f64| [Vec3::zeros(), Vec3::new(a, 0.0, 0.0), Vec3::new(a + b, 0.0, 0.0)];
        for (time_ps, a, b) in [(0.0, 1.0, 1.5), (1.0, 1.0, 1.6), (2.0, 3.0, 2.0), (3.0, 1.0, 1.0)] {
            tracker.observe(time_ps, &chain(a, b)).unwrap();
        }
        assert_eq!(tracker.first_broken(), Some(BrokenBond { bond: bond(1, 2, 1.0), time_ps: 1.0 }));
        let times: Vec<_> = tracker.records().iter().map(|r| r.first_broken_ps).collect();
        assert_eq!(times, [Some(2.0), Some(1.0)]);
        assert_eq!(tracker.max_ratio(), Some(3.0));
    }

    #[test]
    fn bond_tracker_rejects_bad_ratio_length_or_atom() {
        for ratio in [1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(BondTracker::new(vec![], ratio), Err(MetricError::OutOfRange { .. })));
        }
        assert!(matches!(BondTracker::new(vec![bond(0, 1, 0.0)], 1.5), Err(MetricError::OutOfRange { .. })));
        let mut tracker = BondTracker::new(vec![bond(0, 1, 1.0), bond(0, 7, 1.0)], 1.5).unwrap();
        let far = [Vec3::zeros(), Vec3::new(9.0, 0.0, 0.0)];
        let error = tracker.observe(0.0, &far).unwrap_err();
        assert_eq!(error, MetricError::NoSuchAtom { i: 0, j: 7, n_atoms: 2 });
        assert_eq!(tracker.max_ratio(), None, "the bad frame is not counted");
        assert!(tracker.observe(0.0, &[Vec3::repeat(f64::NAN); 8]).is_err());
        assert_eq!(bond_lengths_angstrom(&far, &[(0, 1), (1, 1)]), Ok(vec![9.0, 0.0]));
        assert!(bond_lengths_angstrom(&far, &[(0, 2)]).is_err());
    }
}
