//! Is there a CUDA device? Asked before burn touches it, which would panic on a thread of its own.

use cudarc::driver::CudaContext;
use cudarc::driver::sys::is_culib_present;

use crate::CheckpointError;

/// # Errors
/// [`CheckpointError::NoCudaDevice`] without a driver or without a device.
pub(super) fn require_device() -> Result<(), CheckpointError> {
    #[expect(unsafe_code, reason = "opens the driver's library if there is one; nothing in it is called")]
    // SAFETY: loading libcuda runs its initialisers, as every CUDA program does.
    let has_driver = unsafe { is_culib_present() };
    if !has_driver {
        return Err(CheckpointError::NoCudaDevice {
            reason: "no NVIDIA driver (libcuda) was found".to_owned(),
        });
    }
    match CudaContext::device_count() {
        Ok(count) if count > 0 => Ok(()),
        Ok(_) => Err(CheckpointError::NoCudaDevice { reason: "the driver sees no device".to_owned() }),
        Err(error) => Err(CheckpointError::NoCudaDevice { reason: format!("the driver says: {error:?}") }),
    }
}
