//! Trained networks as implementations of [`md_core::Potential`], and readers of their files.
//!
//! [`Checkpoint::load`] reads and checks weights and hyper-parameters; [`Student::new`] creates a potential from a
//! checkpoint, [`TrainableStudent`] a network for training. An [`Architecture`] defines the tensors of a network.
//! Forward and backward passes are implemented in tensor operations for any burn backend (`burn_engine`, the only
//! module that uses burn), and in loops over matrix products (`native`), several times faster on the CPU. Everything
//! that depends on positions (pairs, radial basis, forces from gradients) is computed outside the network in f64.
//!
//! ```no_run
//! use md_core::{Element, Request, State, System, Vec3};
//! use md_model::{Checkpoint, Precision, Student};
//!
//! let checkpoint = Checkpoint::load("checkpoints/original")?;
//! println!("{} parameters, cutoff {} Å", checkpoint.parameter_count(), checkpoint.cutoff_angstrom());
//! let mut student = Student::new(&checkpoint, Precision::F32)?;
//! let oh = System::new(vec![Element::O, Element::H], vec![Vec3::zeros(), Vec3::new(0.97, 0.0, 0.0)])?;
//! let state = State::at_rest(&[oh], &mut student)?;
//! println!("{} eV", state.potential_energy_ev(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agreement;
mod architecture;
mod baseline;
mod burn_engine;
mod checkpoint;
mod configuration;
mod device;
mod distiller;
mod error;
mod formats;
mod geometry;
mod native;
mod painn;
mod student;
mod tensors;
mod training;
mod zbl;

pub use architecture::Architecture;
pub use checkpoint::Checkpoint;
pub use device::Gpu;
pub use distiller::DistillerHyperparameters;
pub use error::CheckpointError;
pub use formats::{PickleError, TorchError};
pub use painn::PainnHyperparameters;
pub use student::{Filters, Precision, Student};
pub use tensors::{WeightTensor, Weights};
pub use training::{TrainableStudent, TrainingDevice};
