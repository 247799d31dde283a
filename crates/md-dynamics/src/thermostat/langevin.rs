use md_core::units::AMU_ANGSTROM2_PER_FS2_IN_EV;
use md_core::{Integrator, Potential, State, StepError, Vec3};
use rand_distr::{Distribution, StandardNormal};

use super::{Bath, Target, ThermostatError, baths, energy_less_heat_ev};
use crate::velocities::remove_rigid_motion;

/// Langevin dynamics with the BAOAB splitting: half kick, half drift, friction and noise, half drift, half kick.
///
/// `m dv = F dt - γ m v dt + √(2 γ m k_B T) dW`. The middle part is exact: `v <- c v + √(1 - c²) √(k_B T / m) ξ`, `c =
/// exp(-γ dt)`. Averages over positions are exact for harmonic forces at any stable time step, and of high order
/// otherwise. One force evaluation per step.
///
/// Neither time-reversible nor symplectic. It conserves, up to the splitting error, the total energy minus the heat
/// added by friction and noise (`conserved_ev`), which tests forces and time step as the total energy does in NVE; the
/// error grows as the square root of time.
///
/// If the state has fewer than 3 N degrees of freedom, the rigid motion at the present positions is projected out of
/// the noise (only the momentum if 3 are missing). The projection is orthogonal in mass-weighted coordinates, so the
/// result is Maxwell-Boltzmann distributed on the remaining degrees of freedom, and a molecule without translation and
/// rotation never acquires any.
///
/// Source: B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34 (2013).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Langevin {
    timestep_fs: f64,
    /// Factor c of the friction.
    keep: f64,
    pub(super) baths: Vec<Bath>,
}

impl Langevin {
    /// Creates the thermostat for the systems of `state`, with a target and a random seed for each; friction in 1/ps.
    ///
    /// # Errors
    /// [`ThermostatError`].
    pub fn new(
        timestep_fs: f64,
        friction_per_ps: f64,
        targets: &[Target],
        seeds: &[u64],
        state: &State,
    ) -> Result<Self, ThermostatError> {
        let baths = baths(timestep_fs, ("the friction (1/ps)", friction_per_ps), targets, seeds, state)?;
        let keep = (-friction_per_ps * timestep_fs / md_core::units::FS_PER_PS).exp();
        Ok(Langevin { timestep_fs, keep, baths })
    }

    /// Applies friction and noise to the velocities of all systems.
    fn ornstein_uhlenbeck(&mut self, state: &mut State) {
        let noise_share = (1.0 - self.keep * self.keep).sqrt();
        let ranges: Vec<_> = state.batch().ranges().collect();
        for ((s, atoms), bath) in ranges.into_iter().enumerate().zip(&mut self.baths) {
            let before_ev = state.kinetic_energy_ev(s);
            let kt_ev = bath.target.kt_ev(state.time_fs());
            let missing = 3 * atoms.len() - state.degrees_of_freedom()[s];
            let masses = &state.batch().masses_amu()[atoms.clone()];
            let mut normal = || -> f64 { StandardNormal.sample(&mut bath.random) };
            let mut noise: Vec<Vec3> = masses
                .iter()
                .map(|m| {
                    let width = (kt_ev / (m * AMU_ANGSTROM2_PER_FS2_IN_EV)).sqrt();
                    Vec3::new(normal(), normal(), normal()) * (noise_share * width)
                })
                .collect();
            if missing >= 3 {
                let positions = &state.positions()[atoms.clone()];
                remove_rigid_motion(masses, positions, missing - 3, &mut noise);
            }
            for (v, noise) in state.velocities_mut()[atoms].iter_mut().zip(noise) {
                *v = *v * self.keep + noise;
            }
            bath.heat_ev += state.kinetic_energy_ev(s) - before_ev;
        }
    }
}

impl Integrator for Langevin {
    fn name(&self) -> &str {
        "Langevin (BAOAB)"
    }

    fn timestep_fs(&self) -> f64 {
        self.timestep_fs
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        state.kick(0.5 * self.timestep_fs);
        state.drift(0.5 * self.timestep_fs);
        self.ornstein_uhlenbeck(state);
        state.drift(0.5 * self.timestep_fs);
        state.evaluate(potential)?;
        state.kick(0.5 * self.timestep_fs);
        state.advance(self.timestep_fs);
        Ok(())
    }

    /// Returns the total energy minus the heat added by friction and noise, eV.
    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        energy_less_heat_ev(state, &self.baths)
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.baths = keep.iter().map(|&s| self.baths[s].clone()).collect();
    }
}
