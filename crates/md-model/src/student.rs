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

/// A network as a function of one system's geometry.
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// How it computes, for reports.
    fn implementation(&self) -> &'static str;

    /// The energy (eV); forces (eV/Å) are added to `forces`, if given. The error is the library's message.
    fn evaluate(
        &self,
        elements: &[Element],
        positions: &[Vec3],
        forces: Option<&mut [Vec3]>,
    ) -> Result<f64, String>;
}

/// A trained network as a potential: open boundaries, energies and forces, on the CPU.
///
/// Systems are evaluated one by one, spread over the threads of rayon's current pool; the numbers depend neither
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
    /// How it computes: `native` (loops of this crate) or `burn-flex` (burn's tensor operations on the processor).
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

        let mut forces = out.forces.as_mut_slice();
        let systems: Vec<_> = std::iter::zip(&mut out.energies, c.batch.ranges())
            // `None` when no forces were asked for: the slice is empty then.
            .map(|(energy, atoms)| (energy, forces.split_off_mut(..atoms.len()), atoms))
            .collect();
        let evaluate = |(energy, forces, atoms): (&mut f64, Option<&mut [Vec3]>, Range<usize>)| {
            *energy = self.one_system(&c.batch.elements()[atoms.clone()], &c.positions[atoms], forces)?;
            Ok(())
        };
        // Handing a single system to another thread costs more than the smallest of them.
        if systems.len() == 1 {
            systems.into_iter().try_for_each(evaluate)
        } else {
            systems.into_par_iter().try_for_each(evaluate)
        }
    }
}

impl Student {
    fn one_system(
        &self,
        elements: &[Element],
        positions: &[Vec3],
        mut forces: Option<&mut [Vec3]>,
    ) -> Result<f64, PotentialError> {
        // No pair of atoms is within the cutoff when one is at NaN: the network would see lone atoms.
        if positions.iter().any(|x| x.iter().any(|c| !c.is_finite())) {
            if let Some(forces) = &mut forces {
                forces.fill(Vec3::repeat(f64::NAN));
            }
            return Ok(f64::NAN);
        }
        self.network
            .evaluate(elements, positions, forces)
            .map_err(|message| PotentialError::Backend { potential: self.name.to_owned(), message })
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
