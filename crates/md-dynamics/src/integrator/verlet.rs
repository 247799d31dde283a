use md_core::{Integrator, Limits, Potential, State, StepError};

/// Velocity Verlet: constant energy (NVE), second order in the time step.
///
/// One force evaluation per step: `v += ½ dt F/m`, `x += dt v`, new `F`, `v += ½ dt F/m`.
///
/// Symplectic and time-reversible. It conserves total momentum and, for a rotationally invariant potential,
/// angular momentum to rounding. The total energy is not exactly conserved: it fluctuates by an amount
/// proportional to dt², without drift, because the scheme conserves exactly a 'shadow' energy that differs from
/// it by O(dt²). Stable while `dt < 2/ω` for the fastest vibration ω (C-H stretch: ω = 0.57/fs).
///
/// Source: W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, J. Chem. Phys. 76, 637 (1982).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VelocityVerlet {
    timestep_fs: f64,
}

impl VelocityVerlet {
    /// Creates the scheme with a time step of `timestep_fs` fs.
    ///
    /// # Errors
    /// [`StepError::TimeStep`] unless the time step is positive and finite.
    pub fn new(timestep_fs: f64) -> Result<Self, StepError> {
        Ok(VelocityVerlet { timestep_fs: checked_timestep_fs(timestep_fs)? })
    }
}

/// Returns a time step (fs) if it is positive and finite.
pub(crate) fn checked_timestep_fs(timestep_fs: f64) -> Result<f64, StepError> {
    let is_sensible = timestep_fs.is_finite() && timestep_fs > 0.0;
    if is_sensible { Ok(timestep_fs) } else { Err(StepError::TimeStep(timestep_fs)) }
}

/// Returns the potential plus kinetic energy of every system, eV, the conserved quantity of the schemes in NVE.
pub(crate) fn total_energies_ev(state: &State) -> Vec<f64> {
    let total = |s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s);
    (0..state.batch().n_systems()).map(total).collect()
}

impl Integrator for VelocityVerlet {
    fn name(&self) -> &str {
        "velocity Verlet"
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
        Ok(())
    }

    /// Uses the steps of the potential if it has any ([`Potential::velocity_verlet`]).
    fn steps(
        &mut self,
        state: &mut State,
        potential: &mut dyn Potential,
        steps: u64,
        limits: &[Limits],
    ) -> Result<u64, StepError> {
        if steps > 1
            && let Some(made) = potential.velocity_verlet(state, self.timestep_fs, steps, limits)?
        {
            return Ok(made);
        }
        self.step(state, potential)?;
        Ok(1)
    }

    /// Returns the total energy, potential plus kinetic, eV.
    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        total_energies_ev(state)
    }

    fn retain_systems(&mut self, _keep: &[usize]) {} // nothing is held per system
}
