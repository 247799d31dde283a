use std::fmt;
use std::ops::Range;

use md_core::{
    Batch, Configuration, Element, Evaluation, Limits, Potential, PotentialError, Request, State, Vec3,
    require_open_boundaries,
};
use rayon::prelude::*;

use crate::{Checkpoint, CheckpointError, Gpu, device};

/// Floating-point format of a network's tensors. Positions, distances and the sums over atoms are f64 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: relative errors of about 10⁻⁷ in energies, for production.
    F32,
    /// Double precision: for reference results and finite differences.
    F64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
        })
    }
}

/// Computation of the filters of the distiller form, which are functions of a distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// Evaluates the filter networks.
    Exact,
    /// Uses splines with four continuous derivatives: forces within 10⁻⁶ of those of the networks, and the exact
    /// gradient of the tabulated energy.
    Tabulated,
}

/// Consecutive systems of a batch.
pub(crate) struct Systems<'a> {
    batch: &'a Batch,
    systems: Range<usize>,
    /// Positions of their atoms, Å.
    pub positions: &'a [Vec3],
}

impl<'a> Systems<'a> {
    pub(crate) fn new(c: Configuration<'a>, systems: Range<usize>) -> Self {
        let atoms = c.batch.range(systems.start).start..c.batch.range(systems.end - 1).end;
        Systems { batch: c.batch, systems, positions: &c.positions[atoms] }
    }

    fn halves(&self) -> (Self, Self) {
        let Range { start, end } = self.systems;
        let middle = start + (end - start) / 2;
        let atoms = self.batch.range(middle).start - self.first_atom();
        let (first, second) = self.positions.split_at(atoms);
        (
            Systems { batch: self.batch, systems: start..middle, positions: first },
            Systems { batch: self.batch, systems: middle..end, positions: second },
        )
    }

    fn first_atom(&self) -> usize {
        self.batch.range(self.systems.start).start
    }

    pub(crate) fn elements(&self) -> &'a [Element] {
        &self.batch.elements()[self.first_atom()..][..self.positions.len()]
    }

    /// Returns the range of atoms of each system, counted from the first one.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let first = self.first_atom();
        self.systems.clone().map(move |s| {
            let atoms = self.batch.range(s);
            atoms.start - first..atoms.end - first
        })
    }

    /// Sets the results for systems with non-finite positions to NaN: the network finds no pairs there and would treat
    /// the atoms as isolated.
    fn mark_non_finite(&self, energies: &mut [f64], mut forces: Option<&mut [Vec3]>) {
        for (energy, atoms) in energies.iter_mut().zip(self.ranges()) {
            if self.positions[atoms.clone()].iter().any(|x| x.iter().any(|c| !c.is_finite())) {
                *energy = f64::NAN;
                if let Some(forces) = &mut forces {
                    forces[atoms].fill(Vec3::repeat(f64::NAN));
                }
            }
        }
    }

    /// Sets the energies of the systems to the sums over their atoms, eV.
    pub(crate) fn sum_per_system<T: Copy + Into<f64>>(&self, of_atoms: &[T], energies: &mut [f64]) {
        for (energy, atoms) in energies.iter_mut().zip(self.ranges()) {
            *energy = of_atoms[atoms].iter().map(|&e| e.into()).sum();
        }
    }
}

/// A network as a function of the geometry of several systems. The result for one does not depend on the others
/// (bitwise on the CPU).
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// Name of the implementation, for reports.
    fn implementation(&self) -> &'static str;

    /// Maximum number of atoms in systems evaluated together by [`Network::evaluate`]; a larger system is evaluated
    /// alone.
    fn atoms_at_once(&self, batch: &Batch) -> usize;

    /// Computes the energies (eV) of the systems and adds forces (eV/Å) to `forces`, if given. The error is the message
    /// of the library.
    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String>;

    /// See [`Potential::velocity_verlet`].
    fn velocity_verlet(
        &self,
        state: &State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<Moved>, String> {
        let _ = (state, timestep_fs, steps, limits);
        Ok(None)
    }
}

/// A batch after some steps.
pub(crate) struct Moved {
    pub(crate) steps: u64,
    pub(crate) positions: Vec<Vec3>,
    pub(crate) velocities: Vec<Vec3>,
    pub(crate) forces: Vec<Vec3>,
    pub(crate) energies: Vec<f64>,
}

/// A trained network as a potential with open boundaries, energies and forces, on a CPU or GPU.
///
/// Systems are evaluated a few at a time on the threads of the current rayon pool; the results depend neither on the
/// other systems of the batch nor on the number of threads. Forces are the exact negative gradient of the energy. A
/// system with a non-finite position gives NaN.
#[derive(Debug)]
pub struct Student {
    name: &'static str,
    elements: Vec<Element>,
    network: Box<dyn Network>,
}

