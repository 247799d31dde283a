//! Initial states of runs: geometry, velocities and integrator.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use md_core::units::BOLTZMANN_EV_PER_K;
use md_core::{Fate, Frame, Limits, Observer, ObserverError, Potential, State, System, Vec3, mechanics};
use md_dynamics::{
    Course, IntegratorKind, RelaxOutcome, Relaxed, RunOptions, Scheme, Target, ThermostatKind,
    VelocityOptions,
};
use md_results::RunFate;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Ensemble, Integrator, RunConfig};
use crate::molecule::LoadedMolecule;
use crate::plan::PlannedRun;

/// Minima of molecules by their index in the campaign.
pub(crate) type RelaxedMolecules = BTreeMap<usize, Minima>;

/// Minima of one molecule.
#[derive(Serialize, Deserialize)]
pub(crate) struct Minima {
    /// That to which its structure relaxes.
    pub(crate) nearest: Relaxed,
    /// The lowest found from there, where runs start ([`md_dynamics::descend`]).
    pub(crate) lowest: Relaxed,
}

/// Friction of the thermostat that equilibrates before an NVE run, 1/ps: it erases the initial state within half a
/// picosecond.
const PREPARATION_FRICTION_PER_PS: f64 = 5.0;

/// Initial geometry of a run, and the limits that end it.
pub(crate) struct Start<'a> {
    pub(crate) system: System,
    /// Energy of the lowest minimum known, eV.
    pub(crate) minimum_ev: Option<f64>,
    pub(crate) structure: &'a System,
    pub(crate) limits: Limits,
}

/// Outcome and reason of a run that cannot start.
pub(crate) type NotStarted = (RunFate, String);

/// Systems with their integrator.
#[derive(Serialize, Deserialize)]
pub(crate) struct Moving {
    pub(crate) state: State,
    pub(crate) integrator: Motion,
    pub(crate) course: Course,
}

/// An integrator, as far as it can be stored.
#[derive(Serialize, Deserialize)]
pub(crate) enum Motion {
    /// An integrator of `md_dynamics` with its complete state.
    Stored(Scheme),
    /// An integrator of the calling program, which has no state beyond its time step and is created again.
    Own(#[serde(skip)] Option<Box<dyn md_core::Integrator>>),
}

impl Motion {
    /// Returns the integrator.
    ///
    /// # Errors
    /// The integrator of the calling program was read back but not created again.
    pub(crate) fn get(&mut self) -> Result<&mut dyn md_core::Integrator> {
        match self {
            Motion::Stored(scheme) => Ok(scheme),
            Motion::Own(own) => Ok(own.as_mut().context("the integrator was not made again")?.as_mut()),
        }
    }
}

/// Returns the start of a run, or why it cannot start: the relaxation of its molecule failed or broke it apart.
pub(crate) fn start<'a>(
    config: &Config,
    molecules: &'a [LoadedMolecule],
    grid: &RunConfig,
    planned: &PlannedRun,
    relaxed: &RelaxedMolecules,
) -> Result<Start<'a>, NotStarted> {
    let structure = &molecules[planned.molecule].system;
    let lowest = relaxed.get(&planned.molecule).map(|minima| &minima.lowest);
    let minimum_ev = lowest.map(|lowest| lowest.energy_ev).filter(|ev| ev.is_finite());
    let system = match lowest {
        _ if !grid.relax => structure.clone(),
        Some(Relaxed { outcome: RelaxOutcome::Diverged(reason), .. }) => {
            return Err((RunFate::Diverged, format!("during relaxation: {reason}")));
        }
        Some(lowest) => lowest.system.clone(),
        None => return Err((RunFate::Failed, "the molecule could not be relaxed".to_owned())),
    };
    let hottest_k = grid.ramp_to_k.unwrap_or(planned.temperature_k).max(planned.temperature_k);
    let degrees_of_freedom = mechanics::internal_degrees_of_freedom(system.masses_amu(), system.positions());
    let max_temperature_k = config.limits.max_temperature_k(hottest_k, degrees_of_freedom);
    let limits = Limits::for_molecule(structure, config.limits.bond_ratio, max_temperature_k);
    Ok(Start { system, minimum_ev, structure, limits })
}

