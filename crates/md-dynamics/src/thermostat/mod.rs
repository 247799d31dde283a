//! Thermostats: integrators at constant temperature, each with the quantity it conserves.
//!
//! | thermostat | velocities | use |
//! |---|---|---|
//! | [`Langevin`] | friction and noise on every atom | preparation: fast loss of memory, mixes all vibrations |
//! | [`Bussi`] | all scaled by one random factor | sampling with the least disturbance of the dynamics |
//! | [`NoseHooverChain`] | all scaled by one factor that has a mass | sampling without random numbers; small stiff molecules mix slowly |
//!
//! Each system has its own target, random stream and accumulated heat. They are part of the integrator, so a run
//! continues exactly from a copy of state and integrator. The degrees of freedom are those of the state
//! ([`thermalise`](crate::thermalise) sets them): momenta held at zero stay zero.

mod bussi;
mod langevin;
mod nose_hoover;

pub use bussi::Bussi;
pub use langevin::Langevin;
pub use nose_hoover::NoseHooverChain;

use md_core::units::BOLTZMANN_EV_PER_K;
use md_core::{State, StepError};
use rand_chacha::ChaCha12Rng;

use crate::Scheme;
use crate::integrator::checked_timestep_fs;
use crate::scheme::schemes;
use crate::velocities::stream;

/// The target temperature of a thermostat.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Target {
    /// A constant temperature, K.
    Constant(f64),
    /// A linear ramp in time from one temperature to another, constant afterwards.
    Ramp {
        /// Temperature at time 0, K.
        from_k: f64,
        /// Temperature after `duration_fs`, K.
        to_k: f64,
        /// Length of the ramp, fs.
        duration_fs: f64,
    },
}

impl Target {
    /// Returns the target at a time of the state, K.
    ///
    /// ```
    /// let ramp = md_dynamics::Target::Ramp { from_k: 100.0, to_k: 300.0, duration_fs: 1000.0 };
    /// assert_eq!((ramp.at_k(0.0), ramp.at_k(250.0), ramp.at_k(2000.0)), (100.0, 150.0, 300.0));
    /// ```
    pub fn at_k(self, time_fs: f64) -> f64 {
        match self {
            Target::Constant(kelvins) => kelvins,
            Target::Ramp { from_k, to_k, duration_fs } => {
                from_k + (to_k - from_k) * (time_fs / duration_fs).clamp(0.0, 1.0)
            }
        }
    }

    fn kt_ev(self, time_fs: f64) -> f64 {
        BOLTZMANN_EV_PER_K * self.at_k(time_fs)
    }

    fn is_sensible(self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        match self {
            Target::Constant(kelvins) => positive(kelvins),
            Target::Ramp { from_k, to_k, duration_fs } => {
                [from_k, to_k, duration_fs].into_iter().all(positive)
            }
        }
    }
}

/// Why a thermostat cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum ThermostatError {
    /// The time step is not valid, or lists do not fit the batch.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A temperature, or the length of a ramp, is not positive and finite.
    #[error("system {system} has the target {target:?} (expected positive temperatures and times)")]
    Target {
        /// System of the batch.
        system: usize,
        /// The target given.
        target: Target,
    },
    /// A friction or relaxation time is not positive and finite.
    #[error("{what} is {value} (expected a positive number)")]
    Parameter {
        /// Name of the parameter, with its unit.
        what: &'static str,
        /// Value given.
        value: f64,
    },
    /// A ramp was given to a thermostat whose conserved quantity requires a constant temperature.
    #[error("{thermostat} cannot follow a temperature ramp: use Langevin or Bussi")]
    Ramp {
        /// Name of the thermostat.
        thermostat: &'static str,
    },
}

/// A thermostat with its parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ThermostatKind {
    /// [`Langevin`].
    Langevin {
        /// Friction, 1/ps.
        friction_per_ps: f64,
    },
    /// [`Bussi`].
    Bussi {
        /// Relaxation time of the kinetic energy, fs.
        relaxation_fs: f64,
    },
    /// [`NoseHooverChain`].
    NoseHoover {
        /// Period of the chain, fs.
        relaxation_fs: f64,
    },
}

