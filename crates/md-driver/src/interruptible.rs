//! Potentials that can be interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use md_core::{Batch, Configuration, Evaluation, Limits, Potential, PotentialError, Request, State};

/// A potential whose calls fail from the moment on at which a flag is set, so that a long measurement ends with its
/// current call. Whoever sets the flag discards what the measurement returns.
pub struct Interruptible {
    potential: Box<dyn Potential>,
    stop: Arc<AtomicBool>,
}

impl Interruptible {
    /// Creates a potential with a flag that nobody sets.
    pub fn new(potential: impl Potential + 'static) -> Self {
        Interruptible { potential: Box::new(potential), stop: Arc::default() }
    }

    /// Replaces the flag.
    pub fn stop_at(&mut self, stop: &Arc<AtomicBool>) {
        self.stop = Arc::clone(stop);
    }

    /// Returns the potential as one whose calls fail once the flag is set.
    #[expect(clippy::should_implement_trait, reason = "`Box::as_mut` is what callers know")]
    pub fn as_mut(&mut self) -> &mut dyn Potential {
        self
    }

    /// Returns the potential itself, for callers that read the flag between two calls.
    pub(crate) fn uninterrupted(&mut self) -> &mut dyn Potential {
        self.potential.as_mut()
    }

    fn go_on(&self) -> Result<(), PotentialError> {
        if self.stop.load(Ordering::Relaxed) {
            let potential = self.potential.name().to_owned();
            return Err(PotentialError::Backend { potential, message: "interrupted".to_owned() });
        }
        Ok(())
    }
}

impl Potential for Interruptible {
    fn name(&self) -> &str {
        self.potential.name()
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        self.potential.check(batch, request)
    }

    fn evaluate(
        &mut self,
        configuration: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.go_on()?;
        self.potential.evaluate(configuration, request, out)
    }

    fn velocity_verlet(
        &mut self,
        state: &mut State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<u64>, PotentialError> {
        self.go_on()?;
        self.potential.velocity_verlet(state, timestep_fs, steps, limits)
    }
}
