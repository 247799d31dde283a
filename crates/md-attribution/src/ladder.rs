use md_core::Limits;
use md_core::units::FS_PER_PS;
use md_core::{Potential, State};
use md_metrics::Estimate;

use crate::experiment::Setting;
use crate::{AttributionError, MakeIntegrator};

/// How a [`timestep_ladder`] is climbed.
#[derive(Debug, Clone)]
pub struct LadderOptions {
    /// Time steps, ascending, fs.
    pub timesteps_fs: Vec<f64>,
    /// Duration of every rung, fs.
    pub duration_fs: f64,
    /// When a run counts as diverged.
    pub limits: Limits,
    /// A drift beyond this, by more than its uncertainty, is not safe.
    pub max_drift_mev_per_atom_per_ps: f64,
    /// Largest ratio of the standard deviations of total and kinetic energy.
    ///
    /// Velocity Verlet makes `(ω dt)² / 8` for a vibration ω. The rule of thumb asks for less than 1/5 (H. J.
    /// C. Berendsen, W. F. van Gunsteren, in
    /// *Molecular Dynamics Simulation of Statistical-Mechanical Systems* (1986)); 0.1 is on its safe side.
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

/// The same run with longer and longer time steps.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// Duration of every rung, ps.
    pub duration_ps: f64,
    /// The rungs that were tried, shortest step first; climbing ends at the second that is not safe.
    pub rungs: Vec<Rung>,
    /// The longest step up to which every rung is safe, fs.
    pub largest_safe_fs: Option<f64>,
}

/// One time step.
#[derive(Debug, Clone)]
pub struct Rung {
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Drift, meV/atom/ps.
    pub drift: Option<Estimate>,
    /// Standard deviation of the total over that of the kinetic energy.
    pub fluctuation_ratio: Option<f64>,
    /// How it diverged, if it did.
    pub diverged: Option<String>,
    /// Whether nothing speaks against it.
    pub safe: bool,
}

/// Finds the longest time step that conserves energy, from one start.
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
        // Not safe when the whole interval lies beyond the bound: a short run cannot prove a small drift.
        let drifts = run.drift.is_none_or(|drift| {
            let [low, high] = drift.interval(0.95);
            let bound = options.max_drift_mev_per_atom_per_ps;
            !(low <= bound && high >= -bound)
        });
        // One atom is at rest, and no energy fluctuates.
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
