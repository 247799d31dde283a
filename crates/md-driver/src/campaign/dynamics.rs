//! The runs of one model.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use md_core::units::FS_PER_PS;
use md_core::{Fate, Integrator, Limits, Observer, Potential, State, System};
use md_dynamics::{
    RelaxOutcome, Relaxed, RunOptions, Target, ThermostatKind, VelocityOptions, VelocityVerlet,
};
use md_io::results::{Results, Run, RunFate, Series};
use md_io::trajectory::TrajectoryWriter;

use super::LoadedMolecule;
use super::stage::ModelStage;
use crate::config::{Config, Ensemble, RunConfig};
use crate::frames::{Visited, VisitedFrame, VisitedRun, by_run};
use crate::in_full;
use crate::plan::{Group, PlannedRun};
use crate::record::Recorder;

/// Friction of the thermostat that prepares an NVE run, 1/ps: it forgets the start within half a picosecond.
const PREPARATION_FRICTION_PER_PS: f64 = 5.0;

/// Relaxed molecules by their index in the campaign.
pub(super) type RelaxedMolecules = BTreeMap<usize, Relaxed>;

/// How long runs are allowed to be, and why not as long as planned.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// At most so long, ps.
    pub(super) duration_ps: f64,
    /// Why.
    pub(super) reason: String,
}

/// Where a run starts: the geometry, and the limits that end it.
pub(super) struct Start<'a> {
    pub(super) system: System,
    pub(super) structure: &'a System,
    pub(super) limits: Limits,
}

/// What came of a group of runs.
pub(super) struct Ran {
    runs: Vec<Run>,
    visited: Vec<VisitedRun>,
    series: Vec<Series>,
}

impl Ran {
    /// Adds it to what there is.
    pub(super) fn keep(self, results: &mut Results, visited: &mut Vec<VisitedRun>) {
        results.runs.extend(self.runs);
        results.series.extend(self.series);
        visited.extend(self.visited);
    }
}

/// What came of the runs of one batch, in their order.
struct RanBatch {
    runs: Vec<Run>,
    frames: Vec<Vec<VisitedFrame>>,
    series: Vec<Series>,
}

