use crate::{Limits, Potential, PotentialError, State};

/// Why a step could not be made. A system that diverges is not an error: see [`Fate`](crate::Fate).
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The potential returned an error.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// The time step is not positive and finite.
    #[error("the time step is {0} fs (expected a positive number)")]
    TimeStep(f64),
    /// An array does not fit the batch.
    #[error("expected {expected} {what}, found {found}")]
    Length {
        /// Contents of the array.
        what: &'static str,
        /// Required length.
        expected: usize,
        /// Actual length.
        found: usize,
    },
}

/// A scheme that advances a batch of systems by one time step.
///
/// Forces are stored in the [`State`] and belong to its positions before and after every step, so that a run continues
/// exactly from a stored state. See the [crate documentation](crate) for velocity Verlet in five lines.
pub trait Integrator: Send {
    /// Name for messages and reports, such as `"velocity Verlet"`.
    fn name(&self) -> &str;

    /// Time step, fs.
    fn timestep_fs(&self) -> f64;

    /// Advances every system by one time step.
    ///
    /// # Errors
    /// [`StepError`].
    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError>;

    /// Makes up to `steps` steps (at least 1) without frames in between and returns the number made. It stops after the
    /// first step at which a system exceeds its limits (one set per system, or none at all). Schemes that make one step
    /// at a time need not override this.
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

    /// Returns the quantity conserved by the exact flow of this scheme, one per system, in eV: the total energy in NVE,
    /// an extended energy under a thermostat.
    fn conserved_ev(&self, state: &State) -> Vec<f64>;

    /// Keeps only the data of the systems `keep`, in that order, when the others leave the batch. Schemes without data per
    /// system (a random stream, a thermostat) do nothing.
    fn retain_systems(&mut self, keep: &[usize]);
}
