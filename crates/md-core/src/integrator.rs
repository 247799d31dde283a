use crate::{Limits, Potential, PotentialError, State};

/// Why a step could not be made. A system that flies apart is no error: see [`Fate`](crate::Fate).
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The potential could not answer.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// A time step that is not positive and finite.
    #[error("the time step is {0} fs (expected a positive number)")]
    TimeStep(f64),
    /// An array that does not fit the batch.
    #[error("expected {expected} {what}, found {found}")]
    Length {
        /// What the array holds.
        what: &'static str,
        /// Length it must have.
        expected: usize,
        /// Length it has.
        found: usize,
    },
}

/// A scheme that moves a batch of systems forward by one time step.
///
/// Forces live in the [`State`] and belong to its positions before and after every step, so that a restart from
/// a stored state continues exactly. See the [crate documentation](crate) for velocity Verlet in five lines.
pub trait Integrator: Send {
    /// Name for messages and reports, such as `"velocity Verlet"`.
    fn name(&self) -> &str;

    /// Time step, fs.
    fn timestep_fs(&self) -> f64;

    /// Moves every system by one time step.
    ///
    /// # Errors
    /// [`StepError`].
    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError>;

    /// Makes up to `steps` steps (at least 1 is asked for) that nobody wants to see in between, and returns how many: the last is
    /// the first at which a system exceeds its limits, of which there is one set per system or none at all. A scheme that
    /// makes one step at a time has nothing to add.
    ///
    /// # Errors
    /// [`StepError`].
    fn steps(
        &mut self,
        state: &mut State,
        potential: &mut dyn Potential,
        steps: u64,
        limits: &[Limits],
    ) -> Result<u64, StepError> {
        let _ = (steps, limits);
        self.step(state, potential)?;
        Ok(1)
    }

    /// The quantity the exact flow of this scheme conserves, eV, one per system: the total energy in NVE, an
    /// extended energy under a thermostat.
    fn conserved_ev(&self, state: &State) -> Vec<f64>;

    /// Told that only the systems `keep` of the batch continue, in that order. Schemes that hold anything per system
    /// (a random stream, a thermostat) must follow; others have nothing to do.
    fn retain_systems(&mut self, keep: &[usize]);
}
