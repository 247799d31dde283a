use std::path::PathBuf;

use crate::formats::TorchError;

/// Why a checkpoint cannot be used. [`CheckpointError::In`] says which file; the rest say what is wrong in it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// What is wrong in the file `path`.
    #[error("checkpoint {}: {source}", path.display())]
    In {
        /// The file (or folder).
        path: PathBuf,
        /// What is wrong.
        source: Box<CheckpointError>,
    },
    /// The file system refused.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Neither a file nor a folder: a device, a pipe.
    #[error("is neither a folder nor a file (expected a folder, a .safetensors file or a .pt file)")]
    NotAFile,
    /// A folder without weights.
    #[error("holds neither model.safetensors (with config.json) nor best_model.pt")]
    NothingToLoad,
    /// A file that is no checkpoint.
    #[error("is neither a .safetensors file nor a zip file written by torch.save (PyTorch 1.6 or later)")]
    UnknownFormat,
    /// A configuration that is no JSON, or lacks a hyper-parameter.
    #[error("the configuration cannot be read: {0}")]
    Config(String),
    /// A configuration that is too large to be one.
    #[error("the configuration has more than {limit} bytes: is it that of this model?")]
    LargeConfig {
        /// Most bytes that are read.
        limit: usize,
    },
    /// A hyper-parameter without sense.
    #[error("the configuration says {name} = {found}, expected {expected}")]
    Hyperparameter {
        /// Name in the configuration.
        name: &'static str,
        /// Its value.
        found: String,
        /// What makes sense.
        expected: String,
    },
    /// Weights that nothing says the cutoff of.
    #[error(
        "there is no configuration, neither 'config' in the file nor config.json beside it, and the cutoff does not follow \
         from the tensors: write it into a config.json beside the file, such as {suggestion}{hint}"
    )]
    NoConfiguration {
        /// A configuration with the sizes of the tensors.
        suggestion: String,
        /// What the weights tell about the cutoff.
        hint: String,
    },
    /// Two descriptions of one network that differ.
    #[error(
        "{key} is {one} in {place}, but {other} in {other_place}: one of them describes another network than these weights, or \
         was changed after training"
    )]
    Contradiction {
        /// What is described.
        key: String,
        /// Its value in the first description.
        one: String,
        /// Where that stands.
        place: String,
        /// Its value in the other description.
        other: String,
        /// Where that stands.
        other_place: String,
    },
    /// Weights other than those that the record of a training is about.
    #[error(
        "model_sha256 is {trained} in {place}, but {weights} has {found}: these are the weights of another training (one that \
         was stopped while it wrote them is completed by mdproof train --resume)"
    )]
    OtherTraining {
        /// SHA-256 of the weights that were trained.
        trained: String,
        /// The record.
        place: String,
        /// SHA-256 of the weights that are there.
        found: String,
        /// The file of the weights.
        weights: String,
    },
    /// A record of a training that cannot be read.
    #[error("the record of the training cannot be read: {message}")]
    Record {
        /// What is wrong.
        message: String,
    },
    /// A file that is known to be something else.
    #[error("is {what}: {remedy}")]
    OtherFile {
        /// What the file is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A choice of weights (`FILE#KEY`) where there is none.
    #[error("'#{key}' chooses among the sets of weights in a file of torch.save, which this is not")]
    NoChoice {
        /// The choice.
        key: String,
    },
    /// Neither a configuration nor the tensor whose shape could stand in for it.
    #[error("there is no configuration, and no tensor {name} of {rank} dimensions to take sizes from")]
    NoSizes {
        /// Name of the tensor.
        name: &'static str,
        /// Number of dimensions it should have.
        rank: usize,
    },
    /// An architecture that this crate does not have.
    #[error("model_type is '{found}', which is not known (known: {known}); set model_type in config.json")]
    UnknownArchitecture {
        /// The `model_type` found.
        found: String,
        /// The architectures known.
        known: String,
    },
    /// A broken safetensors file.
    #[error("not a sound safetensors file: {0}")]
    Safetensors(String),
    /// A broken, unusual or malicious PyTorch file.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A tensor of a type other than f16, bf16, f32, f64.
    #[error("tensor {name} holds {found}, expected one of F16, BF16, F32, F64")]
    ElementType {
        /// Name of the tensor.
        name: String,
        /// Its element type.
        found: String,
    },
    /// A tensor that the architecture needs and the file lacks.
    #[error("tensor {name} is missing (expected shape {expected:?})")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
        /// Shape that the hyper-parameters ask for.
        expected: Vec<usize>,
    },
    /// A tensor whose shape contradicts the hyper-parameters.
    #[error("tensor {name} has the shape {found:?}, but the hyper-parameters ask for {expected:?}")]
    TensorShape {
        /// Name of the tensor.
        name: String,
        /// Shape that the hyper-parameters ask for.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// Tensors that the architecture has no use for: probably another architecture.
    #[error("the architecture has no tensors named {} (another model_type, or more layers?)", some(names))]
    UnexpectedTensors {
        /// Their names.
        names: Vec<String>,
    },
    /// A weight that is NaN or infinite.
    #[error("tensor {name} holds {value} at index {index} (row-major), expected finite weights")]
    NonFinite {
        /// Name of the tensor.
        name: String,
        /// Row-major index in the tensor.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A GPU was asked for and is not there.
    #[error("there is no {device} device: {reason}; the CPU can do the same")]
    NoDevice {
        /// How it was to be reached.
        device: &'static str,
        /// What is missing.
        reason: String,
    },
    /// A file that holds more or fewer parameters than it says.
    #[error("the file says num_parameters = {expected} but holds {found}")]
    ParameterCount {
        /// What the file says.
        expected: u64,
        /// What it holds.
        found: usize,
    },
}

impl CheckpointError {
    /// A hyper-parameter without sense.
    pub(crate) fn hyperparameter(name: &'static str, found: &dyn ToString, expected: &str) -> Self {
        CheckpointError::Hyperparameter {
            name,
            found: excerpt(&found.to_string()),
            expected: expected.to_owned(),
        }
    }
}

impl From<serde_json::Error> for CheckpointError {
    fn from(error: serde_json::Error) -> Self {
        CheckpointError::Config(beginning(&error.to_string(), 300))
    }
}

impl From<safetensors::SafeTensorError> for CheckpointError {
    fn from(error: safetensors::SafeTensorError) -> Self {
        CheckpointError::Safetensors(beginning(&error.to_string(), 300))
    }
}

/// A piece of a file for a message.
pub(crate) fn excerpt(text: &str) -> String {
    beginning(text, 80)
}

/// The first `most` characters of `text`. Those that could steer a terminal are replaced.
fn beginning(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut start: String = chars.by_ref().take(most).collect();
    start.extend(chars.next().map(|_| '…'));
    start
}

/// The first of some names, and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| excerpt(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
