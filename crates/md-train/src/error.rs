use std::io;
use std::path::PathBuf;

use md_core::PotentialError;
use md_io::extxyz::XyzError;
use md_model::CheckpointError;

/// Why training cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Something wrong in the configuration.
    #[error("{}{}: {message}", file.display(), line.map_or(String::new(), |n| format!(":{n}")))]
    Config {
        /// The file.
        file: PathBuf,
        /// Line, from 1; `None` when it is about several keys.
        line: Option<usize>,
        /// What was found and what was expected.
        message: String,
    },
    /// A data file that cannot be read.
    #[error(transparent)]
    Xyz(#[from] XyzError),
    /// A frame that cannot be trained on.
    #[error("{}: frame {frame} {problem}", file.display())]
    Frame {
        /// The file.
        file: PathBuf,
        /// The frame, from 1.
        frame: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The same data twice.
    #[error(
        "{} and {} are the same file: name it once, with `repeat` for a higher share of an epoch",
        first.display(), second.display()
    )]
    RepeatedFile {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No frame is left to validate on.
    #[error(
        "there is nothing to validate on: no molecule has two trajectories, or none of the held-out frames is of \
         validation.kinds"
    )]
    NothingToValidate,
    /// A checkpoint to start from that does not fit.
    #[error("cannot start from {}: {problem}", path.display())]
    StartFrom {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A new training in a folder that has one.
    #[error("{} holds a training run already: resume it, or choose another folder", .0.display())]
    AlreadyBegun(PathBuf),
    /// A resume of what was not begun.
    #[error("{} holds no training run to resume: there is no state.safetensors", .0.display())]
    NotBegun(PathBuf),
    /// A state file that is not as it was written.
    #[error("{} cannot be resumed from: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },
    /// A resume with something else than the run began with.
    #[error(
        "the run in {} began with something else: {}; take that back, or train anew in another folder",
        folder.display(), changes.join("; ")
    )]
    Changed {
        /// The output folder.
        folder: PathBuf,
        /// What differs.
        changes: Vec<String>,
    },
    /// A loss or gradient that is NaN or infinite.
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
    /// A student that answers NaN on a validation frame.
    #[error(
        "validation after step {step}: energy or forces of frame {frame} of {} are not finite; the averaged weights \
         are beyond single precision: try a lower optimiser.learning_rate", file.display()
    )]
    ValidationNotFinite {
        /// Steps done.
        step: u64,
        /// The data file.
        file: PathBuf,
        /// The frame, from 1.
        frame: usize,
    },
    /// What md-model refuses.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What the network refuses.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// A record that cannot be encoded.
    #[error("cannot encode a record: {0}")]
    Json(#[from] serde_json::Error),
    /// A state that cannot be encoded.
    #[error("cannot encode the state: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}

/// The error of `path`, for `map_err`.
pub(crate) fn io_at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.into();
    |source| TrainError::Io { path, source }
}
