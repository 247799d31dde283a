use crate::{Divergence, State, System, Vec3, bonds};

/// Limits beyond which a system counts as diverged. The default allows every finite state.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest distances allowed between pairs of atoms.
    pub bonds: Vec<BondLimit>,
    /// Highest kinetic temperature, K.
    pub max_temperature_k: f64,
}

/// The longest distance allowed between two atoms of a system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BondLimit {
    /// One atom, counted from 0 within the system.
    pub i: usize,
    /// The other atom.
    pub j: usize,
    /// Longest distance allowed, Å.
    pub limit_angstrom: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bonds: Vec::new(), max_temperature_k: f64::INFINITY }
    }
}

impl Limits {
    /// Returns limits that let every covalent bond of `system` ([`bonds::find`]) stretch to `bond_ratio` times its
    /// present length, and the temperature rise to `max_temperature_k` K.
    ///
    /// ```
    /// use md_core::{Element, Limits, System, Vec3};
    /// let h2 = System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(0.7, 0.0, 0.0)]).unwrap();
    /// let limits = Limits::for_molecule(&h2, 2.0, 5000.0);
    /// assert_eq!(limits.bonds[0].limit_angstrom, 1.4);
    /// ```
    pub fn for_molecule(system: &System, bond_ratio: f64, max_temperature_k: f64) -> Self {
        let bonds = bonds::find(system, bonds::DEFAULT_SCALE)
            .into_iter()
            .map(|b| BondLimit { i: b.i, j: b.j, limit_angstrom: bond_ratio * b.length_angstrom })
            .collect();
        Limits { bonds, max_temperature_k }
    }

    /// Returns the first limit that system `s` of `state` exceeds, causes before consequences; `None` if there is none.
    pub fn exceeded(&self, state: &State, s: usize) -> Option<Divergence> {
        let atoms = state.batch().range(s);
        let positions = &state.positions()[atoms.clone()];
        let finite = |v: &Vec3| v.iter().all(|x| x.is_finite());
        let first_bad = |vectors: &[Vec3]| vectors.iter().position(|v| !finite(v));
        if let Some(atom) = first_bad(positions) {
            return Some(Divergence::NonFinitePosition { atom });
        }
        if !state.potential_energy_ev(s).is_finite() {
            return Some(Divergence::NonFiniteEnergy);
        }
        if let Some(atom) = first_bad(&state.evaluation().forces[atoms.clone()]) {
            return Some(Divergence::NonFiniteForce { atom });
        }
        if let Some(atom) = first_bad(&state.velocities()[atoms]) {
            return Some(Divergence::NonFinitePosition { atom });
        }
        for &BondLimit { i, j, limit_angstrom } in &self.bonds {
            let distance_angstrom = (positions[j] - positions[i]).norm();
            if distance_angstrom > limit_angstrom {
                return Some(Divergence::BondStretched { i, j, distance_angstrom, limit_angstrom });
            }
        }
        let (temperature_k, limit_k) = (state.temperature_k(s), self.max_temperature_k);
        (temperature_k > limit_k).then_some(Divergence::TooHot { temperature_k, limit_k })
    }
}
