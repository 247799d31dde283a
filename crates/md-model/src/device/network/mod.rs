//! Networks on a GPU with CubeCL kernels of this crate: CUDA, or the backends of wgpu (Vulkan, Metal, Direct3D).
//!
//! A call sends positions to the device and fetches energies and forces; everything else stays there, including
//! neighbours. Steps and layouts are those of the CPU version (`native::fused`), and filters come from the same
//! splines. One cube of units computes the messages to one atom: nothing is scattered, and results do not depend on the
//! order of cubes. Kernels are generic over the runtime, so that tests run them on Vulkan in software.

/// Launches a kernel on a device, with T and R in scope: cubes, units of a cube, arguments.
macro_rules! launch {
    ($($kernel:ident)::+, $gpu:expr, $cubes:expr, $units:expr, $($argument:expr),+ $(,)?) => {
        #[expect(unsafe_code, reason = "indices are not checked once more on the device")]
        // SAFETY: kernels stay within their arrays, whose lengths are passed as arguments.
        unsafe {
            $($kernel::)+launch_unchecked::<T, R>(&$gpu.client, $cubes, $units, $gpu.tally(), $($argument),+)
        }
    };
}

mod dense;
mod distiller;
mod geometry;
mod gpu;
mod integrate;
mod message;
mod painn;
#[cfg(test)]
#[cfg(feature = "wgpu")]
mod tests;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use cubecl::Runtime;
use cubecl::prelude::*;
use md_core::{Batch, Configuration, Element, Limits, State, Vec3};

use crate::architecture::Architecture;
use crate::geometry::UNIT_EPSILON;
use crate::native::fused::table::{Grid, POLYNOMIALS};
use crate::student::{Moved, Network, Systems};
use crate::{CheckpointError, Precision, Weights};

use geometry::PER_EDGE;
use gpu::{Buffer, Gpu, Number};
use integrate::Moving;

/// A network on the device.
trait Form<R: Runtime, T: Number>: Debug + Send + Sync + Sized {
    /// F, padded, and the number of interactions.
    fn sizes(&self) -> [usize; 2];

    /// The grid of the filter tables, and whether filters are multiplied by the polynomial envelope.
    fn grid(&self) -> (Grid, bool);

    /// The row of an element in the embedding.
    fn species(&self, element: Element) -> usize;

    /// The energy of an atom of this element besides that of the network and the repulsion, eV.
    fn reference_energy(&self, element: Element) -> f64;

    /// Computes the energy of each atom, and the forces if requested.
    fn evaluate(&self, gpu: &Gpu<R, T>, on: &Atoms, edges: &Edges, forces: bool) -> (Buffer, Option<Buffer>);
}

/// The properties of a batch that do not change as atoms move.
#[derive(Debug)]
struct Atoms {
    count: usize,
    systems: usize,
    /// Maximum number of neighbours of an atom.
    most_neighbours: usize,
    species: Buffer,
    /// First atom of the system of each atom, and the end.
    first: Buffer,
    end: Buffer,
    /// First atom of each system, and the end of the last.
    starts: Buffer,
    /// Elements and system ends from which they were created.
    elements: Vec<Element>,
    ends: Vec<usize>,
}

/// See [`geometry::edges`].
#[derive(Debug)]
struct Edges {
    capacity: usize,
    /// Positions, Å, in f64.
    positions: Buffer,
    count: Buffer,
    neighbours: Buffer,
    rows: Buffer,
    geometry: Buffer,
}

/// Maximum number of steps between transfers to the host: after a system has exceeded its limits, the rest are wasted.
const STEPS: u64 = 64;

/// Initial neighbour capacity. It grows if an atom has more.
const NEIGHBOURS: usize = 96;

/// A network on a device.
#[derive(Debug)]
struct OnDevice<R: Runtime, T: Number, M> {
    gpu: Gpu<R, T>,
    form: M,
    /// Cutoff and splines, for [`geometry::edges`].
    parameters: Buffer,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    atoms: Option<Atoms>,
    capacity: usize,
}

impl<R: Runtime, T: Number, M: Form<R, T>> OnDevice<R, T, M> {
    fn new(gpu: Gpu<R, T>, form: M) -> Self {
        let (grid, _) = form.grid();
        let splines = POLYNOMIALS.iter().flatten().map(|c| c / 120.0);
        let parameters: Vec<f64> =
            [grid.end, grid.intervals as f64 / grid.end, UNIT_EPSILON].into_iter().chain(splines).collect();
        let parameters = gpu.upload(&parameters);
        let kept = Mutex::new(Kept { atoms: None, capacity: NEIGHBOURS });
        OnDevice { gpu, form, parameters, kept }
    }

