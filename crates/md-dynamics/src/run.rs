use md_core::{Fate, Frame, Integrator, Limits, Observer, ObserverError, Potential, State, StepError};

/// What [`run`] does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOptions {
    /// Number of steps.
    pub steps: u64,
    /// Limits of each system, in batch order; empty for no limits beyond finite numbers.
    pub limits: Vec<Limits>,
}

/// Why a run ended early. A system that diverges is no error: it gets its [`Fate`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A step could not be made.
    #[error(transparent)]
    Step(#[from] StepError),
    /// An observer failed.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// Not one set of limits per system.
    #[error(
        "limits for {found} systems were given, the batch has {expected} (give one set for each, or none)"
    )]
    Limits {
        /// Systems of the batch.
        expected: usize,
        /// Sets of limits given.
        found: usize,
    },
    /// A bond limit for an atom that does not exist.
    #[error("a bond limit of system {system} names atom {atom}, but the system has {n_atoms} atoms (from 0)")]
    BondAtom {
        /// System of the batch.
        system: usize,
        /// The atom named.
        atom: usize,
        /// Atoms of the system.
        n_atoms: usize,
    },
    /// A limit that is negative, zero or NaN.
    #[error("a limit of system {system} is {value} (expected a positive number, infinity for none)")]
    LimitValue {
        /// System of the batch.
        system: usize,
        /// The limit given, Å or K.
        value: f64,
    },
    /// An observer that asks for a frame every 0 steps.
    #[error("observer {observer} has a stride of 0 (expected 1 or more)")]
    Stride {
        /// Its place in the list of observers.
        observer: usize,
    },
}

/// Where a run stands: what there is to know beside state, integrator and observers to continue with it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Course {
    /// Steps done.
    pub done: u64,
    /// Numbers, in the batch the run began with, of the systems that are still in it.
    pub ids: Vec<usize>,
    /// What became of each system of that batch so far.
    pub fates: Vec<Fate>,
}

impl Course {
    /// Of a run that has not begun.
    pub fn new(state: &State) -> Self {
        let n = state.batch().n_systems();
        Course { done: 0, ids: (0..n).collect(), fates: vec![Fate::Finished; n] }
    }
}

/// Moves a batch `options.steps` steps and returns what became of each system of it.
///
/// Before the first step and after every step each system is checked: finite positions, energy, forces and
/// velocities, then its [`Limits`]; between frames by whoever makes the steps ([`Integrator::steps`]). One that
/// fails gets [`Fate::Diverged`] and leaves `state` and `integrator` at once, so that its numbers never reach the
/// potential again; the others continue unchanged, bit for bit. The run ends early when none is left. Afterwards
/// `state` holds the systems that finished, in order.
///
/// Observers see the state the run begins with and every `stride`-th step after it, always after the check: no
/// frame holds a system that has diverged, and there is no frame without systems.
///
/// Nothing is stored from step to step, and a step at which no observer is due and no system leaves allocates
/// nothing beyond what the integrator and the potential do.
///
/// # Errors
/// [`RunError`]. Systems that had left `state` by then are gone from it.
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

/// [`run`] in parts: continues from `course`, and pauses after `steps` more steps. Returns whether the run is over.
///
/// A run is the same, bit for bit, in however many parts it is made: it pauses right after a step, and what is due
/// then, the check and the observers, comes first in the next part. State, integrator, observers and `course` are
/// all that the next part needs: restored from copies, they continue as if nothing had happened.
///
/// # Errors
/// As [`run`].
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

/// Takes the systems that fail their check out of the batch and writes down their fates.
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

/// `ids` are the systems that are left of `n_systems`.
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