impl Student {
    /// Creates the network of a checkpoint with the [`Filters`] suited to the precision: tabulated in f32, where
    /// rounding is the larger error, and exact in f64.
    ///
    /// # Errors
    /// Errors of [`Checkpoint::load`] in tensors.
    pub fn new(checkpoint: &Checkpoint, precision: Precision) -> Result<Self, CheckpointError> {
        let filters = match precision {
            Precision::F32 => Filters::Tabulated,
            Precision::F64 => Filters::Exact,
        };
        Self::with_filters(checkpoint, precision, filters)
    }

    /// Creates the network of a checkpoint with the given filters.
    ///
    /// # Errors
    /// See [`Student::new`].
    pub fn with_filters(
        checkpoint: &Checkpoint,
        precision: Precision,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        Ok(Student {
            name: checkpoint.architecture().model_type(),
            elements: checkpoint.elements().to_vec(),
            network: checkpoint.architecture().build(checkpoint.weights(), precision, filters)?,
        })
    }
}

impl Student {
    /// Creates the network of a checkpoint on a GPU, with [`Filters::Tabulated`]. All systems of a batch are evaluated
    /// at once if memory permits.
    ///
    /// # Errors
    /// See [`Student::new`]; [`CheckpointError::NoDevice`].
    pub fn on_gpu(checkpoint: &Checkpoint, precision: Precision, gpu: Gpu) -> Result<Self, CheckpointError> {
        Ok(Student {
            name: checkpoint.architecture().model_type(),
            elements: checkpoint.elements().to_vec(),
            network: device::build(gpu, checkpoint.architecture(), checkpoint.weights(), precision)?,
        })
    }

    /// Name of the implementation: `native` (loops of this crate, filters from splines), `native-exact` (the same with
    /// filter networks), `burn-flex` (tensor operations of burn), `cubecl-cuda` or `cubecl-wgpu` (kernels of this crate
    /// on a GPU).
    pub fn implementation(&self) -> &'static str {
        self.network.implementation()
    }

    /// Returns an independent implementation of the same function, if there is one: by tensor operations of burn only.
    /// For checks.
    ///
    /// # Errors
    /// See [`Student::new`].
    pub fn reference(checkpoint: &Checkpoint, precision: Precision) -> Result<Self, CheckpointError> {
        let network = checkpoint.architecture().build_reference(checkpoint.weights(), precision)?;
        Ok(Student { network, ..Student::new(checkpoint, precision)? })
    }
}

impl Potential for Student {
    fn name(&self) -> &str {
        self.name
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_elements(self.name, &self.elements, batch, request)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        c.check_length()?;
        out.reset(c.batch, request);

        let (mut energies, mut forces) = (out.energies.as_mut_slice(), out.forces.as_mut_slice());
        let share = |systems: Range<usize>| {
            let systems = Systems::new(c, systems);
            let energies = energies.split_off_mut(..systems.systems.len()).unwrap_or_default();
            // `None` if no forces were requested: the slice is empty then.
            let forces = forces.split_off_mut(..systems.positions.len());
            (systems, energies, forces)
        };
        let shares: Vec<_> = shares(c.batch, self.network.atoms_at_once(c.batch)).map(share).collect();
        let evaluate = |(systems, energies, forces): (Systems<'_>, &mut [f64], Option<&mut [Vec3]>)| {
            self.some_systems(&systems, energies, forces)
        };
        // Passing a single share to another thread costs more than the smallest of them.
        if shares.len() == 1 {
            shares.into_iter().try_for_each(evaluate)
        } else {
            shares.into_par_iter().try_for_each(evaluate)
        }
    }

    fn velocity_verlet(
        &mut self,
        state: &mut State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<u64>, PotentialError> {
        let batch = state.batch();
        self.check(batch, Request::FORCES)?;
        if batch.n_atoms() > self.network.atoms_at_once(batch) {
            return Ok(None);
        }
        let moved =
            self.network.velocity_verlet(state, timestep_fs, steps, limits).unwrap_or_else(|message| {
                tracing::warn!("{steps} steps at once failed, now one by one: {message}");
                None
            });
        let Some(mut moved) = moved else { return Ok(None) };
        let atoms = Systems::new(Configuration { batch, positions: &moved.positions }, 0..batch.n_systems());
        atoms.mark_non_finite(&mut moved.energies, Some(&mut moved.forces));
        let evaluation = Evaluation { energies: moved.energies, forces: moved.forces, stresses: None };
        state.advance_to(moved.steps, timestep_fs, moved.positions, moved.velocities, evaluation).map_err(
            |error| PotentialError::Backend { potential: self.name.to_owned(), message: error.to_string() },
        )?;
        Ok(Some(moved.steps))
    }
}

/// Divides a batch into consecutive systems with up to `at_once` atoms in total, and at least one system.
fn shares(batch: &Batch, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let first = next;
        let mut atoms = 0;
        while next < batch.n_systems() && (next == first || atoms + batch.range(next).len() <= at_once) {
            atoms += batch.range(next).len();
            next += 1;
        }
        (first < next).then_some(first..next)
    })
}