    fn atoms(&self, systems: &Systems<'_>) -> Atoms {
        let elements = systems.elements().to_vec();
        let ends: Vec<usize> = systems.ranges().map(|atoms| atoms.end).collect();
        let of_atoms = |f: &dyn Fn(std::ops::Range<usize>) -> usize| -> Vec<u32> {
            systems.ranges().flat_map(|atoms| atoms.clone().map(move |_| f(atoms.clone()) as u32)).collect()
        };
        let species: Vec<u32> = elements.iter().map(|&e| self.form.species(e) as u32).collect();
        let starts: Vec<u32> = std::iter::once(0).chain(ends.iter().map(|&end| end as u32)).collect();
        Atoms {
            count: elements.len(),
            systems: ends.len(),
            most_neighbours: systems.ranges().map(|atoms| atoms.len()).max().unwrap_or(1) - 1,
            species: self.gpu.upload(&species),
            first: self.gpu.upload(&of_atoms(&|atoms| atoms.start)),
            end: self.gpu.upload(&of_atoms(&|atoms| atoms.end)),
            starts: self.gpu.upload(&starts),
            elements,
            ends,
        }
    }

    fn edges(&self, atoms: &Atoms, positions: &Buffer, capacity: usize) -> Edges {
        let (gpu, n) = (&self.gpu, atoms.count);
        let (grid, has_envelope) = self.form.grid();
        let slots = n * capacity;
        let edges = Edges {
            capacity,
            positions: positions.clone(),
            count: gpu.reserve::<u32>(n),
            neighbours: gpu.reserve::<u32>(slots),
            rows: gpu.reserve::<u32>(slots),
            geometry: gpu.numbers(slots * PER_EDGE),
        };
        let (cubes, units) = gpu::over(n);
        launch!(
            geometry::edges,
            gpu,
            cubes,
            units,
            positions.arg(),
            atoms.first.arg(),
            atoms.end.arg(),
            self.parameters.arg(),
            edges.count.arg(),
            edges.neighbours.arg(),
            edges.rows.arg(),
            edges.geometry.arg(),
            n,
            capacity,
            grid.intervals as u32,
            has_envelope,
        );
        edges
    }

    /// Returns the constant properties of these systems, cached ones if they are of the same systems.
    fn atoms_of(&self, kept: &mut Kept, systems: &Systems<'_>) -> Atoms {
        let theirs = kept.atoms.take().filter(|atoms| {
            atoms.elements == systems.elements()
                && atoms.ends.iter().copied().eq(systems.ranges().map(|atoms| atoms.end))
        });
        theirs.unwrap_or_else(|| self.atoms(systems))
    }

    /// Computes energies of systems, and forces, without the energies of [`Form::reference_energy`].
    fn launch(&self, atoms: &Atoms, edges: &Edges, forces: bool) -> (Buffer, Option<Buffer>) {
        let gpu = &self.gpu;
        let (of_atoms, forces) = self.form.evaluate(gpu, atoms, edges, forces);
        let energies = gpu.reserve::<f64>(atoms.systems);
        let (cubes, units) = gpu::over(atoms.systems);
        launch!(
            geometry::sum_per_system,
            gpu,
            cubes,
            units,
            of_atoms.arg(),
            atoms.starts.arg(),
            energies.arg(),
            atoms.systems,
        );
        (energies, forces)
    }

    fn add_reference(&self, systems: &Systems<'_>, energies: &mut [f64]) {
        for (energy, atoms) in energies.iter_mut().zip(systems.ranges()) {
            *energy += systems.elements()[atoms].iter().map(|&e| self.form.reference_energy(e)).sum::<f64>();
        }
    }