/// Creates the systems as [`at_minimum`] does and, where they were relaxed, advances each by a time of its own.
///
/// # Errors
/// The potential failed.
pub(crate) fn start_systems(
    grid: &RunConfig,
    planned: &[&PlannedRun],
    starts: &[&Start<'_>],
    potential: &mut dyn Potential,
) -> Result<Moving> {
    let mut moving = at_minimum(grid, planned, starts, potential)?;
    if grid.relax {
        dephase(&mut moving.state, grid, planned, starts, potential)?;
    }
    Ok(moving)
}

/// Shortest and longest time by which a run that starts in a minimum is advanced before its first recorded step, fs.
const DEPHASING_FS: [f64; 2] = [50.0, 150.0];

/// Longest time step of that, fs.
const DEPHASING_TIMESTEP_FS: f64 = 0.5;

/// Returns the largest number of steps before the first recorded one that a grid's runs make from the minimum.
pub(crate) fn dephasing_steps(grid: &RunConfig) -> u64 {
    if grid.relax { (DEPHASING_FS[1] / dephasing_timestep_fs(grid)).round() as u64 } else { 0 }
}

fn dephasing_timestep_fs(grid: &RunConfig) -> f64 {
    grid.timestep_fs.min(DEPHASING_TIMESTEP_FS)
}

/// Advances each system by a random time at constant energy. In a minimum all vibrations are at the same phase, in all
/// replicas, and what the integrator does to the energy at that phase would be taken for a drift in short runs. A system
/// that diverges before its time stays where it is.
fn dephase(
    state: &mut State,
    grid: &RunConfig,
    planned: &[&PlannedRun],
    starts: &[&Start<'_>],
    potential: &mut dyn Potential,
) -> Result<()> {
    let timestep_fs = dephasing_timestep_fs(grid);
    let [shortest, longest] = DEPHASING_FS.map(|fs| (fs / timestep_fs).round() as u64);
    let of_run =
        |run: &&PlannedRun| shortest + md_dynamics::stream_seed(run.seed, "phase") % (longest - shortest + 1);
    let due: Vec<u64> = planned.iter().map(of_run).collect();
    let steps = due.iter().copied().max().unwrap_or(0);
    let mut snapshots = Snapshots { taken: vec![None; due.len()], due };
    let mut moved = state.clone();
    let mut integrator = IntegratorKind::DEFAULT.build(timestep_fs)?;
    let options = RunOptions { steps, limits: starts.iter().map(|start| start.limits.clone()).collect() };
    md_dynamics::run(&mut moved, &mut integrator, potential, &mut [&mut snapshots], &options)?;
    let systems: Vec<_> = state.batch().ranges().collect();
    for (atoms, taken) in systems.into_iter().zip(snapshots.taken) {
        if let Some((positions, velocities)) = taken {
            state.positions_mut()[atoms.clone()].copy_from_slice(&positions);
            state.velocities_mut()[atoms].copy_from_slice(&velocities);
        }
    }
    state.evaluate(potential)?;
    Ok(())
}

/// Keeps positions and velocities of each system at a step of its own.
struct Snapshots {
    due: Vec<u64>,
    taken: Vec<Option<(Vec<Vec3>, Vec<Vec3>)>>,
}

impl Observer for Snapshots {
    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems().filter(|system| system.step() == self.due[system.id]) {
            self.taken[system.id] = Some((system.positions().to_vec(), system.velocities().to_vec()));
        }
        Ok(())
    }
}

/// Creates the systems with initial velocities, and the thermostat that equilibrates them.
///
/// A run is to have the mean energy of the canonical ensemble at its temperature: for n harmonic vibrations n k_B T above
/// the minimum, half of it kinetic on average. A system that starts in a minimum has no potential energy yet, so all of it
/// is kinetic (equipartition), in directions drawn from the Maxwell-Boltzmann distribution.
pub(crate) fn at_minimum(
    grid: &RunConfig,
    planned: &[&PlannedRun],
    starts: &[&Start<'_>],
    potential: &mut dyn Potential,
) -> Result<Moving> {
    let systems: Vec<System> = starts.iter().map(|s| s.system.clone()).collect();
    let mut state = State::at_rest(&systems, potential)?;
    let factor = if grid.relax { 2.0 } else { 1.0 };
    let temperatures: Vec<f64> = planned.iter().map(|r| factor * r.temperature_k).collect();
    let seeds: Vec<u64> = planned.iter().map(|r| r.seed).collect();
    let options = VelocityOptions { exact_temperature: grid.exact_temperature || grid.relax };
    md_dynamics::thermalise(&mut state, &temperatures, &seeds, &options)?;
    let kind = ThermostatKind::Langevin { friction_per_ps: PREPARATION_FRICTION_PER_PS };
    let scheme = thermostat(kind, None, grid, planned, &state)?;
    let course = Course::new(&state);
    Ok(Moving { state, integrator: Motion::Stored(scheme), course })
}

/// Creates the initial state of replicas of a run, one system for each that survives its equilibration, and their limits;
/// `None` if none does or they cannot start.
///
/// # Errors
/// The potential failed.
pub(crate) fn begin(
    config: &Config,
    molecules: &[LoadedMolecule],
    relaxed: &RelaxedMolecules,
    (grid, replicas): (&RunConfig, &[PlannedRun]),
    potential: &mut dyn Potential,
) -> Result<Option<(State, Limits)>> {
    let Some(first) = replicas.first() else { return Ok(None) };
    // It is that of the molecule and the temperature, which replicas share.
    let Ok(start) = start(config, molecules, grid, first, relaxed) else { return Ok(None) };
    let (planned, starts): (Vec<&PlannedRun>, Vec<&Start<'_>>) =
        replicas.iter().map(|run| (run, &start)).unzip();
    let Moving { mut state, mut integrator, .. } = start_systems(grid, &planned, &starts, potential)?;
    if grid.equilibration_steps > 0 {
        let limits = vec![start.limits.clone(); planned.len()];
        let options = RunOptions { steps: grid.equilibration_steps, limits };
        let fates = md_dynamics::run(&mut state, integrator.get()?, potential, &mut [], &options)?;
        let survives = |k: &usize| fates[*k] == Fate::Finished;
        let survivors: Vec<&PlannedRun> = (0..planned.len()).filter(survives).map(|k| planned[k]).collect();
        end_equilibration(&mut state, &survivors, &starts[..survivors.len()]);
    }
    Ok((state.batch().n_systems() > 0).then_some((state, start.limits)))
}

/// Ends the equilibration of the runs `planned`, which are the systems of `state`, and gives each the energy of its
/// temperature.
pub(crate) fn end_equilibration(state: &mut State, planned: &[&PlannedRun], starts: &[&Start<'_>]) {
    state.reset_clock();
    for (s, (run, start)) in planned.iter().zip(starts).enumerate() {
        if let Some(minimum_ev) = start.minimum_ev {
            let n = state.degrees_of_freedom()[s] as f64;
            let energy_ev = minimum_ev + n * BOLTZMANN_EV_PER_K * run.temperature_k;
            md_dynamics::set_total_energy(state, s, energy_ev);
        }
    }
}

/// Creates the integrator of a grid.
pub(crate) fn integrator(grid: &RunConfig, planned: &[&PlannedRun], state: &State) -> Result<Motion> {
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