impl ModelStage<'_> {
    /// Runs one group in lock step, and keeps some of the frames it visits. `relaxed` holds every molecule that is to
    /// start relaxed.
    #[expect(clippy::disallowed_methods, reason = "the wall time per step is a result")]
    pub(super) fn dynamics(
        &mut self,
        group: &Group<'_>,
        relaxed: &RelaxedMolecules,
        cut: Option<&Cut>,
    ) -> Ran {
        let mut records: Vec<Run> = group.runs.iter().map(|r| self.blank_record(group.config, r)).collect();
        let mut frames = vec![Vec::new(); records.len()];
        let mut started: Vec<usize> = Vec::new();
        let mut starts = Vec::new();
        for (k, planned) in group.runs.iter().enumerate() {
            match start(self.config, self.molecules, group.config, planned, relaxed) {
                Ok(start) => {
                    started.push(k);
                    starts.push(start);
                }
                Err(reason) => {
                    records[k].fate = RunFate::Diverged;
                    records[k].fate_reason = Some(reason);
                }
            }
        }
        if starts.is_empty() {
            return Ran { runs: records, visited: Vec::new(), series: Vec::new() };
        }
        let planned: Vec<&PlannedRun> = started.iter().map(|&k| &group.runs[k]).collect();
        let begin = Instant::now();
        let mut series = Vec::new();
        let ran = self.run_batch(group.config, &planned, &starts, cut);
        let wall_ms = begin.elapsed().as_secs_f64() * 1000.0;
        match ran {
            Ok(done) => {
                let system_steps: u64 = done.runs.iter().map(|d| d.steps_done).sum();
                series = done.series;
                for ((&k, done), visited) in started.iter().zip(done.runs).zip(done.frames) {
                    records[k] = Run { ms_per_step: Some(wall_ms / system_steps.max(1) as f64), ..done };
                    frames[k] = visited;
                }
            }
            Err(error) => {
                tracing::error!(
                    model = self.model.record.name,
                    "the runs could not be made: {}",
                    in_full(&error)
                );
                for k in started {
                    records[k].fate = RunFate::Failed;
                    records[k].fate_reason = Some(in_full(&error));
                }
            }
        }
        let visited = by_run(&records, frames);
        Ran { runs: records, visited, series }
    }

    fn run_batch(
        &mut self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        starts: &[Start<'_>],
        cut: Option<&Cut>,
    ) -> Result<RanBatch> {
        let steps = cut.map_or(grid.steps, |cut| {
            let allowed = (cut.duration_ps * FS_PER_PS / grid.timestep_fs).ceil().max(1.0) as u64;
            grid.steps.min(allowed)
        });
        let mut records: Vec<Run> = planned.iter().map(|run| self.blank_record(grid, run)).collect();
        let mut frames = vec![Vec::new(); planned.len()];
        let (mut state, prepared) = prepare(grid, planned, starts, self.model.potential.as_mut())?;
        for (record, fate) in records.iter_mut().zip(&prepared) {
            if let Fate::Diverged { reason, .. } = fate {
                record.fate = RunFate::Diverged;
                record.fate_reason = Some(format!("during the equilibration: {reason}"));
            }
        }
        let alive: Vec<usize> = (0..planned.len()).filter(|&k| prepared[k] == Fate::Finished).collect();
        if alive.is_empty() {
            return Ok(RanBatch { runs: records, frames, series: Vec::new() });
        }
        let planned: Vec<&PlannedRun> = alive.iter().map(|&k| planned[k]).collect();
        let starts: Vec<&Start<'_>> = alive.iter().map(|&k| &starts[k]).collect();
        let structures: Vec<&System> = starts.iter().map(|s| s.structure).collect();
        let limits = starts.iter().map(|s| s.limits.clone()).collect();

        let mut trajectories = self.trajectories(grid.trajectory_stride, &planned)?;
        let mut integrator = integrator(grid, &planned, &state)?;
        let mut recorder =
            Recorder::new(&state, &structures, grid, &planned, self.config.limits.broken_bond_ratio)?;
        let mut visited = Visited::new(&structures, steps, self.config.frames_per_run);
        let title = format!("{} runs", planned.len());
        let mut ticker = self.watch.steps(&self.model.record.name, &title, steps, grid.record_stride);
        let mut observers: Vec<&mut dyn Observer> = vec![&mut recorder, &mut visited, &mut ticker];
        observers.extend(trajectories.as_mut().map(|t| t as &mut dyn Observer));

        let options = RunOptions { steps, limits };
        let potential = self.model.potential.as_mut();
        let fates = md_dynamics::run(&mut state, integrator.as_mut(), potential, &mut observers, &options)?;
        if let Some(trajectories) = trajectories {
            trajectories.finish()?;
        }
        let mut series = Vec::new();
        let found = alive.iter().zip(recorder.into_records()).zip(visited.into_frames()).zip(&fates);
        for (((&k, record), visited), fate) in found {
            let run = &mut records[k];
            record.fill(run, fate, steps)?;
            series.extend(record.series(run));
            if let (RunFate::Finished, Some(cut)) = (run.fate, cut.filter(|_| steps < grid.steps)) {
                run.fate = RunFate::StoppedEarly;
                run.fate_reason = Some(cut.reason.clone());
            }
            frames[k] = visited;
        }
        Ok(RanBatch { runs: records, frames, series })
    }

    fn trajectories(&self, stride: Option<u64>, planned: &[&PlannedRun]) -> Result<Option<TrajectoryWriter>> {
        let Some(stride) = stride else { return Ok(None) };
        let files: Vec<(usize, String)> =
            planned.iter().enumerate().map(|(k, run)| (k, run.id.replace('/', "_"))).collect();
        Ok(Some(TrajectoryWriter::create(&self.out.join("trajectories"), &files, stride)?))
    }

    /// The record of a run before its first step.
    fn blank_record(&self, grid: &RunConfig, planned: &PlannedRun) -> Run {
        Run {
            id: planned.id.clone(),
            model: self.model.record.name.clone(),
            molecule: self.molecules[planned.molecule].record.name.clone(),
            ensemble: grid.ensemble.name().to_owned(),
            temperature_k: planned.temperature_k,
            ramp_to_k: grid.ramp_to_k,
            relaxed: grid.relax,
            equilibrated_ps: (grid.equilibration_steps > 0)
                .then(|| grid.equilibration_steps as f64 * grid.timestep_fs / FS_PER_PS),
            timestep_fs: grid.timestep_fs,
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
            anomalies: Vec::new(),
            ms_per_step: None,
        }
    }
}