    fn try_evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        let gpu = &self.gpu;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let atoms = self.atoms_of(&mut kept, systems);
        let positions: Vec<f64> = systems.positions.iter().flat_map(|x| x.iter().copied()).collect();
        let positions = gpu.upload(&positions);
        let (of_systems, of_atoms) = loop {
            let edges = self.edges(&atoms, &positions, kept.capacity(&atoms));
            let found = self.launch(&atoms, &edges, forces.is_some());
            if edges.capacity >= atoms.most_neighbours {
                break found;
            }
            let [counts] = gpu.read([&edges.count])?;
            let most = u32::from_bytes(&counts).iter().copied().max().unwrap_or(0) as usize;
            if most <= edges.capacity {
                break found;
            }
            kept.capacity = most.next_multiple_of(32);
        };
        let [of_systems, of_atoms] = gpu.read([&of_systems, of_atoms.as_ref().unwrap_or(gpu.none())])?;
        energies.copy_from_slice(f64::from_bytes(&of_systems));
        self.add_reference(systems, energies);
        if let Some(forces) = forces {
            for (force, found) in forces.iter_mut().zip(T::from_bytes(&of_atoms).chunks_exact(3)) {
                *force += Vec3::new(found[0].to_f64(), found[1].to_f64(), found[2].to_f64());
            }
        }
        kept.atoms = Some(atoms);
        Ok(())
    }

    fn try_steps(
        &self,
        state: &State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<Moved>, String> {
        let gpu = &self.gpu;
        let batch = state.batch();
        let systems =
            Systems::new(Configuration { batch, positions: state.positions() }, 0..batch.n_systems());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let atoms = self.atoms_of(&mut kept, &systems);
        let moving = Moving::new(gpu, state, timestep_fs, limits);
        let forces: Vec<f64> = state.evaluation().forces.iter().flat_map(|f| f.iter().copied()).collect();
        let (mut energies, mut forces) = (gpu.none().clone(), gpu.upload_rounded(&forces));
        for _ in 0..steps.min(STEPS) {
            moving.kick_and_drift(gpu, &forces);
            let edges = self.edges(&atoms, &moving.positions, kept.capacity(&atoms));
            let (of_systems, of_atoms) = self.launch(&atoms, &edges, true);
            energies = of_systems;
            forces = of_atoms.unwrap_or(forces);
            moving.kick_and_check(gpu, &atoms, &edges, &energies, &forces);
        }
        let mut moved = moving.fetch(gpu, &energies, &forces)?;
        if let Some(moved) = &mut moved {
            self.add_reference(&systems, &mut moved.energies);
        }
        kept.atoms = Some(atoms);
        Ok(moved)
    }
}

impl Kept {
    /// Returns the neighbour capacity. Arrays must not be empty.
    fn capacity(&self, atoms: &Atoms) -> usize {
        self.capacity.min(atoms.most_neighbours).max(1)
    }
}

/// Calls `work` and converts panics to errors: the library panics if memory is exhausted.
fn guarded<A>(work: impl FnOnce() -> Result<A, String>) -> Result<A, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("the device gave up").to_owned())
    })
}

impl<R: Runtime, T: Number, M: Form<R, T>> Network for OnDevice<R, T, M> {
    fn implementation(&self) -> &'static str {
        self.gpu.implementation
    }

    fn atoms_at_once(&self, _: &Batch) -> usize {
        let [width, interactions] = self.form.sizes();
        let features = TRACE_PER_ATOM * interactions + WORK_PER_ATOM;
        let bytes = (features * width + NEIGHBOURS * PER_EDGE) * size_of::<T>();
        // Kernels index arrays with 32 bits.
        let longest = (6 * width).max(NEIGHBOURS * PER_EDGE);
        (self.gpu.memory / bytes).min(u32::MAX as usize / longest).max(1)
    }

    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        guarded(|| self.try_evaluate(systems, energies, forces))
    }

    fn velocity_verlet(
        &self,
        state: &State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<Moved>, String> {
        guarded(|| self.try_steps(state, timestep_fs, steps, limits))
    }
}

/// Number of arrays of F numbers per atom: intermediate results for the backward pass, per interaction, and all others.
const TRACE_PER_ATOM: usize = 26;
const WORK_PER_ATOM: usize = 40;

/// Creates the network of an architecture. A call may use `memory` bytes.
pub(super) fn build<R: Runtime>(
    client: ComputeClient<R>,
    implementation: &'static str,
    memory: usize,
    architecture: &Architecture,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    match precision {
        Precision::F32 => {
            of_numbers::<R, f32>(Gpu::new(client, implementation, memory), architecture, weights)
        }
        Precision::F64 => {
            of_numbers::<R, f64>(Gpu::new(client, implementation, memory), architecture, weights)
        }
    }
}

fn of_numbers<R: Runtime, T: Number>(
    gpu: Gpu<R, T>,
    architecture: &Architecture,
    weights: &Weights,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(match architecture {
        Architecture::Distiller(h) => {
            let form = distiller::Distiller::new(&gpu, h, weights)?;
            Box::new(OnDevice::new(gpu, form))
        }
        Architecture::Painn(h) => {
            let form = painn::Painn::new(&gpu, h, weights)?;
            Box::new(OnDevice::new(gpu, form))
        }
    })
}
