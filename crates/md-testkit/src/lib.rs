//! The conformance suites that every potential, integrator and thermostat must pass, and what tests of tests need.
//!
//! - [`conformance`]: all probes of `md_probe` on a potential, each with a limit; the same for integrators and
//!   thermostats.
//! - [`integration`]: measurements on an integrator, such as how its energy error falls with the time step.
//! - [`defects`]: a sound potential with one planted fault.
//! - [`damage`]: a sound file with faults, for tests of readers.
//!
//! For tests: no crate depends on it otherwise.
//!
//! # Is my potential sound?
//!
//! ```
//! use md_core::{Element, System, Vec3};
//! use md_probe::analytic::LennardJones;
//! use md_testkit::conformance;
//!
//! let argon = System::new(
//!     vec![Element::AR; 3],
//!     vec![Vec3::zeros(), Vec3::new(3.8, 0.0, 0.0), Vec3::new(1.0, 3.6, 0.4)],
//! )?;
//! let mut potential = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
//! let report = conformance::potential(&mut potential, &[argon], &conformance::Tolerances::double())?;
//! assert!(report.failures().is_empty(), "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conformance;
pub mod damage;
pub mod defects;
pub mod integration;
