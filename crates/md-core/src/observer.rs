use crate::{Element, State, Vec3, mechanics};
use std::ops::Range;

/// What an [`Observer`] sees: the systems still running, at the end of one step.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// State of the systems that are still in the batch.
    pub state: &'a State,
    /// `ids[k]` is the number that system `k` of `state` had in the batch the run began with.
    pub ids: &'a [usize],
    /// What the integrator conserves, eV, per system of `state`.
    pub conserved_ev: &'a [f64],
}

impl<'a> Frame<'a> {
    /// The systems, one by one.
    pub fn systems(self) -> impl ExactSizeIterator<Item = SystemFrame<'a>> {
        (0..self.ids.len()).map(move |index| SystemFrame { frame: self, index, id: self.ids[index] })
    }
}

/// One system of a [`Frame`].
#[derive(Debug, Clone, Copy)]
pub struct SystemFrame<'a> {
    frame: Frame<'a>,
    index: usize,
    /// Number of this system in the batch that the run began with.
    pub id: usize,
}

impl<'a> SystemFrame<'a> {
    /// Steps done.
    pub fn step(&self) -> u64 {
        self.frame.state.step()
    }

    /// Time passed, fs.
    pub fn time_fs(&self) -> f64 {
        self.frame.state.time_fs()
    }

    /// Element of each atom.
    pub fn elements(&self) -> &'a [Element] {
        &self.frame.state.batch().elements()[self.atoms()]
    }

    /// Mass of each atom, amu.
    pub fn masses_amu(&self) -> &'a [f64] {
        &self.frame.state.batch().masses_amu()[self.atoms()]
    }

    /// Position of each atom, Å.
    pub fn positions(&self) -> &'a [Vec3] {
        &self.frame.state.positions()[self.atoms()]
    }

    /// Velocity of each atom, Å/fs.
    pub fn velocities(&self) -> &'a [Vec3] {
        &self.frame.state.velocities()[self.atoms()]
    }

    /// Force on each atom, eV/Å.
    pub fn forces(&self) -> &'a [Vec3] {
        &self.frame.state.evaluation().forces[self.atoms()]
    }

    /// Potential energy, eV.
    pub fn potential_energy_ev(&self) -> f64 {
        self.frame.state.potential_energy_ev(self.index)
    }

    /// Kinetic energy, eV.
    pub fn kinetic_energy_ev(&self) -> f64 {
        self.frame.state.kinetic_energy_ev(self.index)
    }

    /// Kinetic temperature, K.
    pub fn temperature_k(&self) -> f64 {
        self.frame.state.temperature_k(self.index)
    }

    /// What the integrator conserves, eV (the total energy in NVE).
    pub fn conserved_ev(&self) -> f64 {
        self.frame.conserved_ev[self.index]
    }

    /// Angular momentum about the centre of mass, amu Å²/fs.
    pub fn angular_momentum(&self) -> Vec3 {
        mechanics::angular_momentum(self.masses_amu(), self.positions(), self.velocities())
    }

    fn atoms(&self) -> Range<usize> {
        self.frame.state.batch().range(self.index)
    }
}

/// Why an observer gave up: usually a file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{observer} failed at step {step}: {source}")]
pub struct ObserverError {
    /// Which observer.
    pub observer: String,
    /// Step at which it failed.
    pub step: u64,
    /// What happened.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Something that watches a run without changing it: an energy record, a trajectory file, a progress bar.
///
/// Observers are shown step 0 and then every `stride`-th step. They stream: memory must not grow without bound
/// with the number of steps.
pub trait Observer {
    /// Every how many steps this observer wants a frame; at least 1.
    fn stride(&self) -> u64 {
        1
    }

    /// Looks at one frame.
    ///
    /// # Errors
    /// [`ObserverError`], which ends the run.
    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError>;
}
