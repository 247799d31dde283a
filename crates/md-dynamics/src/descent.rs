use std::collections::BTreeSet;

use md_core::{Fate, Limits, Potential, State, System};

use crate::stream_seed;
use crate::{
    RelaxOptions, RelaxOutcome, Relaxed, RunError, RunOptions, VelocityError, VelocityOptions,
    VelocityVerlet, relax, run, thermalise,
};

/// Temperature, time step and number of steps (0.5 ps) of the dynamics between two relaxations. They are to leave a minimum, not
/// to conserve energy: velocity Verlet is stable at 1 fs for every vibration of a molecule.
const TEMPERATURE_K: f64 = 500.0;
const TIMESTEP_FS: f64 = 1.0;
const STEPS: u64 = 500;

/// Number of copies of each system, and maximum number of repetitions.
const COPIES: usize = 4;
const ROUNDS: usize = 4;

/// Time steps of one round of [`descend`] for each system, relaxations apart.
pub const DESCENT_STEPS: u64 = COPIES as u64 * STEPS;

/// Smallest difference between two minima, eV: relaxations to the usual force threshold differ by less.
const LOWER_BY_EV: f64 = 1e-3;

/// Why [`descend`] failed.
#[derive(Debug, thiserror::Error)]
pub enum DescentError {
    /// Velocities cannot be drawn.
    #[error(transparent)]
    Velocities(#[from] VelocityError),
    /// The potential failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Searches for minima below those of `relaxed`, and returns the lowest found for each system.
///
/// A structure relaxes to the nearest minimum, which is often a shallow one: a conformer that a run leaves soon, with
/// the difference in energy as heat. Here four copies of each system make 0.5 ps at constant energy with a mean energy of
/// 500 K and are relaxed (inherent structures, F. H. Stillinger, T. A. Weber, Phys. Rev. A 25, 978 (1982)); where one of
/// them is lower, the same is done from there, at most four times. Copies that diverge are left out; a system whose
/// relaxation diverged is not changed. `seeds` select the velocities ([`thermalise`]).
///
/// # Errors
/// [`DescentError`]; divergence is not an error.
pub fn descend(
    relaxed: &[Relaxed],
    seeds: &[u64],
    potential: &mut dyn Potential,
    options: &RelaxOptions,
) -> Result<Vec<Relaxed>, DescentError> {
    let mut lowest = relaxed.to_vec();
    let mut open: Vec<usize> =
        (0..relaxed.len()).filter(|&k| !matches!(relaxed[k].outcome, RelaxOutcome::Diverged(_))).collect();
    for round in 0..ROUNDS {
        let copies: Vec<usize> = open.iter().flat_map(|&k| [k; COPIES]).collect();
        let systems: Vec<System> = copies.iter().map(|&k| lowest[k].system.clone()).collect();
        let of_copy = |(n, &k): (usize, &usize)| stream_seed(seeds[k], &format!("{round}/{}", n % COPIES));
        let seeds: Vec<u64> = copies.iter().enumerate().map(of_copy).collect();
        let (ids, shaken) = shake(&systems, &seeds, potential, options)?;
        let found = relax(&shaken, potential, options).map_err(RunError::from)?;
        let mut lower = BTreeSet::new();
        for (id, found) in ids.into_iter().zip(found) {
            let k = copies[id];
            if found.outcome == RelaxOutcome::Converged && found.energy_ev < lowest[k].energy_ev - LOWER_BY_EV
            {
                lowest[k] = found;
                lower.insert(k);
            }
        }
        open = lower.into_iter().collect();
    }
    Ok(lowest)
}

/// Returns the systems after some dynamics, without those that diverged, and their indices.
fn shake(
    systems: &[System],
    seeds: &[u64],
    potential: &mut dyn Potential,
    options: &RelaxOptions,
) -> Result<(Vec<usize>, Vec<System>), DescentError> {
    if systems.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut state = State::at_rest(systems, potential).map_err(RunError::from)?;
    // Twice the kinetic energy: none is in the bonds yet.
    let temperatures = vec![2.0 * TEMPERATURE_K; systems.len()];
    thermalise(&mut state, &temperatures, seeds, &VelocityOptions::default())?;
    let mut verlet = VelocityVerlet::new(TIMESTEP_FS).map_err(RunError::from)?;
    let limits =
        systems.iter().map(|s| Limits::for_molecule(s, options.max_bond_ratio, f64::INFINITY)).collect();
    let fates = run(&mut state, &mut verlet, potential, &mut [], &RunOptions { steps: STEPS, limits })?;
    let ids = (0..systems.len()).filter(|&id| fates[id] == Fate::Finished);
    // Positions of a finished system are finite, so that all are valid.
    let shaken = ids.zip(state.batch().ranges()).filter_map(|(id, atoms)| {
        let positions = state.positions()[atoms].to_vec();
        Some((id, systems[id].clone().with_positions(positions).ok()?))
    });
    Ok(shaken.unzip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{argon_atom, system};
    use md_core::{Batch, Configuration, Evaluation, PotentialError, Request};

    /// A double well along the distance of two argon atoms: minima near 3 and 4 Å, the second lower by 0.02 eV.
    struct DoubleWell;

    impl Potential for DoubleWell {
        fn name(&self) -> &str {
            "double well"
        }

        fn check(&self, _batch: &Batch, _request: Request) -> Result<(), PotentialError> {
            Ok(())
        }

        fn evaluate(
            &mut self,
            c: Configuration<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<(), PotentialError> {
            out.reset(c.batch, request);
            for (s, atoms) in c.batch.ranges().enumerate() {
                if atoms.len() < 2 {
                    continue;
                }
                let between = c.positions[atoms.start + 1] - c.positions[atoms.start];
                let u = 2.0 * (between.norm() - 3.5); // -1 and 1 at the minima
                // A barrier of 0.02 eV, and a slope.
                let (height, slope) = (0.02, 0.01);
                out.energies[s] = height * (u * u - 1.0).powi(2) - slope * u;
                let force = between.normalize() * (2.0 * (4.0 * height * u * (u * u - 1.0) - slope));
                out.forces[atoms.start] += force;
                out.forces[atoms.start + 1] -= force;
            }
            Ok(())
        }
    }

    #[test]
    fn descend_finds_lower_well_and_leaves_atoms_alone() {
        let systems = [system(&["Ar", "Ar"], &[[0.0; 3], [3.0, 0.0, 0.0]]), argon_atom(0.0)];
        let options = RelaxOptions { max_bond_ratio: f64::INFINITY, ..RelaxOptions::default() };
        let relaxed = relax(&systems, &mut DoubleWell, &options).unwrap();
        let lowest = descend(&relaxed, &[1, 2], &mut DoubleWell, &options).unwrap();
        let distance = |r: &Relaxed| (r.system.positions()[1] - r.system.positions()[0]).norm();
        let found = [&relaxed[0], &lowest[0]].map(distance);
        assert!(found[0] < 3.3 && found[1] > 3.9, "{found:?}");
        assert_eq!(lowest[1], relaxed[1]);
        // It stays where it is lowest, and its result is its own.
        assert_eq!(descend(&lowest[..1], &[1], &mut DoubleWell, &options).unwrap()[0], lowest[0]);
        let alone = descend(&relaxed[..1], &[1], &mut DoubleWell, &options).unwrap();
        assert_eq!(alone[0], lowest[0]);
    }
}
