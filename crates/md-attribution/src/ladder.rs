use md_core::Limits;
use md_core::units::FS_PER_PS;
use md_core::{Potential, State};
use md_metrics::Estimate;

use crate::experiment::Setting;
use crate::{AttributionError, MakeIntegrator};

/// Options of [`timestep_ladder`].
#[derive(Debug, Clone)]
pub struct LadderOptions {
    /// Time steps, ascending, fs.
    pub timesteps_fs: Vec<f64>,
    /// Duration of the run for each time step, fs.
    pub duration_fs: f64,
    /// Limits beyond which a run counts as diverged.
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
    /// The time steps tested, shortest first; the ladder ends at the second one that is not safe.
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

/// Finds the longest time step that conserves energy, with all runs from the same start.
///
/// # Errors
/// [`AttributionError`].
pub fn timestep_ladder(
    start: &State,
    make_integrator: MakeIntegrator<'_>,
    potential: &mut dyn Potential,
    options: &LadderOptions,
) -> Result<Ladder, AttributionError> {
    let mut rungs: Vec<Rung> = Vec::new();
    for &timestep_fs in &options.timesteps_fs {
        let steps = (options.duration_fs / timestep_fs).ceil() as u64;
        let limits = options.limits.clone();
        let setting = Setting { start, steps, timestep_fs, limits, make_integrator };
        let run = setting.experiment(String::new(), 1, potential)?;
        // A step is unsafe only if the whole interval is beyond the bound: a short run cannot prove a small drift.
        let drifts = run.drift.is_none_or(|drift| {
            let [low, high] = drift.interval(0.95);
            let bound = options.max_drift_mev_per_atom_per_ps;
            !(low <= bound && high >= -bound)
        });
        // A single atom is at rest, and no energy fluctuates.
        let at_rest = start.degrees_of_freedom().iter().all(|&n| n == 0);
        let calm = run.fluctuation_ratio.map_or(at_rest, |ratio| ratio <= options.max_fluctuation_ratio);
        rungs.push(Rung {
            timestep_fs,
            safe: run.diverged.is_none() && calm && !drifts,
            drift: run.drift,
            fluctuation_ratio: run.fluctuation_ratio,
            diverged: run.diverged,
        });
        if rungs.iter().filter(|r| !r.safe).count() == 2 {
            break;
        }
    }
    let safe = rungs.iter().take_while(|r| r.safe).map(|r| r.timestep_fs);
    Ok(Ladder { duration_ps: options.duration_fs / FS_PER_PS, largest_safe_fs: safe.last(), rungs })
}
