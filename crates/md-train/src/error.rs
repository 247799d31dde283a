use std::io;
use std::path::PathBuf;

use md_core::PotentialError;
use md_io::extxyz::XyzError;
use md_model::CheckpointError;

/// Why training cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration is invalid.
    #[error("{}{}: {message}", file.display(), line.map_or(String::new(), |n| format!(":{n}")))]
    Config {
        /// The file.
        file: PathBuf,
        /// Line, from 1; `None` for an error that concerns several keys.
        line: Option<usize>,
        /// Value found and value expected.
        message: String,
    },
    /// A data file cannot be read.
    #[error(transparent)]
    Xyz(#[from] XyzError),
    /// A frame cannot be used for training.
    #[error("{}: frame {frame} {problem}", file.display())]
    Frame {
        /// The file.
        file: PathBuf,
        /// The frame, from 1.
        frame: usize,
        /// The problem and its fix.
        problem: String,
    },
    /// The labels of a file are no forces in eV/Å.
    #[error("{}: {problem}", file.display())]
    Labels {
        /// The file.
        file: PathBuf,
        /// What they look like, and its fix.
        problem: String,
    },
    /// A data file is named twice.
    #[error(
        "{} and {} are the same file: name it once, with `repeat` for a higher share of an epoch",
        first.display(), second.display()
    )]
    RepeatedFile {
        /// First path.
        first: PathBuf,
        /// Second path.
        second: PathBuf,
    },
    /// There are no validation frames.
    #[error(
        "there is nothing to validate on: no molecule has two trajectories, or none of the held-out frames is of \
         validation.kinds"
    )]
    NothingToValidate,
    /// The initial checkpoint does not match.
    #[error("cannot start from {}: {problem}", path.display())]
    StartFrom {
        /// The checkpoint.
        path: PathBuf,
        /// What does not match.
        problem: String,
    },
    /// A file system operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The folder of a new run contains a run already.
    #[error("{} holds a training run already: resume it, or choose another folder", .0.display())]
    AlreadyBegun(PathBuf),
    /// The folder of a new run contains a checkpoint, which the run would write over.
    #[error("{} holds a checkpoint: choose another folder", .0.display())]
    HoldsCheckpoint(PathBuf),
    /// Another process trains in the folder.
    #[error("another process trains in {}: wait for its end, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The folder to resume from contains no run.
    #[error("{} holds no training run to resume: there is no state.safetensors", .0.display())]
    NotBegun(PathBuf),
    /// The state file is damaged.
    #[error("{} cannot be resumed from: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The damage.
        problem: String,
    },
    /// Configuration or data differ from those at the start of the run.
    #[error(
        "the run in {} began with something else: {}; take that back, or train anew in another folder",
        folder.display(), changes.join("; ")
    )]
    Changed {
        /// The output folder.
        folder: PathBuf,
        /// Differences.
        changes: Vec<String>,
    },
    /// The loss or the gradient is NaN or infinite.
    #[error(
        "step {step}: the {what} is not finite (learning rate {learning_rate:e}; frames of the batch: {frames}). The \
         last good state on disk is that of step {saved_step}. Try a lower optimiser.learning_rate, a longer \
         warm_up_steps, a smaller max_gradient_norm or loss.huber_ev_per_angstrom, and look at the labels of these \
         frames"
    )]
    NotFinite {
        /// `loss` or `gradient`.
        what: &'static str,
        /// The step that failed, from 1.
        step: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// The frames of its batch by file, counted from 1.
        frames: String,
        /// Step of the state on disk.
        saved_step: u64,
    },
    /// The student gives NaN for a validation frame.
    #[error(
        "validation after step {step}: energy or forces of frame {frame} of {} are not finite; the averaged weights \
         are beyond single precision: try a lower optimiser.learning_rate", file.display()
    )]
    ValidationNotFinite {
        /// Number of steps made.
        step: u64,
        /// The data file.
        file: PathBuf,
        /// The frame, from 1.
        frame: usize,
    },
    /// An error of md-model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An error of the network.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// A record cannot be encoded.
    #[error("cannot encode a record: {0}")]
    Json(#[from] serde_json::Error),
    /// The state cannot be encoded.
    #[error("cannot encode the state: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}

/// Returns a closure that creates the error for `path`, for `map_err`.
pub(crate) fn io_at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.into();
    |source| TrainError::Io { path, source }
}
