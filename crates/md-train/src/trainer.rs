//! The training loop.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use md_model::{Checkpoint, Precision, Student, TrainableStudent, TrainingDevice};

use crate::data::{Dataset, Split};
use crate::error::io_at;
use crate::gradient::{BatchGradient, batch_gradient};
use crate::inputs::{Inputs, Network};
use crate::layout::{Layout, flatten};
use crate::optimiser::{adamw, average, clip, learning_rate, norm};
use crate::order::Order;
use crate::output::{MetricsLine, TrainingRecord, log, truncate_log, write_best};
use crate::state::{self, Best, State, StateFile};
use crate::validation::{ValidationErrors, validate};
use crate::{TrainError, TrainingConfig};

/// Progress events, in chronological order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// A step was made.
    Step(StepReport),
    /// The averaged weights were validated.
    Validated(&'a ValidationErrors),
    /// They were the best so far, and the checkpoint was written.
    Improved(Best),
    /// The state was written.
    Saved,
}

/// Report of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Number of steps made, including this one.
    pub step: u64,
    /// Number of epochs.
    pub epoch: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Loss of the batch before the step.
    pub loss: f64,
    /// Root mean square over all force components of the batch before the step, eV/Å.
    pub force_rmse_ev_per_angstrom: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were made.
    Finished,
    /// The number of validations without improvement reached `validation.patience`.
    StoppedEarly,
    /// The caller stopped the run; it can be resumed.
    Interrupted,
}

/// A training run.
///
/// Deterministic on the CPU: the same configuration and data give the same files, byte for byte, for any number of
/// threads and interruptions. (On a GPU the order of summation varies.)
#[derive(Debug)]
pub struct Trainer {
    config: TrainingConfig,
    folder: PathBuf,
    device: TrainingDevice,
    inputs: Inputs,
    order: Order,
    network: Network,
    student: TrainableStudent,
    layout: Layout,
    decays: Vec<bool>,
    state: State,
    /// Step of the state on disk.
    saved_step: u64,
    /// Locked as long as this run works in the folder.
    _lock: fs::File,
}

impl Trainer {
    /// Starts a run that writes into `folder`, which is created if needed.
    ///
    /// # Errors
    /// [`TrainError::AlreadyBegun`], [`TrainError::HoldsCheckpoint`], [`TrainError::InUse`], unusable data, or a file that
    /// cannot be written.
    pub fn new(config: TrainingConfig, folder: &Path, device: TrainingDevice) -> Result<Self, TrainError> {
        if folder.join(state::FILE).exists() {
            return Err(TrainError::AlreadyBegun(folder.to_owned()));
        }
        if folder.join(WEIGHTS).exists() {
            return Err(TrainError::HoldsCheckpoint(folder.to_owned()));
        }
        let inputs = Inputs::read(&config)?;
        let network = match &inputs.start {
            Some(network) => network.clone(),
            None => Network::untrained(inputs.fitted_hyperparameters(&config.student), config.seed)?,
        };
        let state = State::new(flatten(network.checkpoint.weights()));
        fs::create_dir_all(folder).map_err(io_at(folder))?;
        let lock = lock(folder)?;
        truncate_log(folder, 0)?;
        let mut trainer = Self::assemble(config, folder, lock, device, inputs, network, state)?;
        trainer.save()?;
        Ok(trainer)
    }

    /// Resumes the run in `folder` from its last saved state.
    ///
    /// # Errors
    /// [`TrainError::NotBegun`], [`TrainError::InUse`], [`TrainError::Changed`] if configuration or data differ from those at
    /// the start, or a damaged state.
    pub fn resume(config: TrainingConfig, folder: &Path, device: TrainingDevice) -> Result<Self, TrainError> {
        let path = folder.join(state::FILE);
        if !path.exists() {
            return Err(TrainError::NotBegun(folder.to_owned()));
        }
        let lock = lock(folder)?;
        let bytes = fs::read(&path).map_err(io_at(&path))?;
        let file = StateFile::parse(&path, &bytes)?;
        let inputs = Inputs::read(&config)?;
        let changes = file.origin().changes(&inputs.origin);
        if !changes.is_empty() {
            return Err(TrainError::Changed { folder: folder.to_owned(), changes });
        }
        if file.program_version() != env!("CARGO_PKG_VERSION") {
            tracing::warn!(
                "this run began with version {} of the program: its continuation may differ from that version's",
                file.program_version()
            );
        }
        let network = match &inputs.start {
            Some(network) => network.clone(),
            None => Network::untrained(file.hyperparameters().clone(), config.seed)?,
        };
        let state = file.state(&Layout::from_weights(network.checkpoint.weights()))?;
        truncate_log(folder, state.progress.step)?;
        Self::assemble(config, folder, lock, device, inputs, network, state)
    }

