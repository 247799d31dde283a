//! NVIDIA GPUs. Checks whether there is one first: otherwise the library would panic on one of its own threads.

use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl::{Runtime, client::ComputeClient};
use cudarc::driver::CudaContext;
use cudarc::driver::sys::is_culib_present;

use crate::CheckpointError;

/// # Errors
/// [`CheckpointError::NoDevice`] without a driver or without a device.
pub(crate) fn require_device() -> Result<(), CheckpointError> {
    let absent = |reason: String| Err(CheckpointError::NoDevice { device: "CUDA", reason });
    #[expect(unsafe_code, reason = "opens the driver's library if there is one; nothing in it is called")]
    // SAFETY: loading libcuda runs its initialisers, as every CUDA program does.
    let has_driver = unsafe { is_culib_present() };
    if !has_driver {
        return absent("no NVIDIA driver (libcuda) was found".to_owned());
    }
    match CudaContext::device_count() {
        Ok(count) if count > 0 => Ok(()),
        Ok(_) => absent("the driver sees no device".to_owned()),
        Err(error) => absent(format!("the driver says: {error:?}")),
    }
}

/// Returns the first device.
///
/// # Errors
/// See [`require_device`].
pub(super) fn client() -> Result<ComputeClient<CudaRuntime>, CheckpointError> {
    require_device()?;
    Ok(CudaRuntime::client(&CudaDevice::default()))
}

/// Returns the memory for a call (bytes): half of the free memory. If it is too much, [`crate::Student`] retries.
pub(super) fn memory() -> usize {
    CudaContext::new(0).and_then(|device| device.mem_get_info()).map_or(0, |(free, _)| free / 2)
}