/// Where a run starts, or why it cannot: its molecule came apart in the relaxation.
pub(super) fn start<'a>(
    config: &Config,
    molecules: &'a [LoadedMolecule],
    grid: &RunConfig,
    planned: &PlannedRun,
    relaxed: &RelaxedMolecules,
) -> Result<Start<'a>, String> {
    let structure = &molecules[planned.molecule].system;
    let system = match relaxed.get(&planned.molecule).filter(|_| grid.relax) {
        Some(Relaxed { outcome: RelaxOutcome::Diverged(reason), .. }) => {
            return Err(format!("during relaxation: {reason}"));
        }
        Some(relaxed) => relaxed.system.clone(),
        None => structure.clone(),
    };
    let hottest_k = grid.ramp_to_k.unwrap_or(planned.temperature_k).max(planned.temperature_k);
    let limits =
        Limits::for_molecule(structure, config.limits.bond_ratio, config.limits.max_temperature_k(hottest_k));
    Ok(Start { system, structure, limits })
}

/// The systems with their initial velocities and, where the grid asks for it, after a while with a thermostat. Those
/// that diverge in that while are not in the state.
pub(super) fn prepare(
    grid: &RunConfig,
    planned: &[&PlannedRun],
    starts: &[Start<'_>],
    potential: &mut dyn Potential,
) -> Result<(State, Vec<Fate>)> {
    let systems: Vec<System> = starts.iter().map(|s| s.system.clone()).collect();
    let mut state = State::at_rest(&systems, potential)?;
    let temperatures: Vec<f64> = planned.iter().map(|r| r.temperature_k).collect();
    let seeds: Vec<u64> = planned.iter().map(|r| r.seed).collect();
    let options = VelocityOptions { exact_temperature: grid.exact_temperature };
    md_dynamics::thermalise(&mut state, &temperatures, &seeds, &options)?;
    if grid.equilibration_steps == 0 {
        return Ok((state, vec![Fate::Finished; planned.len()]));
    }
    let kind = ThermostatKind::Langevin { friction_per_ps: PREPARATION_FRICTION_PER_PS };
    let mut thermostat = thermostat(kind, None, grid, planned, &state)?;
    let limits = starts.iter().map(|s| s.limits.clone()).collect();
    let options = RunOptions { steps: grid.equilibration_steps, limits };
    let fates = md_dynamics::run(&mut state, thermostat.as_mut(), potential, &mut [], &options)?;
    state.reset_clock();
    Ok((state, fates))
}

/// The integrator of a grid.
pub(super) fn integrator(
    grid: &RunConfig,
    planned: &[&PlannedRun],
    state: &State,
) -> Result<Box<dyn Integrator>> {
    match grid.ensemble {
        Ensemble::Nve => Ok(Box::new(VelocityVerlet::new(grid.timestep_fs)?)),
        Ensemble::Thermostat(kind) => thermostat(kind, grid.ramp_to_k, grid, planned, state),
    }
}

fn thermostat(
    kind: ThermostatKind,
    ramp_to_k: Option<f64>,
    grid: &RunConfig,
    planned: &[&PlannedRun],
    state: &State,
) -> Result<Box<dyn Integrator>> {
    let duration_fs = grid.steps as f64 * grid.timestep_fs;
    let targets: Vec<Target> = planned
        .iter()
        .map(|run| match ramp_to_k {
            Some(to_k) => Target::Ramp { from_k: run.temperature_k, to_k, duration_fs },
            None => Target::Constant(run.temperature_k),
        })
        .collect();
    let seeds: Vec<u64> = planned.iter().map(|r| r.thermostat_seed).collect();
    kind.build(grid.timestep_fs, &targets, &seeds, state).context("the thermostat cannot be set up")
}
