use md_core::{Fate, Frame, Integrator, Limits, Observer, ObserverError, Potential, State, StepError};

/// Options of [`run`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOptions {
    /// Number of steps.
    pub steps: u64,
    /// Limits of each system, in batch order; empty to require only finite numbers.
    pub limits: Vec<Limits>,
}

/// Why a run ended early. A system that diverges is not an error: it is reported as a [`Fate`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A step could not be made.
    #[error(transparent)]
    Step(#[from] StepError),
    /// An observer failed.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// The number of sets of limits is not the number of systems.
    #[error(
        "limits for {found} systems were given, the batch has {expected} (give one set for each, or none)"
    )]
    Limits {
        /// Number of systems in the batch.
        expected: usize,
        /// Number of sets of limits given.
        found: usize,
    },
    /// A bond limit names an atom that does not exist.
    #[error("a bond limit of system {system} names atom {atom}, but the system has {n_atoms} atoms (from 0)")]
    BondAtom {
        /// System of the batch.
        system: usize,
        /// Index of the atom.
        atom: usize,
        /// Number of atoms in the system.
        n_atoms: usize,
    },
    /// A limit is negative, zero or NaN.
    #[error("a limit of system {system} is {value} (expected a positive number, infinity for none)")]
    LimitValue {
        /// System of the batch.
        system: usize,
        /// The limit given, Å or K.
        value: f64,
    },
    /// An observer has a stride of 0.
    #[error("observer {observer} has a stride of 0 (expected 1 or more)")]
    Stride {
        /// Index in the list of observers.
        observer: usize,
    },
}

/// Progress of a run: all that is needed besides state, integrator and observers to continue it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Course {
    /// Number of steps made.
    pub done: u64,
    /// Indices, in the initial batch of the run, of the systems that are still running.
    pub ids: Vec<usize>,
    /// Outcome of each system of the initial batch so far.
    pub fates: Vec<Fate>,
}

impl Course {
    /// The progress of a run that has not begun.
    pub fn new(state: &State) -> Self {
        let n = state.batch().n_systems();
        Course { done: 0, ids: (0..n).collect(), fates: vec![Fate::Finished; n] }
    }
}

/// Advances a batch by `options.steps` steps and returns the outcome of each of its systems.
///
/// Before the first step and after every step each system is checked: finite positions, energy, forces and velocities,
/// then its [`Limits`]. Between frames the code that makes the steps checks ([`Integrator::steps`]). A system that
/// fails gets [`Fate::Diverged`] and is removed from `state` and `integrator` at once, so that the potential never sees
/// its numbers again; the others continue unchanged, bit for bit. The run ends early when none is left. Afterwards
/// `state` holds the systems that finished, in order.
///
/// Observers receive the initial state and every `stride`-th step after it, always after the check: no frame contains a
/// diverged system, and there are no frames without systems.
///
/// Nothing is stored from step to step. A step at which no observer is due and no system leaves allocates nothing
/// beyond the allocations of the integrator and the potential.
///
/// # Errors
/// [`RunError`]. Systems that had diverged by then are no longer in `state`.
pub fn run(
    state: &mut State,
    integrator: &mut dyn Integrator,
    potential: &mut dyn Potential,
    observers: &mut [&mut dyn Observer],
    options: &RunOptions,
) -> Result<Vec<Fate>, RunError> {
    let mut course = Course::new(state);
    advance(state, integrator, potential, observers, options, &mut course, u64::MAX)?;
    Ok(course.fates)
}

/// Runs part of [`run`]: continues from `course`, pauses after `steps` more steps, and returns whether the run is over.
///
/// The result does not depend, bit for bit, on how a run is divided into parts. A part pauses right after a step; the
/// check and the observers due at that step come first in the next part. A run continues exactly from copies of state,
/// integrator, observers and `course`.
///
/// # Errors
/// See [`run`].
pub fn advance(
    state: &mut State,
    integrator: &mut dyn Integrator,
    potential: &mut dyn Potential,
    observers: &mut [&mut dyn Observer],
    options: &RunOptions,
    course: &mut Course,
    steps: u64,
) -> Result<bool, RunError> {
    check_limits(state, &course.ids, course.fates.len(), &options.limits)?;
    let strides: Vec<u64> = observers.iter().map(|o| o.stride()).collect();
    if let Some(observer) = strides.iter().position(|&stride| stride == 0) {
        return Err(RunError::Stride { observer });
    }
    let Course { done, ids, fates } = course;
    let mut limits: Vec<Limits> = match options.limits.as_slice() {
        [] => Vec::new(),
        all => ids.iter().map(|&id| all[id].clone()).collect(),
    };
    let pause = done.saturating_add(steps).min(options.steps);
    loop {
        if *done == pause && pause < options.steps {
            return Ok(false);
        }
        remove_diverged(state, integrator, &mut limits, ids, fates);
        if ids.is_empty() {
            return Ok(true);
        }
        if strides.iter().any(|&stride| done.is_multiple_of(stride)) {
            let conserved_ev = integrator.conserved_ev(state);
            let frame = Frame { state, ids, conserved_ev: &conserved_ev };
            for (observer, &stride) in observers.iter_mut().zip(&strides) {
                if done.is_multiple_of(stride) {
                    observer.observe(frame)?;
                }
            }
        }
        if *done == options.steps {
            return Ok(true);
        }
        let until_seen = strides.iter().map(|stride| stride - *done % stride);
        let steps = until_seen.fold(pause - *done, u64::min);
        *done += integrator.steps(state, potential, steps, &limits)?;
    }
}

/// Removes the systems that fail their check from the batch and records their fates.
fn remove_diverged(
    state: &mut State,
    integrator: &mut dyn Integrator,
    limits: &mut Vec<Limits>,
    ids: &mut Vec<usize>,
    fates: &mut [Fate],
) {
    let unlimited = Limits::default();
    let mut diverged = false;
    for (k, &id) in ids.iter().enumerate() {
        if let Some(reason) = limits.get(k).unwrap_or(&unlimited).exceeded(state, k) {
            tracing::info!(system = id, step = state.step(), %reason, "diverged and left the batch");
            fates[id] = Fate::Diverged { step: state.step(), reason };
            diverged = true;
        }
    }
    if diverged {
        let keep: Vec<usize> = (0..ids.len()).filter(|&k| fates[ids[k]] == Fate::Finished).collect();
        state.retain_systems(&keep);
        integrator.retain_systems(&keep);
        if !limits.is_empty() {
            *limits = keep.iter().map(|&k| limits[k].clone()).collect();
        }
        ids.retain(|&id| fates[id] == Fate::Finished);
    }
}

/// `ids` are the remaining systems of `n_systems`.
fn check_limits(state: &State, ids: &[usize], n_systems: usize, limits: &[Limits]) -> Result<(), RunError> {
    if limits.is_empty() {
        return Ok(());
    }
    if limits.len() != n_systems {
        return Err(RunError::Limits { expected: n_systems, found: limits.len() });
    }
    for (&system, atoms) in ids.iter().zip(state.batch().ranges()) {
        let limits = &limits[system];
        for bond in &limits.bonds {
            let atom = bond.i.max(bond.j);
            if atom >= atoms.len() {
                return Err(RunError::BondAtom { system, atom, n_atoms: atoms.len() });
            }
        }
        let mut values = limits.bonds.iter().map(|b| b.limit_angstrom).chain([limits.max_temperature_k]);
        if let Some(value) = values.find(|value| value.is_nan() || *value <= 0.0) {
            return Err(RunError::LimitValue { system, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
