//! Is there a CUDA device? Asked before burn touches it, which would panic on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cudarc::driver::CudaContext;
use cudarc::driver::sys::is_culib_present;

use md_core::{Batch, Vec3};

use crate::CheckpointError;
use crate::student::{Network, Systems};

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

/// Tensors of F numbers that a pair and an atom have per interaction, all of the backward pass included; counted, and
/// rounded up.
const TENSORS_PER_PAIR: f64 = 60.0;
const TENSORS_PER_ATOM: f64 = 40.0;

/// Pairs per atom of a dense system with a cutoff of 5 Å, each counted once.
const PAIRS_PER_ATOM: f64 = 30.0;

/// Part of the free memory that is asked for.
const SHARE: f64 = 0.5;

/// Atoms that fit into the free memory of the device at once. Too many is no disaster: see [`crate::Student`].
pub(super) fn atoms_at_once(width: usize, interactions: usize) -> usize {
    let free = CudaContext::new(0).and_then(|device| device.mem_get_info()).map_or(0, |(free, _)| free);
    let per_atom =
        (TENSORS_PER_PAIR * PAIRS_PER_ATOM + TENSORS_PER_ATOM) * (width * interactions) as f64 * 8.0;
    (SHARE * free as f64 / per_atom) as usize
}

/// A network on the device: burn says by a panic that memory has run out.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Box<dyn Network>);

impl Network for Guarded {
    fn implementation(&self) -> &'static str {
        self.0.implementation()
    }

    fn atoms_at_once(&self, batch: &Batch) -> usize {
        self.0.atoms_at_once(batch)
    }

    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        let evaluated = catch_unwind(AssertUnwindSafe(|| self.0.evaluate(systems, energies, forces)));
        evaluated.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            Err(message
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                .unwrap_or_else(|| "the device gave up".to_owned()))
        })
    }
}
