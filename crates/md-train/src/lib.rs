//! Distillation: trains a student on frames labelled by a teacher.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::path::Path;
//!
//! use md_model::TrainingDevice;
//! use md_train::{Event, Trainer, TrainingConfig};
//!
//! let config = TrainingConfig::load(Path::new("configs/train/demo.toml"))?;
//! let mut trainer = Trainer::new(config, Path::new("out/demo"), TrainingDevice::Cpu)?;
//! trainer.run(&mut |event| {
//!     if let Event::Improved(best) = event {
//!         println!("step {}: {} eV/Å", best.step, best.force_rmse_ev_per_angstrom);
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! # Ok::<(), md_train::TrainError>(())
//! ```
//!
//! A run writes these files into its folder, each atomically:
//!
//! - `model.safetensors`, `config.json`: the checkpoint with the lowest validation force RMSE, for
//!   [`md_model::Checkpoint::load`]; `training.json`: its provenance ([`TrainingRecord`]);
//! - `metrics.jsonl`: the log, with one [`MetricsLine`] per line;
//! - `state.safetensors`: the state from which [`Trainer::resume`] continues exactly.
//!
//! The loss function is described in [`mod@loss`], the optimiser in [`optimiser`]. By design this crate contains no
//! clocks, terminal output, tensor libraries or evaluation of students.

mod config;
mod data;
mod error;
#[cfg(test)]
mod fixtures;
mod gradient;
mod inputs;
mod layout;
pub mod loss;
pub mod optimiser;
mod order;
mod output;
mod random;
mod reference;
mod state;
mod trainer;
mod validation;

pub use config::{
    DataConfig, LossConfig, OptimiserConfig, OutputConfig, StudentConfig, TrainingConfig, ValidationConfig,
};
pub use data::{DataFile, Dataset, LabelledSystem, MoleculeSplit, Split, split};
pub use error::TrainError;
pub use output::{MetricsLine, TrainingRecord};
pub use reference::reference_energies;
pub use state::Best;
pub use trainer::{Event, Outcome, StepReport, Trainer};
pub use validation::{Errors, ValidationErrors, validate};
