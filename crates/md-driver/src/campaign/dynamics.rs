//! The runs of one model.

use anyhow::{Context, Result};
use md_core::units::FS_PER_PS;
use md_core::{Limits, Potential, State, System, mechanics};
use md_dynamics::{
    Course, RelaxOutcome, Relaxed, RunOptions, Scheme, Target, ThermostatKind, VelocityOptions,
};
use md_results::{Results, Run, RunFate};

use super::adaptive::Cut;
use super::batch::{Motion, Moving, Ran};
use super::runner::Runner;
use super::store::{Halt, Panicked, isolated};
use crate::config::{Config, Ensemble, Integrator, RunConfig};
use crate::frames::VisitedRun;
use crate::in_full;
pub(super) use crate::measure::RelaxedMolecules;
use crate::measure::View;
use crate::molecule::LoadedMolecule;
use crate::plan::{Group, PlannedRun};

/// Friction of the thermostat that prepares an NVE run, 1/ps: it forgets the start within half a picosecond.
const PREPARATION_FRICTION_PER_PS: f64 = 5.0;

/// Where a run starts: the geometry, and the limits that end it.
pub(super) struct Start<'a> {
    pub(super) system: System,
    pub(super) structure: &'a System,
    pub(super) limits: Limits,
}

/// Why a run cannot start: what it is, and why.
pub(super) type NotStarted = (RunFate, String);

/// What came of a group of runs, in the order of its plan.
pub(super) struct RanGroup(Vec<Ran>);

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

impl Runner<'_> {
    /// Makes the runs of one group, those in lock step that are not made yet, and keeps some of the frames they visit.
    /// `relaxed` holds every molecule that could be relaxed.
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
        let mut ran: Vec<Option<Ran>> =
            group.runs.iter().map(|run| self.store.get(&part(run, steps))).collect();
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

    /// Makes runs together. Where that fails, they are made in halves, so that only those fail that cannot be made, and
    /// a device has less to do at once; a run that a GPU cannot make is made by the CPU.
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
                let model = self.model.record.name.clone();
                let reason = in_full(&error);
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

    /// A run that was not made.
    fn without(&self, grid: &RunConfig, planned: &PlannedRun, (fate, reason): NotStarted) -> Ran {
        let run = Run { fate, fate_reason: Some(reason), ..self.blank_record(grid, planned) };
        Ran { run, frames: Vec::new(), series: Vec::new() }
    }

    /// The record of a run before its first step.
    pub(super) fn blank_record(&self, grid: &RunConfig, planned: &PlannedRun) -> Run {
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
            anomalies: Vec::new(),
            ms_per_step: None,
        }
    }
}

/// Name of a run as a part of the campaign.
fn part(run: &PlannedRun, steps: u64) -> String {
    format!("{}, {steps} steps", run.id)
}

/// Where a run starts, or why it cannot: its molecule came apart in the relaxation, or could not be relaxed.
fn start<'a>(
    config: &Config,
    molecules: &'a [LoadedMolecule],
    grid: &RunConfig,
    planned: &PlannedRun,
    relaxed: &RelaxedMolecules,
) -> Result<Start<'a>, NotStarted> {
    let structure = &molecules[planned.molecule].system;
    let system = match relaxed.get(&planned.molecule) {
        _ if !grid.relax => structure.clone(),
        Some(Relaxed { outcome: RelaxOutcome::Diverged(reason), .. }) => {
            return Err((RunFate::Diverged, format!("during relaxation: {reason}")));
        }
        Some(relaxed) => relaxed.system.clone(),
        None => return Err((RunFate::Failed, "the molecule could not be relaxed".to_owned())),
    };
    let hottest_k = grid.ramp_to_k.unwrap_or(planned.temperature_k).max(planned.temperature_k);
    let degrees_of_freedom = mechanics::internal_degrees_of_freedom(system.masses_amu(), system.positions());
    let max_temperature_k = config.limits.max_temperature_k(hottest_k, degrees_of_freedom);
    let limits = Limits::for_molecule(structure, config.limits.bond_ratio, max_temperature_k);
    Ok(Start { system, structure, limits })
}

/// The systems with their initial velocities, and the thermostat that prepares them.
pub(super) fn start_systems(
    grid: &RunConfig,
    planned: &[&PlannedRun],
    starts: &[&Start<'_>],
    potential: &mut dyn Potential,
) -> Result<Moving> {
    let systems: Vec<System> = starts.iter().map(|s| s.system.clone()).collect();
    let mut state = State::at_rest(&systems, potential)?;
    let temperatures: Vec<f64> = planned.iter().map(|r| r.temperature_k).collect();
    let seeds: Vec<u64> = planned.iter().map(|r| r.seed).collect();
    let options = VelocityOptions { exact_temperature: grid.exact_temperature };
    md_dynamics::thermalise(&mut state, &temperatures, &seeds, &options)?;
    let kind = ThermostatKind::Langevin { friction_per_ps: PREPARATION_FRICTION_PER_PS };
    let scheme = thermostat(kind, None, grid, planned, &state)?;
    let course = Course::new(&state);
    Ok(Moving { state, integrator: Motion::Stored(scheme), course })
}

/// The state that a run of the model begins with, and its limits; `None` where it does not begin.
///
/// # Errors
/// What the potential returns.
pub(crate) fn begin(
    cx: &View<'_>,
    group: &Group<'_>,
    run: &PlannedRun,
    potential: &mut dyn Potential,
) -> Result<Option<(State, Limits)>> {
    let Ok(start) = start(cx.config, cx.molecules, group.config, run, cx.relaxed) else { return Ok(None) };
    let state = prepare(group.config, run, &start, potential)?;
    Ok(state.map(|state| (state, start.limits)))
}

/// The state that a run begins with; `None` where it diverges while it is prepared.
fn prepare(
    grid: &RunConfig,
    planned: &PlannedRun,
    start: &Start<'_>,
    potential: &mut dyn Potential,
) -> Result<Option<State>> {
    let Moving { mut state, mut integrator, .. } = start_systems(grid, &[planned], &[start], potential)?;
    if grid.equilibration_steps > 0 {
        let options = RunOptions { steps: grid.equilibration_steps, limits: vec![start.limits.clone()] };
        md_dynamics::run(&mut state, integrator.get()?, potential, &mut [], &options)?;
        state.reset_clock();
    }
    Ok((state.batch().n_systems() == 1).then_some(state))
}

/// The integrator of a grid.
pub(super) fn integrator(grid: &RunConfig, planned: &[&PlannedRun], state: &State) -> Result<Motion> {
    match (grid.ensemble, &grid.integrator) {
        (Ensemble::Nve, Integrator::Kind(kind)) => Ok(Motion::Stored(kind.build(grid.timestep_fs)?)),
        (Ensemble::Nve, Integrator::Own(own)) => Ok(Motion::Own(Some((own.make)(grid.timestep_fs)?))),
        (Ensemble::Thermostat(kind), _) => {
            Ok(Motion::Stored(thermostat(kind, grid.ramp_to_k, grid, planned, state)?))
        }
    }
}

fn thermostat(
    kind: ThermostatKind,
    ramp_to_k: Option<f64>,
    grid: &RunConfig,
    planned: &[&PlannedRun],
    state: &State,
) -> Result<Scheme> {
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
