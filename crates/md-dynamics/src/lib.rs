//! Molecular dynamics of a batch: integrators at constant energy ([`IntegratorKind`]), thermostats
//! ([`ThermostatKind`]), initial velocities, geometry relaxation and the run loop.
//!
//! Potentials are accessed only through [`md_core::Potential`]. This crate contains no networks, files or clocks. Units
//! are those of [`md_core`]: eV, Å, fs, amu, K. The result for each system of a batch equals, bit for bit, the result
//! for that system alone; diverging systems do not affect the others.
//!
//! ```
//! use md_core::*;
//! use md_dynamics::{RunOptions, VelocityOptions, VelocityVerlet, run, stream_seed, thermalise};
//! use md_probe::analytic::LennardJones;
//!
//! // Two argon atoms near contact, 30 K, 1 ps.
//! let mut potential = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
//! let dimer = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(3.8, 0.0, 0.0)])?;
//! let mut state = State::at_rest(&[dimer], &mut potential)?;
//! thermalise(&mut state, &[30.0], &[stream_seed(7, "argon/30K/0")], &VelocityOptions::default())?;
//! let mut verlet = VelocityVerlet::new(2.0)?;
//! let start = verlet.conserved_ev(&state)[0];
//! let fates = run(
//!     &mut state,
//!     &mut verlet,
//!     &mut potential,
//!     &mut [],
//!     &RunOptions { steps: 500, limits: vec![] },
//! )?;
//! assert_eq!(fates, [Fate::Finished]);
//! assert!((verlet.conserved_ev(&state)[0] - start).abs() < 1e-6); // eV
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod descent;
#[cfg(test)]
mod fixtures;
mod integrator;
mod relax;
mod run;
mod scheme;
mod thermostat;
mod velocities;

pub use descent::{DESCENT_STEPS, DescentError, descend};
pub use integrator::*;
pub use relax::{RelaxOptions, RelaxOutcome, Relaxed, relax};
pub use run::{Course, RunError, RunOptions, advance, run};
pub use thermostat::*;
pub use velocities::{VelocityError, VelocityOptions, set_total_energy, stream_seed, thermalise};
