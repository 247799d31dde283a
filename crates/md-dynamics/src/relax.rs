mod lbfgs;

use md_core::{Divergence, Limits, Potential, State, StepError, System};

use lbfgs::Lbfgs;

/// Stopping criteria of [`relax`].
#[derive(Debug, Clone, PartialEq)]
pub struct RelaxOptions {
    /// Threshold of convergence for the largest force on any atom, eV/Å.
    pub fmax_ev_per_angstrom: f64,
    /// Maximum number of steps (one force evaluation each) for any system.
    pub max_steps: u64,
    /// Largest ratio of a bond length to its initial value; beyond it the system counts as diverged. Bonds are those
    /// that [`bonds::find`](md_core::bonds::find) finds at the start. Infinity for starts so poor that atoms must
    /// separate.
    pub max_bond_ratio: f64,
}

impl Default for RelaxOptions {
    /// 0.01 eV/Å, 2000 steps, a bond ratio of 2.
    fn default() -> Self {
        RelaxOptions { fmax_ev_per_angstrom: 0.01, max_steps: 2000, max_bond_ratio: 2.0 }
    }
}

/// The result of [`relax`] for one system.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Relaxed {
    /// The system in its last geometry, or in its initial one if it diverged.
    pub system: System,
    /// Potential energy of the last geometry, eV. Not finite if the system diverged for that reason.
    pub energy_ev: f64,
    /// Length of the largest force in the last geometry, eV/Å. Not finite if the system diverged for that reason.
    pub max_force_ev_per_angstrom: f64,
    /// Number of steps made.
    pub steps: u64,
    /// How the relaxation ended.
    pub outcome: RelaxOutcome,
}

/// How the relaxation of one system ended.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RelaxOutcome {
    /// All forces are below the threshold.
    Converged,
    /// The maximum number of steps was reached.
    NotConverged,
    /// A bond broke, atoms coincided, or the energy or a force was not finite.
    Diverged(Divergence),
}

/// Relaxes every system to a nearby minimum of its potential energy, all in one batch.
///
/// The algorithm is L-BFGS with a line search by slopes: a quasi-Newton method in which every step goes at most 0.2 Å for any
/// atom and is shortened if it ends uphill. It needs forces only. The cell of a periodic system is not changed. The
/// result is not proven to be a minimum: a start on a saddle point, where the forces vanish, stays there.
///
/// A converged or diverged system leaves the batch. Its result does not depend on the other systems, bit for bit. The
/// results are in the order of `systems`, one for each.
///
/// Source: J. Nocedal, Math. Comput. 35, 773 (1980).
///
/// # Errors
/// See [`Potential::evaluate`]. Divergence is not an error.
pub fn relax(
    systems: &[System],
    potential: &mut dyn Potential,
    options: &RelaxOptions,
) -> Result<Vec<Relaxed>, StepError> {
    if systems.is_empty() {
        return Ok(Vec::new());
    }
    let limits: Vec<Limits> =
        systems.iter().map(|s| Limits::for_molecule(s, options.max_bond_ratio, f64::INFINITY)).collect();
    let mut finished: Vec<(usize, Relaxed)> = Vec::with_capacity(systems.len());
    let mut state = State::at_rest(systems, potential)?;
    let mut walkers = vec![Lbfgs::default(); systems.len()];
    let mut ids: Vec<usize> = (0..systems.len()).collect();
    for steps in 0..=options.max_steps {
        let mut keep = Vec::with_capacity(ids.len());
        for (k, &id) in ids.iter().enumerate() {
            let (atom, max_force_ev_per_angstrom) = largest_force(&state, k);
            let outcome = match limits[id].exceeded(&state, k) {
                Some(reason) => RelaxOutcome::Diverged(reason),
                // The components are finite but their squares are not, so no step can be computed from them.
                None if !max_force_ev_per_angstrom.is_finite() => {
                    RelaxOutcome::Diverged(Divergence::NonFiniteForce { atom })
                }
                None if max_force_ev_per_angstrom < options.fmax_ev_per_angstrom => RelaxOutcome::Converged,
                None if steps == options.max_steps => RelaxOutcome::NotConverged,
                None => {
                    keep.push(k);
                    continue;
                }
            };
            let (system, outcome) = final_geometry(&systems[id], &state, k, outcome);
            let energy_ev = state.potential_energy_ev(k);
            finished.push((id, Relaxed { system, energy_ev, max_force_ev_per_angstrom, steps, outcome }));
        }
        if keep.len() < ids.len() {
            state.retain_systems(&keep);
            walkers = keep.iter().map(|&k| walkers[k].clone()).collect();
            ids = keep.iter().map(|&k| ids[k]).collect();
        }
        if ids.is_empty() {
            break;
        }
        for (k, walker) in walkers.iter_mut().enumerate() {
            let atoms = state.batch().range(k);
            walker.step(&mut state, atoms);
        }
        state.evaluate(potential)?;
    }
    finished.sort_by_key(|(id, _)| *id);
    Ok(finished.into_iter().map(|(_, relaxed)| relaxed).collect())
}

