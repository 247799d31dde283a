use crate::{Batch, Configuration, Element, Limits, Mat3, State, Vec3};

/// The quantities to compute besides the energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// Forces on the atoms.
    pub forces: bool,
    /// Stress of each (periodic) system.
    pub stress: bool,
}

impl Request {
    /// Energies only.
    pub const ENERGY: Request = Request { forces: false, stress: false };
    /// Energies and forces, as dynamics needs them.
    pub const FORCES: Request = Request { forces: true, stress: false };
    /// Energies, forces and stresses.
    pub const STRESS: Request = Request { forces: true, stress: true };
}

/// Energies, and the requested forces and stresses, of one configuration.
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
    /// Sets every requested field to zeros of the right length for `batch` and empties the others. Potentials call this
    /// first; the allocations are reused from call to call.
    pub fn reset(&mut self, batch: &Batch, request: Request) {
        self.energies.clear();
        self.energies.resize(batch.n_systems(), 0.0);
        self.forces.clear();
        if request.forces {
            self.forces.resize(batch.n_atoms(), Vec3::zeros());
        }
        self.stresses = request.stress.then(|| vec![Mat3::zeros(); batch.n_systems()]);
    }

    /// Returns the evaluation of only the systems `keep` of `batch`.
    #[must_use]
    pub fn select(&self, batch: &Batch, keep: &[usize]) -> Self {
        Evaluation {
            energies: keep.iter().map(|&s| self.energies[s]).collect(),
            forces: if self.forces.is_empty() { Vec::new() } else { batch.select_atoms(keep, &self.forces) },
            stresses: self.stresses.as_ref().map(|all| keep.iter().map(|&s| all[s]).collect()),
        }
    }
}

/// The error of a potential that cannot evaluate a configuration. A bad *result* (NaN, a huge force) is not an error:
/// it is returned for the caller to judge.
#[derive(Debug, thiserror::Error)]
pub enum PotentialError {
    /// The potential has no parameters for an element.
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
        /// The supported elements, for the message.
        known: String,
    },
    /// The potential does not support a request, such as stress or periodic cells.
    #[error("{potential} does not support {what}")]
    Unsupported {
        /// Name of the potential.
        potential: String,
        /// The unsupported feature.
        what: &'static str,
    },
    /// The potential has no parameters for a system (wrong number of atoms, for example).
    #[error("{potential} does not describe system {system} of the batch: {reason}")]
    UnknownSystem {
        /// Name of the potential.
        potential: String,
        /// System of the batch.
        system: usize,
        /// Why the system does not match the potential.
        reason: String,
    },
    /// The number of positions does not match the batch.
    #[error("the batch has {expected} atoms but {found} positions were given")]
    Length {
        /// Number of atoms in the batch.
        expected: usize,
        /// Number of positions given.
        found: usize,
    },
    /// The underlying library failed.
    #[error("{potential} failed: {message}")]
    Backend {
        /// Name of the potential.
        potential: String,
        /// Error message of the library.
        message: String,
    },
}

/// A potential energy surface: energy and forces as a pure function of positions.
///
/// The systems of a batch do not interact, and the result for one does not depend on the others (bitwise on the CPU).
/// `&mut self` is for caches and scratch memory only; no result may depend on earlier calls. The forces should be the
/// exact negative gradient of the energy; `md-testkit` measures whether they are.
///
/// See the [crate documentation](crate) for a complete implementation.
pub trait Potential: Send {
    /// Name for messages and reports, such as `"Lennard-Jones"`.
    fn name(&self) -> &str;

    /// Checks whether this potential can describe `batch` and answer `request`: elements, cells, stress. Callers check
    /// before a long run; [`Potential::evaluate`] checks again.
    ///
    /// # Errors
    /// [`PotentialError::UnknownElement`], [`PotentialError::Unsupported`], [`PotentialError::UnknownSystem`].
    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError>;

    /// Computes energies (eV) and, if requested, forces (eV/Å) and stresses (eV/Å³) at `configuration` into `out`.
    ///
    /// # Errors
    /// Any error of [`Potential::check`], or a failure of the underlying library.
    fn evaluate(
        &mut self,
        configuration: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError>;

    /// Makes up to `steps` steps of velocity Verlet, equal to those of [`State::kick`], [`State::drift`] and
    /// [`State::evaluate`], and returns the number made. It stops after the first step at which a system exceeds its
    /// limits (one set per system, or none at all) or is not finite. Potentials on a device implement it to avoid
    /// showing every step to the host. Returns `None`, with `state` unchanged, if the potential does not support this
    /// now or at all.
    ///
    /// # Errors
    /// See [`Potential::evaluate`].
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

/// Rejects periodic cells and stress requests, which most potentials do not support.
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
    /// Checks that there is one position for each atom of the batch.
    ///
    /// # Errors
    /// [`PotentialError::Length`].
    pub fn check_length(&self) -> Result<(), PotentialError> {
        let (expected, found) = (self.batch.n_atoms(), self.positions.len());
        if expected == found { Ok(()) } else { Err(PotentialError::Length { expected, found }) }
    }
}

/// A sum of potentials, such as a network plus dispersion plus a restraint.
///
/// Energies, forces and stresses add; every term must support each quantity requested of the sum.
pub struct Sum {
    name: String,
    terms: Vec<Box<dyn Potential>>,
    scratch: Evaluation,
}

impl Sum {
    /// Creates the sum of `terms`.
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
