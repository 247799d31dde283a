//! Distillation: trains a student on frames that a teacher has labelled.
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
//! A run writes into its folder, every file atomically:
//!
//! - `model.safetensors`, `config.json`: the checkpoint of the lowest validation force RMSE, for
//!   [`md_model::Checkpoint::load`]; `training.json`: how it came to be ([`TrainingRecord`]);
//! - `metrics.jsonl`: the log, a [`MetricsLine`] a line;
//! - `state.safetensors`: all that [`Trainer::resume`] needs to continue as if the run had not been interrupted.
//!
//! What is minimised is said at [`mod@loss`], how at [`optimiser`]. Not in this crate, by design: clocks, output on a
//! terminal, tensor libraries, judgement of a student.

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