impl Student {
    fn some_systems(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        mut forces: Option<&mut [Vec3]>,
    ) -> Result<(), PotentialError> {
        if let Err(message) = self.network.evaluate(systems, energies, forces.as_deref_mut()) {
            let n = systems.systems.len();
            if n == 1 {
                return Err(PotentialError::Backend { potential: self.name.to_owned(), message });
            }
            // A device without enough memory for all may have enough for half of them.
            tracing::warn!("{n} systems at once failed, now in two halves: {message}");
            let (first, second) = systems.halves();
            let atoms = first.positions.len();
            let (energies_first, energies_second) = energies.split_at_mut(n / 2);
            let (forces_first, forces_second) = match forces {
                Some(forces) => {
                    forces.fill(Vec3::zeros());
                    let (a, b) = forces.split_at_mut(atoms);
                    (Some(a), Some(b))
                }
                None => (None, None),
            };
            self.some_systems(&first, energies_first, forces_first)?;
            return self.some_systems(&second, energies_second, forces_second);
        }
        systems.mark_non_finite(energies, forces);
        Ok(())
    }
}

/// Rejects cells, stress and elements not in `known`, which must be sorted.
pub(crate) fn check_elements(
    name: &str,
    known: &[Element],
    batch: &Batch,
    request: Request,
) -> Result<(), PotentialError> {
    require_open_boundaries(name, batch, request)?;
    for (system, atoms) in batch.ranges().enumerate() {
        for (atom, &element) in batch.elements()[atoms].iter().enumerate() {
            if known.binary_search(&element).is_err() {
                return Err(PotentialError::UnknownElement {
                    potential: name.to_owned(),
                    system,
                    atom,
                    element,
                    known: list(known),
                });
            }
        }
    }
    Ok(())
}

/// Formats elements as `H, C, O`, or as `H to Fm` for many without a gap.
pub(crate) fn list(elements: &[Element]) -> String {
    match elements {
        [first, .., last]
            if elements.len() > 5
                && usize::from(last.atomic_number() - first.atomic_number()) + 1 == elements.len() =>
        {
            format!("{first} to {last}")
        }
        _ => elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::System;

    /// A network limited to two atoms at once. The energy of an atom and every component of its force are its x.
    #[derive(Debug)]
    struct Small;

    impl Network for Small {
        fn implementation(&self) -> &'static str {
            "small"
        }

        fn atoms_at_once(&self, batch: &Batch) -> usize {
            batch.n_atoms()
        }

        fn evaluate(
            &self,
            systems: &Systems<'_>,
            energies: &mut [f64],
            forces: Option<&mut [Vec3]>,
        ) -> Result<(), String> {
            for (force, x) in forces.unwrap_or_default().iter_mut().zip(systems.positions) {
                *force += Vec3::repeat(x.x);
            }
            let of_atoms: Vec<f64> = systems.positions.iter().map(|x| x.x).collect();
            systems.sum_per_system(&of_atoms, energies);
            if of_atoms.len() > 2 { Err("out of memory".to_owned()) } else { Ok(()) }
        }
    }

    fn evaluate(systems: &[System]) -> Result<Evaluation, PotentialError> {
        let mut student = Student { name: "small", elements: vec![Element::H], network: Box::new(Small) };
        let (batch, positions) = (Batch::new(systems), Batch::gather_positions(systems));
        let mut out = Evaluation::default();
        let c = Configuration { batch: &batch, positions: &positions };
        student.evaluate(c, Request::FORCES, &mut out).map(|()| out)
    }

    fn row(x: &[f64]) -> System {
        System::new(vec![Element::H; x.len()], x.iter().map(|&x| Vec3::new(x, 0.0, 0.0)).collect()).unwrap()
    }

    #[test]
    fn evaluate_halves_batch_on_oom() {
        let found =
            evaluate(&[row(&[1.0]), row(&[2.0, 3.0]), row(&[4.0]), row(&[5.0]), row(&[6.0])]).unwrap();
        assert_eq!(found.energies, [1.0, 5.0, 4.0, 5.0, 6.0]);
        let forces: Vec<f64> = found.forces.iter().map(|f| f.z).collect();
        assert_eq!(forces, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn evaluate_of_single_system_fails_on_oom() {
        let error = evaluate(&[row(&[1.0]), row(&[1.0, 2.0, 3.0])]).unwrap_err();
        assert!(error.to_string().contains("out of memory"), "{error}");
    }

    #[test]
    fn shares_keep_whole_systems_in_order() {
        let batch = Batch::new(&[row(&[0.0]), row(&[0.0, 1.0]), row(&[0.0, 1.0, 2.0, 3.0]), row(&[0.0])]);
        let all = |at_once| shares(&batch, at_once).collect::<Vec<_>>();
        assert_eq!(all(3), [0..2, 2..3, 3..4]);
        assert_eq!(all(0), [0..1, 1..2, 2..3, 3..4]);
        assert_eq!(all(usize::MAX), vec![0..4; 1]);
    }
}
