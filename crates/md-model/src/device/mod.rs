//! Networks on a GPU, if the program was built with support for one.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod network;
#[cfg(feature = "wgpu")]
mod wgpu;

use crate::architecture::Architecture;
use crate::student::Network;
use crate::{CheckpointError, Precision, Weights};

/// The interface to a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// An NVIDIA GPU through CUDA (cargo feature `cuda`).
    Cuda,
    /// Any GPU through Vulkan, Metal or Direct3D (cargo feature `wgpu`): networks in f32 only, with a driver that
    /// supports f64, in which geometry is computed.
    Wgpu,
}

/// # Errors
/// [`CheckpointError::NoDevice`].
#[cfg_attr(
    not(any(feature = "cuda", feature = "wgpu")),
    expect(unused_variables, reason = "nothing is built")
)]
pub(crate) fn build(
    gpu: Gpu,
    architecture: &Architecture,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    match gpu {
        #[cfg(feature = "cuda")]
        Gpu::Cuda => {
            let client = cuda::client()?;
            network::build(client, "cubecl-cuda", cuda::memory(), architecture, weights, precision)
        }
        #[cfg(feature = "wgpu")]
        Gpu::Wgpu => {
            let client = wgpu::client(precision)?;
            network::build(client, "cubecl-wgpu", wgpu::MEMORY, architecture, weights, precision)
        }
        #[cfg(not(feature = "cuda"))]
        Gpu::Cuda => Err(not_built("CUDA", "cuda")),
        #[cfg(not(feature = "wgpu"))]
        Gpu::Wgpu => Err(not_built("wgpu", "wgpu")),
    }
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn not_built(device: &'static str, feature: &str) -> CheckpointError {
    let reason = format!("this program was built without it (cargo's feature `{feature}`)");
    CheckpointError::NoDevice { device, reason }
}
