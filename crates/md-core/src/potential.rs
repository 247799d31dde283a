use crate::{Batch, Configuration, Element, Limits, Mat3, State, Vec3};

/// What a caller wants besides the energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// Forces on the atoms.
    pub forces: bool,
    /// Stress of each (periodic) system.
    pub stress: bool,
}

impl Request {
    /// Energies alone.
    pub const ENERGY: Request = Request { forces: false, stress: false };
    /// Energies and forces: what dynamics needs.
    pub const FORCES: Request = Request { forces: true, stress: false };
    /// Energies, forces and stresses.
    pub const STRESS: Request = Request { forces: true, stress: true };
}

/// What a potential says about a configuration.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Evaluation {
    /// Potential energy of each system, eV.
    pub energies: Vec<f64>,
    /// Force on each atom, eV/Å; empty unless requested.
    pub forces: Vec<Vec3>,
    /// Stress of each system, eV/Å³; `None` unless requested.
    pub stresses: Option<Vec<Mat3>>,
}

impl Evaluation {
    /// Sets every requested field to zeros of the right length for `batch` and empties the others. Potentials
    /// call this first; allocations are kept from call to call.
    pub fn reset(&mut self, batch: &Batch, request: Request) {
        self.energies.clear();
        self.energies.resize(batch.n_systems(), 0.0);
        self.forces.clear();
        if request.forces {
            self.forces.resize(batch.n_atoms(), Vec3::zeros());
        }
        self.stresses = request.stress.then(|| vec![Mat3::zeros(); batch.n_systems()]);
    }

    /// The evaluation of the systems `keep` of `batch` alone.
    #[must_use]
    pub fn select(&self, batch: &Batch, keep: &[usize]) -> Self {
        Evaluation {
            energies: keep.iter().map(|&s| self.energies[s]).collect(),
            forces: if self.forces.is_empty() { Vec::new() } else { batch.select_atoms(keep, &self.forces) },
            stresses: self.stresses.as_ref().map(|all| keep.iter().map(|&s| all[s]).collect()),
        }
    }
}

/// Why a potential cannot answer. A bad *answer* (NaN, a huge force) is no error: it is returned, and the
/// caller judges it.
#[derive(Debug, thiserror::Error)]
pub enum PotentialError {
    /// An element the potential has no parameters for.
    #[error(
        "{potential} does not know the element {element} (atom {atom} of system {system}); it knows {known}"
    )]
    UnknownElement {
        /// Name of the potential.
        potential: String,
        /// System of the batch.
        system: usize,
        /// Atom within that system, from 0.
        atom: usize,
        /// The element.
        element: Element,
        /// The elements it knows, for the message.
        known: String,
    },
    /// A thing the potential cannot do, such as stress or periodic cells.
    #[error("{potential} does not support {what}")]
    Unsupported {
        /// Name of the potential.
        potential: String,
        /// What was asked for.
        what: &'static str,
    },
    /// A system the potential has no parameters for (wrong number of atoms, say).
    #[error("{potential} does not describe system {system} of the batch: {reason}")]
    UnknownSystem {
        /// Name of the potential.
        potential: String,
        /// System of the batch.
        system: usize,
        /// What does not fit.
        reason: String,
    },
    /// Positions that do not match the batch.
    #[error("the batch has {expected} atoms but {found} positions were given")]
    Length {
        /// Atoms of the batch.
        expected: usize,
        /// Positions given.
        found: usize,
    },
    /// The library that computes failed.
    #[error("{potential} failed: {message}")]
    Backend {
        /// Name of the potential.
        potential: String,
        /// What the library said.
        message: String,
    },
}

/// A potential energy surface: energy and forces as a pure function of positions.
///
/// Systems of a batch do not interact, and the result for one does not depend on the others (on the CPU, bitwise).
/// `&mut self` is for caches and scratch memory only; no result may depend on earlier calls. The forces should
/// be the exact negative gradient of the energy; whether they are is what `md-testkit` measures.
///
/// See the [crate documentation](crate) for an implementation in full.
pub trait Potential: Send {
    /// Name for messages and reports, such as `"Lennard-Jones"`.
    fn name(&self) -> &str;

