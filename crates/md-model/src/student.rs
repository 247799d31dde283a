use std::fmt;
use std::ops::Range;

use md_core::{
    Batch, Configuration, Element, Evaluation, Potential, PotentialError, Request, Vec3,
    require_open_boundaries,
};
use rayon::prelude::*;

use crate::{Checkpoint, CheckpointError};

/// Floating-point format of a network's tensors. Positions, distances and the sums over atoms are f64 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: relative errors of some 10⁻⁷ in energies, for production.
    F32,
    /// Double precision: the reference, and for finite differences.
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

/// How the filters of the distiller form, functions of one distance, are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filters {
    /// By their networks.
    Exact,
    /// From splines with four continuous derivatives: forces within 10⁻⁶ of those of the networks, and the exact gradient
    /// of the energy that they belong to.
    Tabulated,
}

/// Consecutive systems of a batch.
pub(crate) struct Systems<'a> {
    batch: &'a Batch,
    systems: Range<usize>,
    /// Of their atoms, Å.
    pub positions: &'a [Vec3],
}

impl<'a> Systems<'a> {
    fn new(c: Configuration<'a>, systems: Range<usize>) -> Self {
        let atoms = c.batch.range(systems.start).start..c.batch.range(systems.end - 1).end;
        Systems { batch: c.batch, systems, positions: &c.positions[atoms] }
    }

    fn first_atom(&self) -> usize {
        self.batch.range(self.systems.start).start
    }

    pub(crate) fn elements(&self) -> &'a [Element] {
        &self.batch.elements()[self.first_atom()..][..self.positions.len()]
    }

    /// The atoms of each system, counted from the first of all.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let first = self.first_atom();
        self.systems.clone().map(move |s| {
            let atoms = self.batch.range(s);
            atoms.start - first..atoms.end - first
        })
    }

    /// Evaluates systems by a function of one.
    pub(crate) fn one_by_one(
        &self,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
        evaluate: impl Fn(&[Element], &[Vec3], Option<&mut [Vec3]>) -> Result<f64, String>,
    ) -> Result<(), String> {
        let mut forces = forces.unwrap_or_default();
        for (energy, atoms) in energies.iter_mut().zip(self.ranges()) {
            let forces = forces.split_off_mut(..atoms.len());
            *energy = evaluate(&self.elements()[atoms.clone()], &self.positions[atoms], forces)?;
        }
        Ok(())
    }
}

/// A network as a function of the geometry of some systems. What it says of one does not depend on the others, to the last
/// bit.
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// How it computes, for reports.
    fn implementation(&self) -> &'static str;

    /// Sets the energies (eV) of the systems; forces (eV/Å) are added to `forces`, if given. The error is the library's
    /// message.
    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String>;
}

/// A trained network as a potential: open boundaries, energies and forces, on the CPU.
///
/// Systems are evaluated a few at a time, spread over the threads of rayon's current pool; the numbers depend neither
/// on the other systems of the batch nor on the number of threads. Forces are the exact negative gradient of the
/// energy. A system with a position that is not finite gets NaN.
#[derive(Debug)]
pub struct Student {
    name: &'static str,
    elements: Vec<Element>,
    network: Box<dyn Network>,
}

impl Student {
    /// The network of a checkpoint, with [`Filters`] as suits the precision: tabulated in f32, where rounding is the larger
    /// error, and exact in f64.
    ///
    /// # Errors
    /// What [`Checkpoint::load`] finds wrong with tensors.
    pub fn new(checkpoint: &Checkpoint, precision: Precision) -> Result<Self, CheckpointError> {
        let filters = match precision {
            Precision::F32 => Filters::Tabulated,
            Precision::F64 => Filters::Exact,
        };
        Self::with_filters(checkpoint, precision, filters)
    }

    /// The network of a checkpoint, with filters of one's choice.
    ///
    /// # Errors
    /// As [`Student::new`].
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
    /// How it computes: `native` (loops of this crate, filters from splines), `native-exact` (the same with filters by their
    /// networks) or `burn-flex` (burn's tensor operations on the processor).
    pub fn implementation(&self) -> &'static str {
        self.network.implementation()
    }

    /// The same function computed another way, where there is one: by burn's tensor operations alone. For checks.
    ///
    /// # Errors
    /// As [`Student::new`].
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
            // `None` when no forces were asked for: the slice is empty then.
            let forces = forces.split_off_mut(..systems.positions.len());
            (systems, energies, forces)
        };
        let shares: Vec<_> = shares(c.batch).map(share).collect();
        let evaluate = |(systems, energies, forces): (Systems<'_>, &mut [f64], Option<&mut [Vec3]>)| {
            self.some_systems(&systems, energies, forces)
        };
        // Handing a single share to another thread costs more than the smallest of them.
        if shares.len() == 1 {
            shares.into_iter().try_for_each(evaluate)
        } else {
            shares.into_par_iter().try_for_each(evaluate)
        }
    }
}

/// Systems are put together until they have this many atoms: products of matrices are fast from then on, and what is
/// written stays in the cache.
const ATOMS_AT_ONCE: usize = 32;

/// The systems of a batch in order, some at a time, so that every thread has something to do. How they are shared changes
/// no number: see [`Network`].
fn shares(batch: &Batch) -> impl Iterator<Item = Range<usize>> {
    let at_once = batch.n_atoms().div_ceil(rayon::current_num_threads()).min(ATOMS_AT_ONCE);
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
        self.network
            .evaluate(systems, energies, forces.as_deref_mut())
            .map_err(|message| PotentialError::Backend { potential: self.name.to_owned(), message })?;
        // No pair of atoms is within the cutoff when one is at NaN: the network has seen lone atoms.
        for (energy, atoms) in energies.iter_mut().zip(systems.ranges()) {
            if systems.positions[atoms.clone()].iter().any(|x| x.iter().any(|c| !c.is_finite())) {
                *energy = f64::NAN;
                if let Some(forces) = &mut forces {
                    forces[atoms].fill(Vec3::repeat(f64::NAN));
                }
            }
        }
        Ok(())
    }
}

/// Refuses cells, stress and any element that is not among `known`, which is sorted.
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

/// `H, C, O`, or `H to Fm` for many elements without a gap.
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