impl ThermostatKind {
    /// All thermostats with their default parameters: a friction weak enough to leave vibrations nearly undisturbed, a
    /// relaxation time of 100 fs.
    pub const ALL: [ThermostatKind; 3] = [
        ThermostatKind::Langevin { friction_per_ps: 5.0 },
        ThermostatKind::Bussi { relaxation_fs: 100.0 },
        ThermostatKind::NoseHoover { relaxation_fs: 100.0 },
    ];

    /// Returns the thermostat with this name.
    pub fn find(name: &str) -> Option<Self> {
        ThermostatKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Name in campaign files and results.
    pub fn name(self) -> &'static str {
        match self {
            ThermostatKind::Langevin { .. } => "langevin",
            ThermostatKind::Bussi { .. } => "bussi",
            ThermostatKind::NoseHoover { .. } => "nose_hoover",
        }
    }

    /// Name of the parameter, with its unit.
    pub fn parameter(self) -> &'static str {
        match self {
            ThermostatKind::Langevin { .. } => "friction_per_ps",
            ThermostatKind::Bussi { .. } | ThermostatKind::NoseHoover { .. } => "relaxation_fs",
        }
    }

    /// Returns the same thermostat with another value of its [parameter](ThermostatKind::parameter).
    #[must_use]
    pub fn with_parameter(self, value: f64) -> Self {
        match self {
            ThermostatKind::Langevin { .. } => ThermostatKind::Langevin { friction_per_ps: value },
            ThermostatKind::Bussi { .. } => ThermostatKind::Bussi { relaxation_fs: value },
            ThermostatKind::NoseHoover { .. } => ThermostatKind::NoseHoover { relaxation_fs: value },
        }
    }

    /// Returns whether the thermostat supports a changing temperature ([`Target::Ramp`]).
    pub fn follows_ramps(self) -> bool {
        !matches!(self, ThermostatKind::NoseHoover { .. })
    }

    /// Creates the integrator for the systems of `state`, with a target and a seed for each.
    ///
    /// # Errors
    /// [`ThermostatError`].
    pub fn build(
        self,
        timestep_fs: f64,
        targets: &[Target],
        seeds: &[u64],
        state: &State,
    ) -> Result<Scheme, ThermostatError> {
        let thermostat: Thermostat = match self {
            ThermostatKind::Langevin { friction_per_ps } => {
                Langevin::new(timestep_fs, friction_per_ps, targets, seeds, state)?.into()
            }
            ThermostatKind::Bussi { relaxation_fs } => {
                Bussi::new(timestep_fs, relaxation_fs, targets, seeds, state)?.into()
            }
            ThermostatKind::NoseHoover { relaxation_fs } => {
                NoseHooverChain::new(timestep_fs, relaxation_fs, targets, state)?.into()
            }
        };
        Ok(thermostat.into())
    }
}

schemes! {
    /// Any thermostat of this crate as data.
    Thermostat: Langevin, Bussi, NoseHooverChain
}

/// The data of any thermostat for one system.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Bath {
    target: Target,
    random: ChaCha12Rng,
    /// Heat added to the system so far, eV.
    heat_ev: f64,
}

/// Checks the arguments common to all thermostats and creates a [`Bath`] for each system.
fn baths(
    timestep_fs: f64,
    parameter: (&'static str, f64),
    targets: &[Target],
    seeds: &[u64],
    state: &State,
) -> Result<Vec<Bath>, ThermostatError> {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    checked_timestep_fs(timestep_fs)?;
    let (what, value) = parameter;
    if !positive(value) {
        return Err(ThermostatError::Parameter { what, value });
    }
    let expected = state.batch().n_systems();
    for (what, found) in [("targets", targets.len()), ("seeds", seeds.len())] {
        if found != expected {
            return Err(StepError::Length { what, expected, found }.into());
        }
    }
    if let Some(system) = targets.iter().position(|t| !t.is_sensible()) {
        return Err(ThermostatError::Target { system, target: targets[system] });
    }
    let bath = |(&target, &seed)| Bath { target, random: stream(seed), heat_ev: 0.0 };
    Ok(targets.iter().zip(seeds).map(bath).collect())
}

/// Returns the total energy of every system minus the heat added to it, eV.
fn energy_less_heat_ev(state: &State, baths: &[Bath]) -> Vec<f64> {
    baths
        .iter()
        .enumerate()
        .map(|(s, bath)| state.potential_energy_ev(s) + state.kinetic_energy_ev(s) - bath.heat_ev)
        .collect()
}

#[cfg(test)]
mod tests;
