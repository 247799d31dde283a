//! Queries the NVIDIA driver through NVML, whose library is loaded at run time if present. The queries change no
//! settings and end no process.

use std::collections::BTreeMap;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::machine::mib;
use super::readings::{Gpu, GpuMemory, GpuProcess, Nvidia};

/// Maximum length of a process name.
const NAME_LENGTH: usize = 256;

pub(super) fn nvidia() -> Nvidia {
    match Nvml::init() {
        Ok(nvml) => ask(&nvml).unwrap_or_else(|error| Nvidia::Broken { error: error.to_string() }),
        Err(NvmlError::LibloadingError(_)) => {
            Nvidia::Absent { reason: "no NVIDIA driver (libnvidia-ml) was found".to_owned() }
        }
        Err(NvmlError::DriverNotLoaded) => {
            Nvidia::Absent { reason: "an NVIDIA driver is installed, but not loaded".to_owned() }
        }
        Err(error) => Nvidia::Broken { error: error.to_string() },
    }
}

fn ask(nvml: &Nvml) -> Result<Nvidia, NvmlError> {
    let cuda = nvml.sys_cuda_driver_version().ok();
    Ok(Nvidia::Present {
        version: nvml.sys_driver_version()?,
        cuda: cuda.map(|v| format!("{}.{}", cuda_driver_version_major(v), cuda_driver_version_minor(v))),
        gpus: (0..nvml.device_count()?).map(|index| gpu(nvml, index)).collect(),
    })
}

fn gpu(nvml: &Nvml, index: u32) -> Gpu {
    let unknown = |error: NvmlError| GpuMemory::Unknown { error: error.to_string() };
    match nvml.device_by_index(index) {
        Ok(device) => Gpu {
            index,
            name: device.name().unwrap_or_else(|_| "without a name".to_owned()),
            memory: device.memory_info().map_or_else(unknown, |memory| GpuMemory::Known {
                total_mib: mib(memory.total),
                free_mib: mib(memory.free),
            }),
            processes: processes(nvml, &device),
        },
        Err(error) => {
            Gpu { index, name: "without a name".to_owned(), memory: unknown(error), processes: Vec::new() }
        }
    }
}

/// Returns the compute and graphics processes, each once.
fn processes(nvml: &Nvml, device: &Device<'_>) -> Vec<GpuProcess> {
    let compute = device.running_compute_processes().unwrap_or_default();
    let draw = device.running_graphics_processes().unwrap_or_default();
    let by_pid: BTreeMap<u32, UsedGpuMemory> =
        draw.into_iter().chain(compute).map(|process| (process.pid, process.used_gpu_memory)).collect();
    by_pid
        .into_iter()
        .map(|(pid, memory)| GpuProcess {
            pid,
            name: nvml.sys_process_name(pid, NAME_LENGTH).ok(),
            memory_mib: match memory {
                UsedGpuMemory::Used(bytes) => Some(mib(bytes)),
                UsedGpuMemory::Unavailable => None,
            },
        })
        .collect()
}
