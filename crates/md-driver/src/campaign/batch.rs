//! Runs a batch in lock step, with periodic checkpoints from which it resumes exactly.

use std::time::{Duration, Instant};

use anyhow::Result;
use md_core::{Fate, Limits, Observer, Potential, System};
use md_dynamics::{Course, RunError, RunOptions, advance};
use md_io::files::Written;
use md_io::trajectory::{TrajectoryError, TrajectoryWriter};
use md_results::{OutputFile, RunFate};
use serde::{Deserialize, Serialize};

use super::ran::{Cut, Ran, TRAJECTORIES};
use super::runner::Runner;
use super::watch::StageTicker;
use crate::config::{self, RunConfig};
use crate::error::Halt;
use crate::frames::Visited;
use crate::plan::PlannedRun;
use crate::record::Recorder;
use crate::start::{Motion, Moving, Start, end_equilibration, integrator, start_systems};

/// Approximate duration of the steps between two checks for a stop request, which bounds the delay of an interrupt.
const PATIENCE: Duration = Duration::from_millis(100);

/// Runs in progress with their complete state.
#[derive(Serialize, Deserialize)]
struct InProgress {
    /// Accumulated wall time, s.
    wall_s: f64,
    phase: Phase,
}

#[derive(Serialize, Deserialize)]
enum Phase {
    /// Equilibration with a thermostat.
    Preparing(Box<Moving>),
    Running(Box<Running>),
}

#[derive(Serialize, Deserialize)]
struct Running {
    moving: Moving,
    /// Outcome of the equilibration of each run.
    prepared: Vec<Fate>,
    /// Indices of the runs that started.
    alive: Vec<usize>,
    recorder: Recorder,
    visited: Visited,
    /// What each trajectory holds.
    trajectories: Vec<OutputFile>,
}

/// Number of steps between two checks for a stop request, and time of the last checkpoint.
struct Pace {
    steps: u64,
    kept: Instant,
}

