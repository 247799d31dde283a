//! Units, elements, batched systems and the molecular-dynamics traits on which the other crates build.
//!
//! Everything is in **eV, Å, fs, amu, K** (see [`units`]). A simulation has four parts, each with its own type: the
//! molecules ([`System`], many of them in a [`Batch`]), their present positions and velocities ([`State`]), the
//! potential energy surface ([`Potential`]) and the integration scheme ([`Integrator`]). An [`Observer`] records a run.
//!
//! By design this crate contains no files, clocks, random numbers, serialisation or neural networks.
//!
//! # Writing a potential and an integrator
//!
//! The Morse potential of a diatomic molecule, `E(r) = D (1 - exp(-a (r - r₀)))²`, run with velocity Verlet.
//! (`md-dynamics` provides a run loop with observers and a velocity Verlet integrator; `md-testkit` provides the
//! conformance suite that tests a potential.)
//!
//! ```
//! use md_core::*;
//!
//! /// D in eV, a in 1/Å, r₀ in Å.
//! struct Morse { d: f64, a: f64, r0: f64 }
//!
//! impl Potential for Morse {
//!     fn name(&self) -> &str {
//!         "Morse"
//!     }
//!
//!     fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
//!         require_open_boundaries(self.name(), batch, request)
//!     }
//!
//!     fn evaluate(
//!         &mut self,
//!         c: Configuration<'_>,
//!         request: Request,
//!         out: &mut Evaluation,
//!     ) -> Result<(), PotentialError> {
//!         self.check(c.batch, request)?;
//!         c.check_length()?;
//!         out.reset(c.batch, request);
//!         for (s, atoms) in c.batch.ranges().enumerate() {
//!             let [x0, x1] = c.positions[atoms.clone()] else {
//!                 let reason = format!("it has {} atoms, not 2", atoms.len());
//!                 return Err(PotentialError::UnknownSystem { potential: "Morse".into(), system: s, reason });
//!             };
//!             let r = (x1 - x0).norm();
//!             let e = (-self.a * (r - self.r0)).exp();
//!             out.energies[s] = self.d * (1.0 - e) * (1.0 - e);
//!             if request.forces {
//!                 let slope = 2.0 * self.d * self.a * e * (1.0 - e); // dE/dr
//!                 let force = (x1 - x0) * (slope / r);
//!                 out.forces[atoms.start] = force;
//!                 out.forces[atoms.start + 1] = -force;
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! struct VelocityVerlet { timestep_fs: f64 }
//!
//! impl Integrator for VelocityVerlet {
//!     fn name(&self) -> &str {
//!         "velocity Verlet"
//!     }
//!
//!     fn timestep_fs(&self) -> f64 {
//!         self.timestep_fs
//!     }
//!
//!     fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
//!         state.kick(0.5 * self.timestep_fs);
//!         state.drift(self.timestep_fs);
//!         state.evaluate(potential)?;
//!         state.kick(0.5 * self.timestep_fs);
//!         state.advance(self.timestep_fs);
//!         Ok(())
//!     }
//!
//!     fn conserved_ev(&self, state: &State) -> Vec<f64> {
//!         (0..state.batch().n_systems())
//!             .map(|s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s))
//!             .collect()
//!     }
//!
//!     fn retain_systems(&mut self, _keep: &[usize]) {} // nothing is held per system
//! }
//!
//! // H₂: D = 4.747 eV, a = 1.944 1/Å, r₀ = 0.741 Å, released from 0.9 Å.
//! let mut morse = Morse { d: 4.747, a: 1.944, r0: 0.741 };
//! let h2 = System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(0.9, 0.0, 0.0)])?;
//! let mut state = State::at_rest(&[h2], &mut morse)?;
//! let mut verlet = VelocityVerlet { timestep_fs: 0.1 };
//! let start = verlet.conserved_ev(&state)[0];
//! for _ in 0..1000 {
//!     verlet.step(&mut state, &mut morse)?;
//! }
//! assert_eq!(state.time_fs(), 100.0);
//! assert!((verlet.conserved_ev(&state)[0] - start).abs() < 1e-3); // eV
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bonds;
pub mod mechanics;
pub mod neighbours;
pub mod units;

mod batch;
mod element;
mod element_table;
mod fate;
mod integrator;
mod limits;
mod measurement;
mod observer;
mod potential;
mod state;
mod system;

pub use batch::{Batch, Configuration};
pub use element::{Element, ElementError};
pub use fate::{Divergence, Fate};
pub use integrator::{Integrator, StepError};
pub use limits::{BondLimit, Limits};
pub use measurement::Measurement;
pub use observer::{Frame, Observer, ObserverError, SystemFrame};
pub use potential::{Evaluation, Potential, PotentialError, Request, Sum, require_open_boundaries};
pub use state::State;
pub use system::{COINCIDENT_ANGSTROM, Cell, System, SystemError};

/// A position (Å), velocity (Å/fs) or force (eV/Å).
pub type Vec3 = nalgebra::Vector3<f64>;

/// A 3x3 matrix: lattice vectors (rows, Å) or a stress (eV/Å³).
pub type Mat3 = nalgebra::Matrix3<f64>;
