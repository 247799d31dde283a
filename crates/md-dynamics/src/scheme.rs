use md_core::{Integrator, Limits, Potential, State, StepError};

use crate::{Bussi, Langevin, NoseHooverChain, VelocityVerlet};

/// Any integrator of this crate as data, with all that it holds of its systems: random streams, thermostats, heat. A
/// copy goes on exactly, and so does one that was stored (feature `serde`).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Scheme {
    /// [`VelocityVerlet`].
    VelocityVerlet(VelocityVerlet),
    /// [`Langevin`].
    Langevin(Langevin),
    /// [`Bussi`].
    Bussi(Bussi),
    /// [`NoseHooverChain`].
    NoseHooverChain(NoseHooverChain),
}

impl Scheme {
    fn get(&self) -> &dyn Integrator {
        match self {
            Scheme::VelocityVerlet(scheme) => scheme,
            Scheme::Langevin(scheme) => scheme,
            Scheme::Bussi(scheme) => scheme,
            Scheme::NoseHooverChain(scheme) => scheme,
        }
    }

    fn get_mut(&mut self) -> &mut dyn Integrator {
        match self {
            Scheme::VelocityVerlet(scheme) => scheme,
            Scheme::Langevin(scheme) => scheme,
            Scheme::Bussi(scheme) => scheme,
            Scheme::NoseHooverChain(scheme) => scheme,
        }
    }
}

impl Integrator for Scheme {
    fn name(&self) -> &str {
        self.get().name()
    }

    fn timestep_fs(&self) -> f64 {
        self.get().timestep_fs()
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        self.get_mut().step(state, potential)
    }

    fn steps(
        &mut self,
        state: &mut State,
        potential: &mut dyn Potential,
        steps: u64,
        limits: &[Limits],
    ) -> Result<u64, StepError> {
        self.get_mut().steps(state, potential, steps, limits)
    }

    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        self.get().conserved_ev(state)
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.get_mut().retain_systems(keep);
    }
}
