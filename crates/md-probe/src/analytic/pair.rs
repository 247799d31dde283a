use md_core::{Batch, Configuration, Evaluation, Potential, PotentialError, Request, Vec3};

use super::{check_each, evaluate_each, require_atoms};

/// The Lennard-Jones potential between all pairs of atoms of a system, without cutoff:
/// `E = Σ 4 ε ((σ/r)¹² - (σ/r)⁶)`.
///
/// One ε and σ for all elements. The minimum of a pair is `-ε` at `r = 2^(1/6) σ`.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::LennardJones;
///
/// let mut argon = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
/// let pair = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(4.0, 0.0, 0.0)])?;
/// let state = State::at_rest(&[pair], &mut argon)?;
/// // 4 ε (0.85^12 - 0.85^6)
/// assert!((state.potential_energy_ev(0) - -0.009772162753).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LennardJones {
    /// Depth ε of the well, eV.
    pub epsilon_ev: f64,
    /// Distance σ at which the energy of a pair is zero, Å.
    pub sigma_angstrom: f64,
}

impl Potential for LennardJones {
    fn name(&self) -> &str {
        "Lennard-Jones"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |_| Ok(()))
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        evaluate_each(c, request, out, |_, positions, forces| {
            all_pairs(positions.len())
                .map(|(i, j)| {
                    pair(positions, forces, i, j, |r| {
                        let sixth = (self.sigma_angstrom / r).powi(6);
                        let energy = 4.0 * self.epsilon_ev * sixth * (sixth - 1.0);
                        let slope = -24.0 * self.epsilon_ev * sixth * (2.0 * sixth - 1.0) / r;
                        (energy, slope)
                    })
                })
                .sum()
        })
    }
}

/// The pairs of atoms that interact. Atoms are counted from 0 within each system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairs {
    /// Every pair of every system.
    All,
    /// The listed pairs of every system.
    List(Vec<(usize, usize)>),
}

/// The Morse potential, `E = Σ D (1 - exp(-a (r - r₀)))²`, a bond that can break.
///
/// `D` is the dissociation energy, `2 a² D` the curvature at the minimum `r₀`, where `E = 0`. P. M. Morse, Phys. Rev.
/// 34, 57 (1929).
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::{Morse, Pairs};
///
/// let mut h2 =
///     Morse { depth_ev: 4.747, steepness_per_angstrom: 1.944, r0_angstrom: 0.741, pairs: Pairs::All };
/// let pair = System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(1.0, 0.0, 0.0)])?;
/// let state = State::at_rest(&[pair], &mut h2)?;
/// // 4.747 (1 - exp(-1.944 0.259))²
/// assert!((state.potential_energy_ev(0) - 0.742850141459).abs() < 1e-11);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Morse {
    /// Depth D of the well, eV.
    pub depth_ev: f64,
    /// Steepness a, 1/Å.
    pub steepness_per_angstrom: f64,
    /// Equilibrium distance r₀, Å.
    pub r0_angstrom: f64,
    /// The interacting pairs.
    pub pairs: Pairs,
}

impl Potential for Morse {
    fn name(&self) -> &str {
        "Morse"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |elements| match &self.pairs {
            Pairs::All => Ok(()),
            Pairs::List(list) => require_atoms(list.iter().flat_map(|&(i, j)| [i, j]), elements),
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        let law = |r: f64| {
            let e = (-self.steepness_per_angstrom * (r - self.r0_angstrom)).exp();
            let slope = 2.0 * self.depth_ev * self.steepness_per_angstrom * e * (1.0 - e);
            (self.depth_ev * (1.0 - e).powi(2), slope)
        };
        evaluate_each(c, request, out, |_, positions, forces| match &self.pairs {
            Pairs::All => all_pairs(positions.len()).map(|(i, j)| pair(positions, forces, i, j, law)).sum(),
            Pairs::List(list) => list.iter().map(|&(i, j)| pair(positions, forces, i, j, law)).sum(),
        })
    }
}

pub(super) fn all_pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

/// Adds the forces of the pair and returns its energy. `law` maps r (Å) to E (eV) and dE/dr (eV/Å).
pub(super) fn pair(
    positions: &[Vec3],
    forces: &mut [Vec3],
    i: usize,
    j: usize,
    law: impl Fn(f64) -> (f64, f64),
) -> f64 {
    let displacement = positions[j] - positions[i];
    let r = displacement.norm();
    let (energy, slope) = law(r);
    let force = displacement * (slope / r);
    forces[i] += force;
    forces[j] -= force;
    energy
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::{Element, State, System};

    /// The 13-atom icosahedron is the global minimum of the Lennard-Jones cluster: -44.326801 ε (Cambridge
    /// Cluster Database; M. R. Hoare and P. Pal, Adv. Phys. 20, 161 (1971)).
    #[test]
    fn lennard_jones_13_icosahedron_has_published_energy() {
        let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
        let mut shell = vec![Vec3::zeros()];
        for a in [-1.0, 1.0] {
            for b in [-golden, golden] {
                shell.extend([Vec3::new(0.0, a, b), Vec3::new(a, b, 0.0), Vec3::new(b, 0.0, a)]);
            }
        }
        // E(s) = A s^-12 - B s^-6 for a cluster scaled by s, with its minimum -B²/(4A).
        let mut reduced = LennardJones { epsilon_ev: 1.0, sigma_angstrom: 1.0 };
        let mut energy = |scale: f64| {
            let positions = shell.iter().map(|x| x * scale).collect();
            let cluster = System::new(vec![Element::AR; 13], positions).unwrap();
            State::at_rest(&[cluster], &mut reduced).unwrap().potential_energy_ev(0)
        };
        let (e1, e2, u) = (energy(1.0), energy(0.5_f64.sqrt()), 8.0);
        let a = (e2 - u * e1) / (u * u - u);
        let b = a - e1;
        assert!((-b * b / (4.0 * a) - -44.326801).abs() < 5e-7);
    }

    #[test]
    fn morse_pair_list_ignores_others_and_must_fit_system() {
        let at = |x: f64| Vec3::new(x, 0.0, 0.0);
        let three = System::new(vec![Element::H; 3], vec![at(0.0), at(0.9), at(2.0)]).unwrap();
        let mut morse = Morse {
            depth_ev: 4.0,
            steepness_per_angstrom: 2.0,
            r0_angstrom: 0.7,
            pairs: Pairs::List(vec![(0, 1)]),
        };
        let state = State::at_rest(std::slice::from_ref(&three), &mut morse).unwrap();
        assert_eq!(state.evaluation().forces[2], Vec3::zeros());
        assert!(state.evaluation().forces[0].x > 0.0, "a stretched bond pulls its atoms together");
        morse.pairs = Pairs::List(vec![(0, 3)]);
        let error = State::at_rest(&[three], &mut morse).unwrap_err().to_string();
        assert!(error.contains("it has 3 atoms, but an interaction names atom 3"), "{error}");
    }
}
