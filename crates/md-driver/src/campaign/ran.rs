//! What came of runs, and how long they may be.

use md_results::{Results, Run, Series};
use serde::{Deserialize, Serialize};

use crate::frames::{VisitedFrame, VisitedRun};

/// How long runs are allowed to be, and why not as long as planned.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// At most so long, ps.
    pub(super) duration_ps: f64,
    /// Why.
    pub(super) reason: String,
}

/// Folder of trajectories in the output folder.
pub(super) const TRAJECTORIES: &str = "trajectories";

/// What came of one run.
#[derive(Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) run: Run,
    pub(super) frames: Vec<VisitedFrame>,
    pub(super) series: Vec<Series>,
}

/// What came of a group of runs, in the order of its plan.
pub(super) struct RanGroup(pub(super) Vec<Ran>);

impl RanGroup {
    /// Adds it to what there is.
    pub(super) fn enter(self, results: &mut Results, visited: &mut Vec<VisitedRun>) {
        for Ran { run, frames, series } in self.0 {
            visited.push(VisitedRun {
                run: run.id.clone(),
                molecule: run.molecule.clone(),
                temperature_k: run.temperature_k,
                frames,
            });
            results.runs.push(run);
            results.series.extend(series);
        }
    }
}
