//! Performs the runs of one model.

use std::collections::BTreeMap;

use anyhow::Result;
use md_core::units::FS_PER_PS;
use md_results::{Run, RunFate};

use super::ran::{Cut, Ran, RanGroup, TRAJECTORIES};
use super::runner::Runner;
use super::store::{Panicked, isolated};
use crate::config::RunConfig;
use crate::error::Halt;
use crate::in_full;
use crate::plan::{Group, PlannedRun};
use crate::start::{NotStarted, RelaxedMolecules, Start, start};

impl Runner<'_> {
    /// Performs the runs of one group that are not stored yet, in lock step, and stores some of the frames they visit.
    /// `relaxed` contains every molecule whose relaxation succeeded.
    ///
    /// # Errors
    /// [`Halt`].
    pub(super) fn dynamics(
        &mut self,
        group: &Group<'_>,
        relaxed: &RelaxedMolecules,
        cut: Option<&Cut>,
    ) -> Result<RanGroup, Halt> {
        let grid = group.config;
        let steps = cut.map_or(grid.steps, |cut| {
            let allowed = (cut.duration_ps * FS_PER_PS / grid.timestep_fs).ceil().max(1.0) as u64;
            grid.steps.min(allowed)
        });
        let mut ran: Vec<Option<Ran>> = group.runs.iter().map(|run| self.stored(run, steps)).collect();
        let mut open = Vec::new();
        let mut starts = Vec::new();
        for (k, planned) in group.runs.iter().enumerate() {
            if ran[k].is_some() {
                continue;
            }
            match start(self.config, self.molecules, grid, planned, relaxed) {
                Ok(start) => {
                    open.push(k);
                    starts.push(start);
                }
                Err(no_start) => ran[k] = Some(self.without(grid, planned, no_start)),
            }
        }
        let planned: Vec<&PlannedRun> = open.iter().map(|&k| &group.runs[k]).collect();
        let starts: Vec<&Start<'_>> = starts.iter().collect();
        if !open.is_empty() {
            let done = self.in_lock_step(grid, &planned, &starts, steps, cut)?;
            open.into_iter().zip(done).for_each(|(k, done)| ran[k] = Some(done));
        }
        Ok(RanGroup(ran.into_iter().flatten().collect()))
    }

    /// Returns a run that is stored, unless its trajectory is not as it was written.
    fn stored(&self, run: &PlannedRun, steps: u64) -> Option<Ran> {
        let ran: Ran = self.store.get(&part(run, steps))?;
        let (Some(written), Some(out)) = (&ran.trajectory, self.out) else { return Some(ran) };
        let folder = out.join(TRAJECTORIES);
        match written.fault(&folder) {
            None => Some(ran),
            Some(fault) => {
                let path = folder.join(&written.file);
                tracing::warn!("{}: {fault}: the run is made again", path.display());
                None
            }
        }
    }

    /// Performs runs together. If that fails, they are divided into halves, so that only the failing runs are lost and
    /// a device has less to do at once; a run that fails on a GPU is repeated on the CPU.
    fn in_lock_step(
        &mut self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        starts: &[&Start<'_>],
        steps: u64,
        cut: Option<&Cut>,
    ) -> Result<Vec<Ran>, Halt> {
        let ran = match isolated(|| self.batch(grid, planned, starts, steps, cut)) {
            Ok(ran) => ran,
            Err(error) => {
                let error = match error.downcast::<Halt>() {
                    Ok(halt) => return Err(halt),
                    Err(error) => error,
                };
                self.store.keep_going()?;
                let model = self.model.record.name.clone();
                let reason = in_full(error.as_ref());
                if error.is::<Panicked>() {
                    self.renew();
                }
                if !self.answers() && self.fall_back(&reason)? {
                    return self.in_lock_step(grid, planned, starts, steps, cut);
                }
                if planned.len() > 1 {
                    tracing::warn!(
                        model,
                        "{} runs could not be made together: {reason}: now in halves",
                        planned.len()
                    );
                    let (first, second) = planned.split_at(planned.len() / 2);
                    let (first_starts, second_starts) = starts.split_at(planned.len() / 2);
                    let mut ran = self.in_lock_step(grid, first, first_starts, steps, cut)?;
                    ran.extend(self.in_lock_step(grid, second, second_starts, steps, cut)?);
                    return Ok(ran);
                }
                if self.fall_back(&reason)? {
                    return self.in_lock_step(grid, planned, starts, steps, cut);
                }
                tracing::error!(model, "the run {} could not be made: {reason}", planned[0].id);
                vec![self.without(grid, planned[0], (RunFate::Failed, reason))]
            }
        };
        let names: Vec<String> = planned.iter().map(|run| part(run, steps)).collect();
        let parts: Vec<(&str, &Ran)> = names.iter().map(String::as_str).zip(&ran).collect();
        self.store.put(&parts)?;
        Ok(ran)
    }

    /// Returns the result of a run that did not start.
    fn without(&self, grid: &RunConfig, planned: &PlannedRun, (fate, reason): NotStarted) -> Ran {
        let run = Run { fate, fate_reason: Some(reason), ..self.blank_record(grid, planned) };
        Ran { run, trajectory: None, frames: Vec::new(), series: Vec::new() }
    }

    /// Creates the record of a run before its first step.
    pub(super) fn blank_record(&self, grid: &RunConfig, planned: &PlannedRun) -> Run {
        Run {
            id: planned.id.clone(),
            model: self.model.record.name.clone(),
            molecule: self.molecules[planned.molecule].record.name.clone(),
            ensemble: grid.ensemble.record(),
            temperature_k: planned.temperature_k,
            ramp_to_k: grid.ramp_to_k,
            relaxed: grid.relax,
            equilibrated_ps: (grid.equilibration_steps > 0)
                .then(|| grid.equilibration_steps as f64 * grid.timestep_fs / FS_PER_PS),
            timestep_fs: grid.timestep_fs,
            integrator: grid.integrator.name_unless_default(),
            replica: planned.replica,
            seed: planned.seed,
            steps_planned: grid.steps,
            steps_done: 0,
            fate: RunFate::Failed,
            fate_reason: None,
            energy: None,
            temperature: None,
            momentum: None,
            thermal: None,
            stability: None,
            measured: BTreeMap::new(),
            anomalies: Vec::new(),
            ms_per_step: None,
        }
    }
}

/// Returns the name of the stage result of a run.
fn part(run: &PlannedRun, steps: u64) -> String {
    format!("{}, {steps} steps", run.id)
}
