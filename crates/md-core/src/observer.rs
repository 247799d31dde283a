use crate::{Element, State, Vec3, mechanics};
use std::ops::Range;

/// The systems still running, at the end of one step, as shown to an [`Observer`].
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// State of the systems that are still in the batch.
    pub state: &'a State,
    /// `ids[k]` is the index of system `k` of `state` in the initial batch of the run.
    pub ids: &'a [usize],
    /// Conserved quantity of the integrator, eV, per system of `state`.
    pub conserved_ev: &'a [f64],
}

impl<'a> Frame<'a> {
    /// Iterates over the systems.
    pub fn systems(self) -> impl ExactSizeIterator<Item = SystemFrame<'a>> {
        (0..self.ids.len()).map(move |index| SystemFrame { frame: self, index, id: self.ids[index] })
    }
}

/// One system of a [`Frame`].
#[derive(Debug, Clone, Copy)]
pub struct SystemFrame<'a> {
    frame: Frame<'a>,
    index: usize,
    /// Index of this system in the initial batch of the run.
    pub id: usize,
}

impl<'a> SystemFrame<'a> {
    /// Number of steps made.
    pub fn step(&self) -> u64 {
        self.frame.state.step()
    }

    /// Simulated time, fs.
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

    /// Conserved quantity of the integrator, eV (the total energy in NVE).
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

/// An error of an observer, usually a file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{observer} failed at step {step}: {source}")]
pub struct ObserverError {
    /// Name of the observer.
    pub observer: String,
    /// Step at which it failed.
    pub step: u64,
    /// Underlying error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Records a run without changing it: an energy record, a trajectory file, a progress bar.
///
/// Observers receive step 0 and then every `stride`-th step. Their memory must not grow without bound with the number
/// of steps.
pub trait Observer {
    /// Number of steps between frames; at least 1.
    fn stride(&self) -> u64 {
        1
    }

    /// Processes one frame.
    ///
    /// # Errors
    /// [`ObserverError`], which ends the run.
    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError>;
}
