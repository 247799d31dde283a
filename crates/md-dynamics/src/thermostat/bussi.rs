use md_core::{Integrator, Potential, State, StepError, Vec3};
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use super::{Bath, Target, ThermostatError, baths, energy_less_heat_ev};
use crate::velocities::remove_rigid_motion;

/// Stochastic velocity rescaling: a velocity Verlet step, then one random factor on all velocities of a system.
///
/// With n degrees of freedom, kinetic energy K, its mean `K̄ = n k_B T / 2` and `c = exp(-dt/τ)`, the factor is the
/// square root of `α² = c + (1 - c) K̄ / (n K) (R₁² + Σ R²) + 2 √(c (1 - c) K̄ / (n K)) R₁` with n normal numbers R,
/// which is the exact flow of `dK = (K̄ - K) dt/τ + 2 √(K K̄ / n τ) dW`: K is distributed as in the canonical ensemble.
/// Without the random term it would be the Berendsen thermostat, whose K is not.
///
/// Conserves the total energy minus the heat added (`conserved_ev`) as velocity Verlet conserves the total energy. Not
/// time-reversible. If the state has fewer than 3 N degrees of freedom, rigid motion is removed from the velocities
/// after every scaling: the factors are largest when a molecule is slow, so that the rounding error in its momentum
/// would otherwise grow without bound.
///
/// Source: G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bussi {
    timestep_fs: f64,
    /// Factor c of the relaxation.
    pub(super) keep: f64,
    baths: Vec<Bath>,
}

impl Bussi {
    /// Creates the thermostat for the systems of `state`, with a target and a random seed for each; relaxation time in
    /// fs.
    ///
    /// # Errors
    /// [`ThermostatError`].
    pub fn new(
        timestep_fs: f64,
        relaxation_fs: f64,
        targets: &[Target],
        seeds: &[u64],
        state: &State,
    ) -> Result<Self, ThermostatError> {
        let baths = baths(timestep_fs, ("the relaxation time (fs)", relaxation_fs), targets, seeds, state)?;
        Ok(Bussi { timestep_fs, keep: (-timestep_fs / relaxation_fs).exp(), baths })
    }

    /// Scales the velocities of all systems.
    fn rescale(&mut self, state: &mut State) {
        let c = self.keep;
        let ranges: Vec<_> = state.batch().ranges().collect();
        for ((s, atoms), bath) in ranges.into_iter().enumerate().zip(&mut self.baths) {
            let n = state.degrees_of_freedom()[s];
            let before_ev = state.kinetic_energy_ev(s);
            if n == 0 || before_ev <= 0.0 {
                continue; // all velocities are zero, and remain so under any factor
            }
            let first: f64 = StandardNormal.sample(&mut bath.random);
            let others = match ChiSquared::new((n - 1) as f64) {
                Ok(squares) if n > 1 => squares.sample(&mut bath.random),
                _ => 0.0,
            };
            // K̄ / (n K)
            let ratio = 0.5 * bath.target.kt_ev(state.time_fs()) / before_ev;
            let spread = ((1.0 - c) * ratio).sqrt();
            let square = (c.sqrt() + spread * first).powi(2) + spread * spread * others;
            let sign = if c.sqrt() + spread * first < 0.0 { -1.0 } else { 1.0 };
            let factor = sign * square.sqrt();
            let mut scaled: Vec<Vec3> =
                state.velocities()[atoms.clone()].iter().map(|v| v * factor).collect();
            let missing = 3 * atoms.len() - n;
            if missing >= 3 {
                let masses = &state.batch().masses_amu()[atoms.clone()];
                remove_rigid_motion(masses, &state.positions()[atoms.clone()], missing - 3, &mut scaled);
            }
            state.velocities_mut()[atoms].copy_from_slice(&scaled);
            bath.heat_ev += state.kinetic_energy_ev(s) - before_ev;
        }
    }
}

impl Integrator for Bussi {
    fn name(&self) -> &str {
        "Bussi (stochastic velocity rescaling)"
    }

    fn timestep_fs(&self) -> f64 {
        self.timestep_fs
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        state.kick(0.5 * self.timestep_fs);
        state.drift(self.timestep_fs);
        state.evaluate(potential)?;
        state.kick(0.5 * self.timestep_fs);
        state.advance(self.timestep_fs);
        self.rescale(state);
        Ok(())
    }

    /// Returns the total energy minus the heat added by scaling, eV.
    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        energy_less_heat_ev(state, &self.baths)
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.baths = keep.iter().map(|&s| self.baths[s].clone()).collect();
    }
}