    /// Whether this potential can describe `batch` and answer `request` at all: elements, cells, stress. Callers
    /// ask before a long run; [`Potential::evaluate`] asks again.
    ///
    /// # Errors
    /// [`PotentialError::UnknownElement`], [`PotentialError::Unsupported`], [`PotentialError::UnknownSystem`].
    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError>;

    /// Energies (eV) and, as requested, forces (eV/Å) and stresses (eV/Å³) at `configuration`, written to `out`.
    ///
    /// # Errors
    /// What [`Potential::check`] finds, or a failure of the library behind it.
    fn evaluate(
        &mut self,
        configuration: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError>;

    /// Makes up to `steps` steps of velocity Verlet as [`State::kick`], [`State::drift`] and [`State::evaluate`] make them, and
    /// returns how many: the last is the first at which a system exceeds its limits (one set per system, or none at all)
    /// or is not finite. For potentials on a device, which need not show every step to the host. `None`: this one
    /// cannot, or not now, and `state` is as it was.
    ///
    /// # Errors
    /// As [`Potential::evaluate`].
    fn velocity_verlet(
        &mut self,
        state: &mut State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<u64>, PotentialError> {
        let _ = (state, timestep_fs, steps, limits);
        Ok(None)
    }
}

impl<P: Potential + ?Sized> Potential for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        (**self).check(batch, request)
    }

    fn evaluate(
        &mut self,
        configuration: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        (**self).evaluate(configuration, request, out)
    }

    fn velocity_verlet(
        &mut self,
        state: &mut State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<u64>, PotentialError> {
        (**self).velocity_verlet(state, timestep_fs, steps, limits)
    }
}

/// The refusal most potentials start from: no periodic cells and no stress, positions that match the batch.
///
/// # Errors
/// [`PotentialError::Unsupported`] for a cell or a stress request.
pub fn require_open_boundaries(name: &str, batch: &Batch, request: Request) -> Result<(), PotentialError> {
    let unsupported = |what| Err(PotentialError::Unsupported { potential: name.to_owned(), what });
    if request.stress {
        return unsupported("stress: request energies and forces only");
    }
    if (0..batch.n_systems()).any(|s| batch.cell(s).is_some()) {
        return unsupported(
            "periodic cells: remove the lattice from the structure to run it with open boundaries",
        );
    }
    Ok(())
}

impl Configuration<'_> {
    /// Checks that there is one position per atom of the batch.
    ///
    /// # Errors
    /// [`PotentialError::Length`].
    pub fn check_length(&self) -> Result<(), PotentialError> {
        let (expected, found) = (self.batch.n_atoms(), self.positions.len());
        if expected == found { Ok(()) } else { Err(PotentialError::Length { expected, found }) }
    }
}

/// The sum of potentials: a network plus dispersion plus a restraint.
///
/// Energies, forces and stresses add; every term must support what is asked of the sum.
pub struct Sum {
    name: String,
    terms: Vec<Box<dyn Potential>>,
    scratch: Evaluation,
}

impl Sum {
    /// The sum of `terms`.
    pub fn new(terms: Vec<Box<dyn Potential>>) -> Self {
        let name = terms.iter().map(|t| t.name().to_owned()).collect::<Vec<_>>().join(" + ");
        Sum { name, terms, scratch: Evaluation::default() }
    }
}

impl Potential for Sum {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        self.terms.iter().try_for_each(|term| term.check(batch, request))
    }

    fn evaluate(
        &mut self,
        configuration: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        out.reset(configuration.batch, request);
        for term in &mut self.terms {
            term.evaluate(configuration, request, &mut self.scratch)?;
            for (total, e) in out.energies.iter_mut().zip(&self.scratch.energies) {
                *total += e;
            }
            for (total, f) in out.forces.iter_mut().zip(&self.scratch.forces) {
                *total += f;
            }
            if let (Some(total), Some(stresses)) = (&mut out.stresses, &self.scratch.stresses) {
                for (total, stress) in total.iter_mut().zip(stresses) {
                    *total += stress;
                }
            }
        }
        Ok(())
    }
}
