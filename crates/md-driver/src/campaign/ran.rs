//! Results of runs, and limits on their duration.

use md_results::{OutputFile, Results, Run, Series};
use serde::{Deserialize, Serialize};

use crate::frames::{VisitedFrame, VisitedRun};

/// Limit on the duration of runs, with its reason.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// Maximum duration, ps.
    pub(super) duration_ps: f64,
    /// Reason for the limit.
    pub(super) reason: String,
}

/// Name of the folder of trajectories in the output folder.
pub(super) const TRAJECTORIES: &str = "trajectories";

/// Result of one run.
#[derive(Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) run: Run,
    /// Its trajectory, if one was written.
    pub(super) trajectory: Option<OutputFile>,
    pub(super) frames: Vec<VisitedFrame>,
    pub(super) series: Vec<Series>,
}

/// Results of a group of runs, in the order of its plan.
pub(super) struct RanGroup(pub(super) Vec<Ran>);

impl RanGroup {
    /// Adds the runs to the results.
    pub(super) fn enter(self, results: &mut Results, visited: &mut Vec<VisitedRun>) {
        for Ran { run, trajectory, frames, series } in self.0 {
            visited.push(VisitedRun {
                run: run.id.clone(),
                molecule: run.molecule.clone(),
                temperature_k: run.temperature_k,
                frames,
            });
            // Names in the output folder have this separator everywhere.
            results
                .files
                .extend(trajectory.map(|t| OutputFile { file: format!("{TRAJECTORIES}/{}", t.file), ..t }));
            results.runs.push(run);
            results.series.extend(series);
        }
    }
}
