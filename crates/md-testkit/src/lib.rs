//! Conformance suites for potentials, integrators and thermostats, and fixtures for tests of validators and readers.
//!
//! - [`conformance`]: all probes of `md_probe` on a potential, each with a limit; suites for integrators and
//!   thermostats.
//! - [`integration`]: measurements on an integrator, such as the scaling of its energy error with the time step.
//! - [`defects`]: analytic potentials with one planted fault.
//! - [`damage`]: random damage of files, for tests of readers.
//!
//! This crate is a dependency of tests only.
//!
//! # Testing a potential
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
