//! Readers of weight files. They convert bytes to tensors and do not depend on the architecture.

mod archive;
mod pickle;
pub(crate) mod safetensors;
mod sets;
pub(crate) mod torch;

pub use pickle::PickleError;
pub use torch::TorchError;
