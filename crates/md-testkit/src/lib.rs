//! Analytic potentials, probes of any potential, and the conformance suites every potential and integrator
//! must pass.
//!
//! - [`analytic`]: closed-form potentials with exact forces, among them the [`Control`](analytic::Control)
//!   that runs any molecule.
//! - [`probe`]: measurements on a potential, such as by how much its energy changes under rotation. Numbers,
//!   no judgement.
//! - [`integration`]: the same for an integrator, such as how its energy error falls with the time step.
//! - [`conformance`]: all of them at once, each with a limit.
//! - [`defects`]: a sound potential with one planted fault, for tests of tests.
//! - [`damage`]: a sound file with faults, for tests of readers.
//! - [`random`]: the seeded generator behind the probes.
//!
//! Not in this crate, by design: files, clocks, ambient randomness, networks.
//!
//! # Is my potential sound?
//!
//! ```
//! use md_core::{Element, System, Vec3};
//! use md_testkit::{analytic::LennardJones, conformance};
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

pub mod analytic;
pub mod conformance;
pub mod damage;
pub mod defects;
pub mod integration;
pub mod probe;
pub mod random;