impl<'a> Runner<'a> {
    /// Performs the runs `planned` of `grid` in lock step, with the given number of steps.
    ///
    /// # Errors
    /// [`Halt`], or the runs failed.
    #[expect(clippy::disallowed_methods, reason = "runs are kept at intervals of time")]
    pub(super) fn batch(
        &mut self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        starts: &[&Start<'_>],
        steps: u64,
        cut: Option<&Cut>,
    ) -> Result<Vec<Ran>> {
        let ids: Vec<&str> = planned.iter().map(|run| run.id.as_str()).collect();
        let name = format!("{steps} steps of {}", ids.join(", "));
        let (mut progress, mut writer) = match self.restore(grid, planned, &name) {
            Some(kept) => kept,
            None => {
                let prepared = start_systems(grid, planned, starts, self.model.potential.as_mut())?;
                let (phase, writer) = if grid.equilibration_steps > 0 {
                    (Phase::Preparing(Box::new(prepared)), None)
                } else {
                    let (running, writer) = self.start_runs(grid, planned, starts, prepared, steps)?;
                    (Phase::Running(Box::new(running)), writer)
                };
                (InProgress { wall_s: 0.0, phase }, writer)
            }
        };
        let preparation =
            RunOptions { steps: grid.equilibration_steps, limits: limits(starts, 0..starts.len()) };
        let mut pace = Pace { steps: 1, kept: Instant::now() };
        let mut ticker = self.ticker(grid, &progress, steps);
        loop {
            let InProgress { wall_s, phase } = &mut progress;
            let over = match phase {
                Phase::Preparing(moving) => {
                    let potential = self.model.potential.uninterrupted();
                    advance_some(moving, potential, &mut [&mut ticker], &preparation, wall_s, &mut pace)?
                }
                Phase::Running(running) => {
                    let Running { moving, alive, recorder, visited, .. } = running.as_mut();
                    let mut observers: Vec<&mut dyn Observer> = vec![recorder, visited, &mut ticker];
                    observers.extend(writer.as_mut().map(|w| w as &mut dyn Observer));
                    let options = RunOptions { steps, limits: limits(starts, alive.iter().copied()) };
                    let potential = self.model.potential.uninterrupted();
                    advance_some(moving, potential, &mut observers, &options, wall_s, &mut pace)?
                }
            };
            if over {
                progress.phase = match progress.phase {
                    Phase::Preparing(prepared) => {
                        let (running, trajectories) =
                            self.start_runs(grid, planned, starts, *prepared, steps)?;
                        writer = trajectories;
                        Phase::Running(Box::new(running))
                    }
                    Phase::Running(mut running) => {
                        if let Some(mut writer) = writer {
                            running.trajectories = kept(writer.checkpoint())?;
                        }
                        ticker.finish();
                        return self.finish(grid, planned, *running, steps, progress.wall_s, cut);
                    }
                };
                ticker.finish();
                ticker = self.ticker(grid, &progress, steps);
            }
            let asked_to_stop = self.store.keep_going();
            if asked_to_stop.is_err() || self.store.is_due(pace.kept) {
                if let (Phase::Running(running), Some(writer)) = (&mut progress.phase, &mut writer) {
                    running.trajectories = kept(writer.checkpoint())?;
                }
                self.store.put_runs(&name, &progress)?;
                pace.kept = Instant::now();
            }
            asked_to_stop?;
        }
    }

    /// Restores the runs called `name` from their checkpoint, if there is one.
    fn restore(
        &self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        name: &str,
    ) -> Option<(InProgress, Option<TrajectoryWriter>)> {
        let mut kept: InProgress = self.store.runs(name)?;
        if let Phase::Running(running) = &mut kept.phase
            && let (Motion::Own(own), config::Integrator::Own(known)) =
                (&mut running.moving.integrator, &grid.integrator)
        {
            match (known.make)(grid.timestep_fs) {
                Ok(made) => *own = Some(made),
                Err(error) => {
                    tracing::warn!("the integrator '{}': {error}: the runs start over", known.name);
                    return None;
                }
            }
        }
        let mut writer = None;
        if let (Phase::Running(running), Some(stride), Some(out)) =
            (&kept.phase, grid.trajectory_stride, self.out)
        {
            let files = trajectory_files(planned, &running.alive);
            let folder = out.join(TRAJECTORIES);
            let compression = grid.trajectory_compression;
            let written: Vec<Written> = running.trajectories.iter().cloned().map(Written::from).collect();
            match TrajectoryWriter::reopen(&folder, &files, stride, compression, &written) {
                Ok(reopened) => writer = Some(reopened),
                Err(error) => {
                    tracing::warn!("{error}: the runs begin again");
                    return None;
                }
            }
        }
        let done = match &kept.phase {
            Phase::Preparing(moving) => moving.course.done,
            Phase::Running(running) => running.moving.course.done,
        };
        tracing::info!("{}: {} runs resume after {done} steps", self.model.record.name, planned.len());
        Some((kept, writer))
    }

    /// Creates recorder and trajectories for the runs after their equilibration.
    fn start_runs(
        &self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        starts: &[&Start<'_>],
        prepared: Moving,
        steps: u64,
    ) -> Result<(Running, Option<TrajectoryWriter>)> {
        let Moving { mut state, course: Course { ids: alive, fates: prepared, .. }, .. } = prepared;
        let began: Vec<&PlannedRun> = alive.iter().map(|&k| planned[k]).collect();
        if grid.equilibration_steps > 0 {
            let starts: Vec<&Start<'_>> = alive.iter().map(|&k| starts[k]).collect();
            end_equilibration(&mut state, &began, &starts);
        }
        let structures: Vec<&System> = alive.iter().map(|&k| starts[k].structure).collect();
        let integrator = integrator(grid, &began, &state)?;
        let broken_ratio = self.config.limits.broken_bond_ratio;
        let recorder = Recorder::new(&state, &structures, grid, &began, broken_ratio)?;
        let visited = Visited::new(&structures, steps, self.config.frames_per_run);
        let writer = match (grid.trajectory_stride, self.out) {
            (Some(stride), Some(out)) if !alive.is_empty() => {
                let folder = out.join(TRAJECTORIES);
                let files = trajectory_files(planned, &alive);
                let compression = grid.trajectory_compression;
                Some(TrajectoryWriter::create(&folder, &files, stride, compression).map_err(full)?)
            }
            _ => None,
        };
        let course = Course::new(&state);
        let moving = Moving { state, integrator, course };
        Ok((Running { moving, prepared, alive, recorder, visited, trajectories: Vec::new() }, writer))
    }

    /// Returns the records of runs that ended.
    fn finish(
        &self,
        grid: &RunConfig,
        planned: &[&PlannedRun],
        running: Running,
        steps: u64,
        wall_s: f64,
        cut: Option<&Cut>,
    ) -> Result<Vec<Ran>> {
        let Running { moving, prepared, alive, recorder, visited, trajectories } = running;
        let mut ran: Vec<Ran> = planned
            .iter()
            .map(|run| Ran {
                run: self.blank_record(grid, run),
                trajectory: None,
                frames: Vec::new(),
                series: Vec::new(),
            })
            .collect();
        for (ran, fate) in ran.iter_mut().zip(&prepared) {
            if let Fate::Diverged { reason, .. } = fate {
                ran.run.fate = RunFate::Diverged;
                ran.run.fate_reason = Some(format!("during the equilibration: {reason}"));
            }
        }
        for (&k, written) in alive.iter().zip(trajectories) {
            ran[k].trajectory = Some(written);
        }
        let found = alive.into_iter().zip(recorder.into_records()).zip(visited.into_frames());
        for (((k, record), frames), fate) in found.zip(&moving.course.fates) {
            let run = &mut ran[k].run;
            record.fill(run, fate, steps)?;
            let series = record.series(run);
            if let (RunFate::Finished, Some(cut)) = (run.fate, cut.filter(|_| steps < grid.steps)) {
                run.fate = RunFate::StoppedEarly;
                run.fate_reason = Some(cut.reason.clone());
            }
            (ran[k].frames, ran[k].series) = (frames, series);
        }
        let system_steps: u64 = ran.iter().map(|r| r.run.steps_done).sum();
        for ran in &mut ran {
            ran.run.ms_per_step = Some(1000.0 * wall_s / system_steps.max(1) as f64);
        }
        Ok(ran)
    }

    fn ticker(&self, grid: &RunConfig, progress: &InProgress, steps: u64) -> StageTicker<'a> {
        let model = &self.model.record.name;
        match &progress.phase {
            Phase::Preparing(moving) => {
                let title = format!("{} runs, thermostat", moving.course.fates.len());
                self.watch.steps(model, &title, grid.equilibration_steps, grid.record_stride)
            }
            Phase::Running(running) => {
                let title = format!("{} runs", running.alive.len());
                self.watch.steps(model, &title, steps, grid.record_stride)
            }
        }
    }
}

/// Advances some steps; returns whether the runs are finished.
#[expect(clippy::disallowed_methods, reason = "the wall time per step is a result")]
fn advance_some(
    moving: &mut Moving,
    potential: &mut dyn Potential,
    observers: &mut [&mut dyn Observer],
    options: &RunOptions,
    wall_s: &mut f64,
    pace: &mut Pace,
) -> Result<bool> {
    let Moving { state, integrator, course } = moving;
    let begin = Instant::now();
    let over = advance(state, integrator.get()?, potential, observers, options, course, pace.steps);
    let elapsed = begin.elapsed();
    *wall_s += elapsed.as_secs_f64();
    if elapsed < PATIENCE / 2 {
        pace.steps *= 2;
    } else if elapsed > PATIENCE {
        pace.steps = (pace.steps / 2).max(1);
    }
    match over {
        Ok(over) => Ok(over),
        // A failure to write is not the model's fault.
        Err(RunError::Observer(error)) if error.source.is::<TrajectoryError>() => {
            Err(Halt::Storage(error.into()).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Converts what trajectories hold.
fn kept(written: Result<Vec<Written>, TrajectoryError>) -> Result<Vec<OutputFile>, Halt> {
    Ok(written.map_err(full)?.into_iter().map(OutputFile::from).collect())
}

/// Converts a failure to write a trajectory, which ends the campaign.
fn full(error: TrajectoryError) -> Halt {
    Halt::Storage(error.into())
}

fn limits(starts: &[&Start<'_>], of: impl Iterator<Item = usize>) -> Vec<Limits> {
    of.map(|k| starts[k].limits.clone()).collect()
}

/// Returns the index in the batch and the file name of each run that started.
fn trajectory_files(planned: &[&PlannedRun], alive: &[usize]) -> Vec<(usize, String)> {
    alive.iter().enumerate().map(|(n, &k)| (n, planned[k].file_name())).collect()
}
