use md_core::Limits;
use md_core::units::FS_PER_PS;
use md_core::{Potential, State};
use md_metrics::{Estimate, mean_of_replicas};

use crate::experiment::{Experiment, Setting};
use crate::{AttributionError, MakeIntegrator};

/// Options of [`timestep_ladder`].
#[derive(Debug, Clone)]
pub struct LadderOptions {
    /// Time steps, ascending, fs.
    pub timesteps_fs: Vec<f64>,
    /// Duration of the run for each time step, fs.
    pub duration_fs: f64,
    /// Limits beyond which the run of any system counts as diverged.
    pub limits: Limits,
    /// Largest safe drift; it counts as exceeded only if it is exceeded by more than the uncertainty.
    pub max_drift_mev_per_atom_per_ps: f64,
    /// Largest safe ratio of the standard deviations of total and kinetic energy.
    ///
    /// Velocity Verlet gives `(ω dt)² / 8` for a vibration ω. The rule of thumb is less than 1/5 (H. J. C. Berendsen,
    /// W. F. van Gunsteren, in *Molecular Dynamics Simulation of Statistical-Mechanical Systems* (1986)); 0.1 is on its
    /// safe side.
    pub max_fluctuation_ratio: f64,
}

impl Default for LadderOptions {
    fn default() -> Self {
        LadderOptions {
            timesteps_fs: vec![0.25, 0.5, 1.0, 1.5, 2.0, 3.0],
            duration_fs: 400.0,
            limits: Limits::default(),
            max_drift_mev_per_atom_per_ps: 1.0,
            max_fluctuation_ratio: 0.1,
        }
    }
}

/// Repetitions of a run with increasing time steps.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// Duration of the run for each time step, ps.
    pub duration_ps: f64,
    /// The time steps tested, shortest first; the climb ends at the second one that is not safe.
    pub rungs: Vec<Rung>,
    /// The longest time step up to which all are safe, fs.
    pub largest_safe_fs: Option<f64>,
}

/// The result for one time step.
#[derive(Debug, Clone)]
pub struct Rung {
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Drift, meV/atom/ps.
    pub drift: Option<Estimate>,
    /// Ratio of the standard deviations of the total and the kinetic energy.
    pub fluctuation_ratio: Option<f64>,
    /// Kind of divergence, if it diverged.
    pub diverged: Option<String>,
    /// Whether it passed all criteria.
    pub safe: bool,
}

/// Finds the longest time step that conserves energy. The systems of `start` are replicas of one molecule, whose number makes
/// the result independent of their velocities: the drift of a time step is the mean over them, its fluctuation the root mean
/// square.
///
/// The climb begins at the second time step; the shortest is tested only if that one is not safe.
///
/// # Errors
/// [`AttributionError`].
pub fn timestep_ladder(
    start: &State,
    make_integrator: MakeIntegrator<'_>,
    potential: &mut dyn Potential,
    options: &LadderOptions,
) -> Result<Ladder, AttributionError> {
    let mut rung = |timestep_fs: f64| -> Result<Rung, AttributionError> {
        let steps = (options.duration_fs / timestep_fs).ceil() as u64;
        let limits = options.limits.clone();
        let setting = Setting { start, steps, timestep_fs, limits, make_integrator };
        Ok(options.judge(timestep_fs, &setting.experiments("", 1, potential)?, start))
    };
    let mut rungs: Vec<Rung> = Vec::new();
    let (shortest, longer) = match options.timesteps_fs.as_slice() {
        [shortest, longer @ ..] if !longer.is_empty() => (Some(*shortest), longer),
        few => (None, few),
    };
    for &timestep_fs in longer {
        rungs.push(rung(timestep_fs)?);
        if rungs.iter().filter(|r| !r.safe).count() == 2 {
            break;
        }
    }
    if let (Some(shortest), Some(Rung { safe: false, .. })) = (shortest, rungs.first()) {
        rungs.insert(0, rung(shortest)?);
    }
    let safe = rungs.iter().take_while(|r| r.safe).map(|r| r.timestep_fs);
    Ok(Ladder { duration_ps: options.duration_fs / FS_PER_PS, largest_safe_fs: safe.last(), rungs })
}

impl LadderOptions {
    fn judge(&self, timestep_fs: f64, runs: &[Experiment], start: &State) -> Rung {
        let drifts: Vec<Estimate> = runs.iter().filter_map(|run| run.drift).collect();
        let drift = match drifts.as_slice() {
            [one] => Some(*one),
            several => {
                let values: Vec<f64> = several.iter().map(|drift| drift.value).collect();
                mean_of_replicas(&values).ok()
            }
        };
        // A step is unsafe only if the whole interval is beyond the bound: a short run cannot prove a small drift.
        let drifts = drift.is_none_or(|drift| {
            let [low, high] = drift.interval(0.95);
            let bound = self.max_drift_mev_per_atom_per_ps;
            !(low <= bound && high >= -bound)
        });
        let squares: Option<Vec<f64>> = runs.iter().map(|run| Some(run.fluctuation_ratio?.powi(2))).collect();
        let fluctuation_ratio = squares
            .filter(|squares| !squares.is_empty())
            .map(|squares| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt());
        // A single atom is at rest, and no energy fluctuates.
        let at_rest = start.degrees_of_freedom().iter().all(|&n| n == 0);
        let calm = fluctuation_ratio.map_or(at_rest, |ratio| ratio <= self.max_fluctuation_ratio);
        let diverged = runs.iter().find_map(|run| run.diverged.clone());
        Rung { timestep_fs, safe: diverged.is_none() && calm && !drifts, drift, fluctuation_ratio, diverged }
    }
}
