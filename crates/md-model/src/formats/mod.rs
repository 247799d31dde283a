//! Readers of weight files. They convert bytes to tensors and do not depend on the architecture.

mod archive;
mod names;
mod pickle;
pub(crate) mod safetensors;
mod sets;
pub(crate) mod torch;

use serde_json::{Map, Value};

use crate::Weights;

pub use pickle::PickleError;
pub use torch::TorchError;

/// Contents of a file of weights.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) weights: Weights,
    /// Key of the weights; empty if they are all that the file contains.
    pub(crate) key: String,
    /// Whether there are others in the file, so that the key was chosen.
    pub(crate) is_chosen: bool,
    /// Text removed from the beginning of every tensor's name.
    pub(crate) prefix: String,
    /// Names of tensors that the chosen set lacks, taken from the usual one: an average includes only trained tensors.
    pub(crate) borrowed: Vec<String>,
    /// Whether the tensors of the chosen set have no names and were identified by order and shape.
    pub(crate) is_unnamed: bool,
    /// The configuration in the file.
    pub(crate) config: Option<Map<String, Value>>,
    /// Keys of the configuration whose values are other objects than numbers, strings, lists and dictionaries.
    pub(crate) opaque: Vec<String>,
}
