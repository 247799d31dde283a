//! Trained networks behind [`md_core::Potential`], and the files they come from.
//!
//! [`Checkpoint::load`] reads weights and hyper-parameters and checks every one of them; [`Student::new`] makes
//! a potential of a checkpoint, [`TrainableStudent`] what training needs. An [`Architecture`] says which tensors a
//! network has. Forward and backward passes are written in tensor operations over any burn backend (`burn_engine`,
//! the only module that knows burn); PaiNN has them in loops over matrix products, too (`native`), several times
//! faster on the CPU. Everything that depends on positions (pairs, radial basis, forces from gradients) is
//! computed outside the network in f64.
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
