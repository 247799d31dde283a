use std::path::PathBuf;

use crate::formats::TorchError;

/// Why a checkpoint cannot be used. [`CheckpointError::In`] names the file; the other variants state the problem.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// An error in the file `path`.
    #[error("checkpoint {}: {source}", path.display())]
    In {
        /// The file (or folder).
        path: PathBuf,
        /// The error.
        source: Box<CheckpointError>,
    },
    /// A file system operation failed.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The path is neither a file nor a folder: a device or a pipe.
    #[error("is neither a folder nor a file (expected a folder, a .safetensors file or a .pt file)")]
    NotAFile,
    /// The folder contains no weights.
    #[error("holds neither model.safetensors (with config.json) nor best_model.pt")]
    NothingToLoad,
    /// The file is not a checkpoint.
    #[error("is neither a .safetensors file nor a zip file written by torch.save (PyTorch 1.6 or later)")]
    UnknownFormat,
    /// The configuration is not JSON, or lacks a hyper-parameter.
    #[error("the configuration cannot be read: {0}")]
    Config(String),
    /// The configuration lacks hyper-parameters.
    #[error(
        "the configuration lacks {}; it has {}: complete it in a config.json beside the weights",
        some(missing),
        some_or_none(found)
    )]
    MissingKeys {
        /// The missing keys.
        missing: Vec<String>,
        /// The keys present.
        found: Vec<String>,
    },
    /// The configuration has a key that defines nothing.
    #[error(
        "the configuration has the unknown key '{key}'{} (known: {known}): remove it; notes may be under 'note'",
        meant.as_ref().map_or_else(String::new, |meant| format!(": is '{meant}' meant?"))
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// The key that it resembles.
        meant: Option<String>,
        /// The known keys.
        known: String,
    },
    /// A configuration of `mdproof train` lacks its elements.
    #[error(
        "the configuration lacks 'elements', which mdproof train writes: list those that may be used, among {known}, such as \
         \"elements\": [\"H\", \"C\"]"
    )]
    NoElements {
        /// Elements with an embedding.
        known: String,
    },
    /// The file is too large.
    #[error("has more than {limit} bytes, which no file of a student has: is it that of this model?")]
    LargeFile {
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A hyper-parameter is invalid.
    #[error("the configuration says {name} = {found}, expected {expected}")]
    Hyperparameter {
        /// Name in the configuration.
        name: &'static str,
        /// Its value.
        found: String,
        /// Valid values.
        expected: String,
    },
    /// The cutoff of the weights is not stated anywhere.
    #[error(
        "there is no configuration, neither 'config' in the file nor config.json beside it, and the cutoff does not follow \
         from the tensors: write it into a config.json beside the file, such as {suggestion}{hint}"
    )]
    NoConfiguration {
        /// A configuration with the sizes of the tensors.
        suggestion: String,
        /// What the weights imply about the cutoff.
        hint: String,
    },
    /// Two descriptions of one network differ.
    #[error(
        "{key} is {one} in {place}, but {other} in {other_place}: one of them describes another network than these weights, or \
         was changed after training"
    )]
    Contradiction {
        /// The key that differs.
        key: String,
        /// Its value in the first description.
        one: String,
        /// Location of the first description.
        place: String,
        /// Its value in the other description.
        other: String,
        /// Location of the other description.
        other_place: String,
    },
    /// The weights are not those of the training record.
    #[error(
        "model_sha256 is {trained} in {place}, but {weights} has {found}: these are the weights of another training (one that \
         was stopped while it wrote them is completed by mdproof train --resume)"
    )]
    OtherTraining {
        /// SHA-256 of the weights that were trained.
        trained: String,
        /// Location of the record.
        place: String,
        /// SHA-256 of the weights in the file.
        found: String,
        /// The file of the weights.
        weights: String,
    },
    /// The training record cannot be read.
    #[error("the record of the training cannot be read: {message}")]
    Record {
        /// Cause.
        message: String,
    },
    /// The file is of a known other type.
    #[error("is {what}: {remedy}")]
    OtherFile {
        /// Type of the file.
        what: &'static str,
        /// Suggested fix.
        remedy: &'static str,
    },
    /// The file contains more than one set of weights, each a different network.
    #[error(
        "the file holds several sets of weights, {}: which of them is deployed? Name it after the file, such as FILE#{}",
        some(keys),
        keys.last().map_or("", String::as_str)
    )]
    SeveralSets {
        /// Their keys, joined by dots.
        keys: Vec<String>,
    },
    /// The selected set of weights does not exist.
    #[error("the file holds no set of weights '{key}'; it holds {}", some_or_none(keys))]
    NoSuchSet {
        /// The selected key.
        key: String,
        /// The keys present.
        keys: Vec<String>,
    },
    /// The selected set of weights is incomplete.
    #[error(
        "the set of weights '{key}' lacks trained tensors, which another set of the file has: {}; save it as a whole",
        some(names)
    )]
    IncompleteSet {
        /// The selected key.
        key: String,
        /// Names of the tensors.
        names: Vec<String>,
    },
    /// A folder contains two networks.
    #[error(
        "holds two files of weights, {} and {}, and {difference}: which of them is deployed? Name the file instead of the folder",
        files[0],
        files[1]
    )]
    TwoFiles {
        /// Names of the files.
        files: [&'static str; 2],
        /// What is known about their difference.
        difference: String,
    },
    /// A tensor has another name than in the network.
    #[error(
        "tensor {name} is missing, but there is {found}: a wrapper of a part of the network, such as torch.compile, changed the \
         name; save the state_dict of the network without it"
    )]
    OtherName {
        /// Name of the tensor in the network.
        name: String,
        /// Name in the file.
        found: String,
    },
    /// The tensors of the network are a part of the file whose names have a prefix.
    #[error(
        "tensor {name} is missing, but there is {found} beside tensors of other names, such as {other}: name the part after \
         the file, FILE#{key}"
    )]
    PartOfFile {
        /// Name of the tensor in the network.
        name: String,
        /// Name in the file.
        found: String,
        /// A tensor without that prefix.
        other: String,
        /// Key of the part.
        key: String,
    },
    /// There is neither a configuration nor the tensor whose shape could replace it.
    #[error("there is no configuration, and no tensor {name} of {rank} dimensions to take sizes from")]
    NoSizes {
        /// Name of the tensor.
        name: &'static str,
        /// Expected number of dimensions.
        rank: usize,
    },
    /// The architecture is unknown.
    #[error("model_type is {found} (known: {known}); set model_type in config.json")]
    UnknownArchitecture {
        /// What was found instead of a known one, in words.
        found: String,
        /// The known architectures.
        known: String,
    },
    /// The safetensors file is damaged.
    #[error("not a sound safetensors file: {0}")]
    Safetensors(String),
    /// The PyTorch file is damaged, unusual or malicious.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The type of a tensor is not f16, bf16, f32 or f64.
    #[error("tensor {name} holds {found}, expected one of F16, BF16, F32, F64")]
    ElementType {
        /// Name of the tensor.
        name: String,
        /// Its element type.
        found: String,
    },
    /// A tensor of the architecture is missing.
    #[error("tensor {name} is missing (expected shape {expected:?})")]
    MissingTensor {
        /// Name of the tensor.
        name: String,
        /// Shape given by the hyper-parameters.
        expected: Vec<usize>,
    },
    /// The shape of a tensor contradicts the hyper-parameters.
    #[error("tensor {name} has the shape {found:?}, but the hyper-parameters ask for {expected:?}")]
    TensorShape {
        /// Name of the tensor.
        name: String,
        /// Shape given by the hyper-parameters.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// The architecture has no such tensors: the file is probably of another one.
    #[error("the architecture has no tensors named {} (another model_type, or more layers?)", some(names))]
    UnexpectedTensors {
        /// Their names.
        names: Vec<String>,
    },
    /// A weight is NaN or infinite.
    #[error("tensor {name} holds {value} at index {index} (row-major), expected finite weights")]
    NonFinite {
        /// Name of the tensor.
        name: String,
        /// Row-major index in the tensor.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The requested GPU does not exist.
    #[error("there is no {device} device: {reason}; the CPU can do the same")]
    NoDevice {
        /// Name of the interface to the device.
        device: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The number of parameters differs from the stated one.
    #[error("the file says num_parameters = {expected} but holds {found}")]
    ParameterCount {
        /// Stated number.
        expected: u64,
        /// Actual number.
        found: usize,
    },
}

impl CheckpointError {
    /// Creates the error for an invalid hyper-parameter.
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

/// Lists the first of some names, or states that there are none.
fn some_or_none(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { some(names) }
}

/// Returns a part of a file for a message.
pub(crate) fn excerpt(text: &str) -> String {
    beginning(text, 80)
}

/// Returns the first `most` characters of `text`. Characters that could control a terminal are replaced.
fn beginning(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut start: String = chars.by_ref().take(most).collect();
    start.extend(chars.next().map(|_| '…'));
    start
}

/// Lists the first of some names and the number of the others.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| excerpt(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
