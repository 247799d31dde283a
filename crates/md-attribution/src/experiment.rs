use md_core::Limits;
use md_core::units::{FS_PER_PS, MEV_PER_EV};
use md_core::{Fate, Frame, Observer, ObserverError, Potential, State};
use md_dynamics::RunOptions;
use md_metrics::{EnergyAccumulator, Estimate, RunningStats};

use crate::{AttributionError, MakeIntegrator};

/// One run of an experiment.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Description of the change.
    pub name: String,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Least-squares drift, meV/atom/ps; `None` if the run was too short.
    pub drift: Option<Estimate>,
    /// Standard deviation of the total energy, meV/atom.
    pub rms_fluctuation_mev_per_atom: Option<f64>,
    /// Ratio of the standard deviations of the total and the kinetic energy.
    pub fluctuation_ratio: Option<f64>,
    /// Time and kind of divergence, if it diverged.
    pub diverged: Option<String>,
}

impl Experiment {
    /// Formats the drift as text.
    pub(crate) fn in_words(&self) -> String {
        match (&self.drift, &self.diverged) {
            (_, Some(_)) => "diverged".to_owned(),
            (Some(drift), None) => format!("drift {:.2} meV/atom/ps", drift.value),
            (None, None) => "too short for a drift".to_owned(),
        }
    }
}

/// The runs varied by the experiments: one of each system of the start.
pub(crate) struct Setting<'a> {
    pub(crate) start: &'a State,
    pub(crate) steps: u64,
    pub(crate) timestep_fs: f64,
    /// Limits of every system.
    pub(crate) limits: Limits,
    pub(crate) make_integrator: MakeIntegrator<'a>,
}

impl Setting<'_> {
    /// Runs with `potential` and the time step divided by `divisor`, for the same duration. Returns an experiment for each
    /// system.
    pub(crate) fn experiments(
        &self,
        name: &str,
        divisor: u64,
        potential: &mut dyn Potential,
    ) -> Result<Vec<Experiment>, AttributionError> {
        let timestep_fs = self.timestep_fs / divisor as f64;
        let batch = self.start.batch();
        let mut watchers = Watchers((0..batch.n_systems()).map(|_| Watcher::default()).collect());
        let fates = self.run(timestep_fs, self.steps * divisor, potential, &mut watchers)?;
        let found = watchers.0.iter().zip(&fates).zip(batch.ranges());
        Ok(found.map(|((w, fate), atoms)| w.experiment(name, timestep_fs, fate, atoms.len())).collect())
    }

    /// Runs with an observer; returns the fate of each system.
    pub(crate) fn run(
        &self,
        timestep_fs: f64,
        steps: u64,
        potential: &mut dyn Potential,
        watcher: &mut dyn Observer,
    ) -> Result<Vec<Fate>, AttributionError> {
        let mut state = self.start.clone();
        state.reset_clock();
        state.evaluate(potential).map_err(md_core::StepError::from)?;
        let mut integrator = (self.make_integrator)(timestep_fs)?;
        let limits = vec![self.limits.clone(); state.batch().n_systems()];
        let options = RunOptions { steps, limits };
        Ok(md_dynamics::run(&mut state, integrator.as_mut(), potential, &mut [watcher], &options)?)
    }
}

/// The energies of one system.
#[derive(Default)]
struct Watcher {
    energy: EnergyAccumulator,
    kinetic: RunningStats,
}

impl Watcher {
    fn experiment(&self, name: &str, timestep_fs: f64, fate: &Fate, n_atoms: usize) -> Experiment {
        let diverged = match fate {
            Fate::Finished => None,
            Fate::Diverged { step, reason } => {
                let ps = *step as f64 * timestep_fs / FS_PER_PS;
                Some(format!("after {ps:.3} ps {reason}"))
            }
        };
        let energy = self.energy.summary().ok();
        let kinetic = self.kinetic.summary().ok();
        Experiment {
            name: name.to_owned(),
            timestep_fs,
            drift: self.energy.drift_rate(n_atoms).ok().and_then(|d| d.estimate()),
            rms_fluctuation_mev_per_atom: energy.map(|e| e.std_ev * MEV_PER_EV / n_atoms as f64),
            fluctuation_ratio: energy
                .zip(kinetic)
                .map(|(e, k)| e.std_ev / k.std)
                .filter(|ratio| ratio.is_finite()),
            diverged,
        }
    }
}

/// The energies of all systems.
struct Watchers(Vec<Watcher>);

impl Observer for Watchers {
    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems() {
            let failed = |source: md_metrics::MetricError| ObserverError {
                observer: "the energy record".to_owned(),
                step: system.step(),
                source: source.into(),
            };
            let watcher = &mut self.0[system.id];
            watcher.energy.push(system.time_fs() / FS_PER_PS, system.conserved_ev()).map_err(failed)?;
            watcher.kinetic.push(system.kinetic_energy_ev()).map_err(failed)?;
        }
        Ok(())
    }
}
