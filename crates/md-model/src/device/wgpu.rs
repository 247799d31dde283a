//! GPUs of any vendor, through Vulkan, Metal or Direct3D.

use cubecl::ir::{ElemType, FloatKind};
use cubecl::wgpu::{AutoGraphicsApi, GraphicsApi, WgpuDevice, WgpuRuntime};
use cubecl::{Runtime, client::ComputeClient};

use crate::{CheckpointError, Precision};

/// Memory for a call (bytes): the size of the GPU memory cannot be queried.
pub(super) const MEMORY: usize = 1 << 30;

/// Returns the best device; it may be a software driver.
///
/// # Errors
/// [`CheckpointError::NoDevice`] if no device supports f64, in which geometry is computed, and for networks in f64.
pub(super) fn client(precision: Precision) -> Result<ComputeClient<WgpuRuntime>, CheckpointError> {
    let absent = |reason: &str| CheckpointError::NoDevice { device: "wgpu", reason: reason.to_owned() };
    if WgpuRuntime::enumerate_all_devices(&AutoGraphicsApi::backend()).is_empty() {
        return Err(absent("no driver for Vulkan, Metal or Direct3D was found"));
    }
    if precision == Precision::F64 {
        return Err(absent("shaders have no exponential function in f64"));
    }
    let client = WgpuRuntime::client(&WgpuDevice::default());
    if !client.properties().supports_type(ElemType::Float(FloatKind::F64)) {
        return Err(absent("the GPU or its driver knows no f64"));
    }
    Ok(client)
}