    fn assemble(
        config: TrainingConfig,
        folder: &Path,
        lock: fs::File,
        device: TrainingDevice,
        inputs: Inputs,
        network: Network,
        state: State,
    ) -> Result<Self, TrainError> {
        let layout = Layout::from_weights(network.checkpoint.weights());
        let weights = layout.weights(&state.weights);
        Ok(Trainer {
            order: Order::new(
                inputs.data.repeated(&inputs.split.training),
                config.optimiser.batch_size,
                config.seed,
            ),
            student: TrainableStudent::new(&network.hyperparameters, &weights, device, Precision::F32)?,
            decays: layout.decays(),
            saved_step: state.progress.step,
            folder: folder.to_owned(),
            _lock: lock,
            config,
            device,
            inputs,
            network,
            layout,
            state,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// All frames.
    pub fn data(&self) -> &Dataset {
        &self.inputs.data
    }

    /// The split into training and validation frames.
    pub fn split(&self) -> &Split {
        &self.inputs.split
    }

    /// Number of trainable weights.
    pub fn parameter_count(&self) -> usize {
        self.network.checkpoint.parameter_count()
    }

    /// Number of steps made.
    pub fn step(&self) -> u64 {
        self.state.progress.step
    }

    /// The best validation so far.
    pub fn best(&self) -> Option<Best> {
        self.state.progress.best
    }

    /// Trains to the end, or until `on_event` breaks. The state is written in both cases, but not after an error: the
    /// file then contains the last valid state.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`], or a file that cannot be written.
    pub fn run(
        &mut self,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, TrainError> {
        let (validation, output) = (self.config.validation.clone(), self.config.output.clone());
        let steps = self.config.optimiser.steps;
        loop {
            if self.step() >= steps {
                return Ok(Outcome::Finished);
            }
            if self.is_out_of_patience() {
                return Ok(Outcome::StoppedEarly);
            }
            let report = self.train_step()?;
            let mut flow = on_event(Event::Step(report));
            let is_due = |every: u64| report.step.is_multiple_of(every) || report.step == steps;
            if is_due(output.log_every_steps) {
                self.log_interval(report)?;
            }
            if is_due(validation.every_steps) {
                let (errors, improved) = self.validate()?;
                flow = merge(flow, on_event(Event::Validated(&errors)));
                if let Some(best) = improved {
                    flow = merge(flow, on_event(Event::Improved(best)));
                }
            }
            if is_due(output.checkpoint_every_steps) || self.is_out_of_patience() || flow.is_break() {
                self.save()?;
                flow = merge(flow, on_event(Event::Saved));
            }
            if flow.is_break() && self.step() < steps {
                return Ok(Outcome::Interrupted);
            }
        }
    }

    fn is_out_of_patience(&self) -> bool {
        let without = self.state.progress.validations_without_improvement;
        self.config.validation.patience.is_some_and(|patience| without >= patience)
    }

    fn train_step(&mut self) -> Result<StepReport, TrainError> {
        let step = self.step();
        let optimiser = &self.config.optimiser;
        let learning_rate = learning_rate(optimiser, step);
        let frames = self.order.batch(step);
        let data = &self.inputs.data;
        let BatchGradient { part, mut gradient, atoms } =
            batch_gradient(&self.student, self.device, data, &frames, &self.config.loss)?;
        let norm = norm(&gradient);
        for (what, value) in [("loss", part.loss), ("gradient", norm)] {
            if !value.is_finite() {
                return Err(TrainError::NotFinite {
                    what,
                    step: step + 1,
                    learning_rate,
                    frames: data.describe(&frames),
                    saved_step: self.saved_step,
                });
            }
        }
        clip(&mut gradient, norm, optimiser.max_gradient_norm);
        let State { progress, weights, average: mean, moments } = &mut self.state;
        adamw(optimiser, learning_rate, step + 1, weights, &self.decays, &gradient, moments);
        average(mean, weights, optimiser.ema_decay, step);
        progress.step += 1;
        progress.interval.add(&part, atoms, norm);
        self.student.set_weights(&self.layout.weights(weights))?;
        Ok(StepReport {
            step: progress.step,
            epoch: self.order.epochs(progress.step),
            learning_rate,
            loss: part.loss,
            force_rmse_ev_per_angstrom: (part.squared_force_error / (3 * atoms) as f64).sqrt(),
            gradient_norm: norm,
        })
    }

    fn log_interval(&mut self, last: StepReport) -> Result<(), TrainError> {
        let sums = std::mem::take(&mut self.state.progress.interval);
        let line = MetricsLine::Training {
            step: last.step,
            epoch: last.epoch,
            learning_rate: last.learning_rate,
            loss: sums.loss / sums.steps as f64,
            force_rmse_ev_per_angstrom: (sums.squared_force_error / (3 * sums.atoms) as f64).sqrt(),
            gradient_norm: sums.gradient_norm / sums.steps as f64,
        };
        log(&self.folder, &line)
    }

    /// Validates the averaged weights in the precision in which they are saved, and saves them if they are the best.
    fn validate(&mut self) -> Result<(ValidationErrors, Option<Best>), TrainError> {
        let step = self.step();
        let single: Vec<f64> = self.state.average.iter().map(|&w| f64::from(w as f32)).collect();
        let checkpoint = self.network.checkpoint.with_weights(self.layout.weights(&single))?;
        let mut student = Student::new(&checkpoint, Precision::F32)?;
        let errors = validate(&mut student, &self.inputs.data, &self.inputs.split.validation, step)?;
        log(&self.folder, &MetricsLine::Validation { step, errors: errors.clone() })?;
        let found = Best { step, force_rmse_ev_per_angstrom: errors.all.force_rmse_ev_per_angstrom };
        let progress = &mut self.state.progress;
        if progress.best.is_some_and(|b| found.force_rmse_ev_per_angstrom >= b.force_rmse_ev_per_angstrom) {
            progress.validations_without_improvement += 1;
            return Ok((errors, None));
        }
        progress.best = Some(found);
        progress.validations_without_improvement = 0;
        write_best(&self.folder, &checkpoint, &self.record(&checkpoint, &errors))?;
        Ok((errors, Some(found)))
    }

    fn record(&self, checkpoint: &Checkpoint, errors: &ValidationErrors) -> TrainingRecord {
        let Inputs { data, split, origin, .. } = &self.inputs;
        TrainingRecord {
            name: self.config.name.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            step: self.step(),
            model_sha256: checkpoint.sha256().to_owned(),
            parameters: checkpoint.parameter_count(),
            validation: errors.clone(),
            reference_energies_ev: self.network.hyperparameters.reference_energies_ev.clone(),
            data: data.files.clone(),
            start_from_sha256: origin.start_from.clone(),
            split: split.molecules.clone(),
            config: origin.config.clone(),
        }
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.state.write(&self.folder, &self.layout, &self.network.hyperparameters, &self.inputs.origin)?;
        self.saved_step = self.step();
        Ok(())
    }
}

/// File whose lock says that a process trains in its folder.
const LOCK: &str = ".training.lock";

/// Name of the weights of a checkpoint.
const WEIGHTS: &str = "model.safetensors";

/// Locks a folder for this process. The operating system releases the lock of a process that ended.
fn lock(folder: &Path) -> Result<fs::File, TrainError> {
    let path = folder.join(LOCK);
    let file = fs::File::create(&path).map_err(io_at(&path))?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(TrainError::InUse(folder.to_owned())),
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(file), // not all file systems have locks
    }
}

/// Returns `Break` if one of them is.
fn merge(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}

#[cfg(test)]
mod tests;
