//! Readers of weight files. They turn bytes into tensors and know no architecture.

mod archive;
mod pickle;
pub(crate) mod safetensors;
mod sets;
pub(crate) mod torch;

pub use pickle::PickleError;
pub use torch::TorchError;