/// Returns the atom of system `s` with the largest force, and the length of that force, eV/Å; NaN counts as largest.
fn largest_force(state: &State, s: usize) -> (usize, f64) {
    let forces = &state.evaluation().forces[state.batch().range(s)];
    // In the total order a positive NaN is larger than all numbers; `f64::max` would drop it.
    let lengths = forces.iter().map(|f| f.norm().abs()).enumerate();
    lengths.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Returns `start` at the last positions with `outcome`; `start` itself if it diverged or the geometry is invalid.
fn final_geometry(start: &System, state: &State, s: usize, outcome: RelaxOutcome) -> (System, RelaxOutcome) {
    if let RelaxOutcome::Diverged(_) = outcome {
        return (start.clone(), outcome);
    }
    match start.clone().with_positions(state.positions()[state.batch().range(s)].to_vec()) {
        Ok(system) => (system, outcome),
        Err(error) => (start.clone(), RelaxOutcome::Diverged(Divergence::InvalidGeometry { error })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Well, argon_atom, system, water};
    use md_core::Element;
    use md_probe::analytic::{HarmonicAngle, HarmonicAngles, HarmonicBond, HarmonicBonds, LennardJones};

    const ARGON: LennardJones = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };

    fn one(system: System, potential: &mut dyn Potential, options: &RelaxOptions) -> Relaxed {
        relax(&[system], potential, options).unwrap().remove(0)
    }

    fn springs(r0_angstrom: f64) -> HarmonicBonds {
        let bond = |j| HarmonicBond { atoms: [0, j], stiffness_ev_per_angstrom2: 50.0, r0_angstrom };
        HarmonicBonds(vec![bond(1), bond(2)])
    }

    fn tight() -> RelaxOptions {
        RelaxOptions { fmax_ev_per_angstrom: 1e-6, ..RelaxOptions::default() }
    }

    /// Atoms of the icosahedron of edge 4 Å and its centre, each displaced by up to 0.3 Å.
    fn icosahedron() -> System {
        let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
        let mut positions = vec![[0.0; 3]];
        for a in [-2.0, 2.0] {
            for b in [-2.0 * golden, 2.0 * golden] {
                positions.extend([[0.0, a, b], [a, b, 0.0], [b, 0.0, a]]);
            }
        }
        for (k, x) in positions.iter_mut().enumerate() {
            x[k % 3] += 0.3 * (k as f64).sin();
        }
        system(&["Ar"; 13], &positions)
    }

    #[test]
    fn relax_of_argon_13_finds_published_minimum() {
        let relaxed = one(icosahedron(), &mut ARGON.clone(), &tight());
        assert_eq!(relaxed.outcome, RelaxOutcome::Converged);
        assert!(relaxed.max_force_ev_per_angstrom < 1e-6);
        // Cambridge Cluster Database: -44.326801 ε.
        let reduced = relaxed.energy_ev / ARGON.epsilon_ev;
        assert!((reduced - -44.326801).abs() < 1e-6, "{reduced}");
        assert!(relaxed.steps < 200, "{} steps", relaxed.steps);
    }

    #[test]
    fn relax_of_water_finds_bonds_and_angle() {
        let angle = HarmonicAngle { atoms: [1, 0, 2], stiffness_ev_per_rad2: 4.0, theta0_rad: 1.8 };
        let terms: Vec<Box<dyn Potential>> =
            vec![Box::new(springs(0.97)), Box::new(HarmonicAngles(vec![angle]))];
        let mut potential = md_core::Sum::new(terms);
        let bent = system(&["O", "H", "H"], &[[0.0, 0.0, 0.0], [1.1, 0.1, 0.0], [-0.3, 0.8, 0.2]]);
        let relaxed = one(bent.clone(), &mut potential, &tight());
        assert_eq!(relaxed.outcome, RelaxOutcome::Converged);
        let [o, h1, h2] = relaxed.system.positions() else { panic!() };
        let (a, b) = (h1 - o, h2 - o);
        // A force of 1e-6 eV/Å leaves the bonds 2e-8 Å off and the angle 2.5e-7.
        assert!((a.norm() - 0.97).abs() < 1e-7 && (b.norm() - 0.97).abs() < 1e-7);
        assert!((a.angle(&b) - 1.8).abs() < 1e-6);
        assert!(relaxed.energy_ev < 1e-12);
        let coarse = one(bent, &mut potential, &RelaxOptions::default());
        assert!(coarse.max_force_ev_per_angstrom < 0.01 && coarse.steps < 100, "{} steps", coarse.steps);
        let again = one(coarse.system.clone(), &mut potential, &RelaxOptions::default());
        assert_eq!((again.steps, &again.system), (0, &coarse.system), "a minimum stays where it is");
    }

    #[test]
    fn relax_is_independent_of_batch() {
        let pair = |r| system(&["Ar", "Ar"], &[[0.0, 0.0, 0.0], [r, 0.0, 0.0]]);
        let systems = [icosahedron(), pair(3.3), pair(4.5), argon_atom(1.0), pair(5.0)];
        let together = relax(&systems, &mut ARGON.clone(), &RelaxOptions::default()).unwrap();
        assert_eq!(together.len(), systems.len());
        for (start, in_batch) in systems.iter().zip(&together) {
            assert_eq!(in_batch, &one(start.clone(), &mut ARGON.clone(), &RelaxOptions::default()));
            assert_eq!(in_batch.outcome, RelaxOutcome::Converged);
        }
        assert_eq!(together[3].steps, 0, "a lone atom feels no force");
        assert_eq!(relax(&[], &mut ARGON.clone(), &tight()).unwrap(), []);
    }

    #[test]
    fn relax_divergence_is_reported_and_keeps_start() {
        // Hydrogen atoms that repel each other, so that the bond breaks.
        let h2 = system(&["H", "H"], &[[0.0, 0.0, 0.0], [0.7, 0.0, 0.0]]);
        let exploded = one(h2.clone(), &mut ARGON.clone(), &tight());
        let RelaxOutcome::Diverged(Divergence::BondStretched { limit_angstrom, .. }) = exploded.outcome
        else {
            panic!("{:?}", exploded.outcome)
        };
        assert_eq!((limit_angstrom, &exploded.system), (1.4, &h2));
        // Springs of zero length, so that the atoms collapse to one point.
        let collapsed = one(water(), &mut springs(0.0), &tight());
        let RelaxOutcome::Diverged(reason @ Divergence::InvalidGeometry { .. }) = collapsed.outcome else {
            panic!("{:?}", collapsed.outcome)
        };
        assert!(reason.to_string().starts_with("the geometry became invalid: atoms 0 and 1 coincide"));
        assert_eq!(collapsed.system, water());
        // A force whose square overflows.
        let mut cliff = Well { k_ev_per_angstrom2: 1e200, edge_angstrom: 2.0 };
        let overflowed = one(argon_atom(1.0), &mut cliff, &tight());
        assert_eq!(overflowed.outcome, RelaxOutcome::Diverged(Divergence::NonFiniteForce { atom: 0 }));
        // A potential that returns NaN, next to a valid system.
        let mut well = Well { k_ev_per_angstrom2: 1.0, edge_angstrom: 2.0 };
        let outside = system(&["Ar", "Ar"], &[[2.5, 0.0, 0.0], [1.5, 0.0, 0.0]]);
        let both = relax(&[outside, argon_atom(1.0)], &mut well, &tight()).unwrap();
        assert_eq!(both[0].outcome, RelaxOutcome::Diverged(Divergence::NonFiniteEnergy));
        assert!(both[0].energy_ev.is_nan() && both[0].max_force_ev_per_angstrom.is_nan());
        assert_eq!(both[1].outcome, RelaxOutcome::Converged);
        assert!(both[1].system.positions()[0].norm() < 1e-6);
    }

    /// On a quadratic energy the method is that of conjugate gradients if every step ends in the minimum along its line: as many
    /// steps as there are different stiffnesses. Steps that end nearby need few more.
    #[test]
    fn relax_of_quadratic_energy_takes_few_steps() {
        let mut well = Well { k_ev_per_angstrom2: 3.0, edge_angstrom: 1e9 };
        let relaxed = one(argon_atom(5.0), &mut well, &tight());
        // 25 steps of 0.2 Å, and a last one that knows the stiffness.
        assert!(relaxed.steps <= 28, "{} steps", relaxed.steps);
        assert!(relaxed.system.positions()[0].norm() < 1e-6);
        let mut bonds = springs(0.9572);
        let stretched = system(&["O", "H", "H"], &[[0.0; 3], [1.05, 0.0, 0.0], [0.0, 0.90, 0.0]]);
        let relaxed = one(stretched, &mut bonds, &tight());
        assert!(relaxed.outcome == RelaxOutcome::Converged && relaxed.steps < 15, "{} steps", relaxed.steps);
    }

    #[test]
    fn relax_step_length_is_limited() {
        let clash = system(&["Ar", "Ar"], &[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
        let options = RelaxOptions { max_steps: 1, max_bond_ratio: f64::INFINITY, ..tight() };
        let parted = one(clash, &mut ARGON.clone(), &options);
        assert!(parted.energy_ev > 1.0);
        let [left, right] = parted.system.positions() else { panic!() };
        assert!((right.x - left.x - 1.4).abs() < 1e-12, "0.2 Å each");
    }

    #[test]
    fn relax_is_not_converged_when_steps_run_out() {
        let options = RelaxOptions { max_steps: 3, ..tight() };
        let relaxed = one(icosahedron(), &mut ARGON.clone(), &options);
        assert_eq!((relaxed.outcome, relaxed.steps), (RelaxOutcome::NotConverged, 3));
        assert!(relaxed.max_force_ev_per_angstrom > 1e-6);
        let (start, end) = (icosahedron(), relaxed.system);
        assert_ne!(start, end, "the last geometry, not the first");
        // A threshold of zero is never met, not even with zero force.
        let never = RelaxOptions { fmax_ev_per_angstrom: 0.0, max_steps: 20, ..tight() };
        let at_rest = one(argon_atom(1.0), &mut ARGON.clone(), &never);
        assert_eq!((at_rest.outcome, at_rest.steps), (RelaxOutcome::NotConverged, 20));
        assert_eq!(at_rest.system.elements(), [Element::AR]);
    }
}
