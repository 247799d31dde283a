//! `--dry-run`: what a campaign would run, with estimates of time, memory and disk space.
//!
//! Estimates are based on trials. The runs of each group are performed together for a moment, as in the campaign; the
//! cost of the physics gates is counted in a rehearsal with potentials that cost nothing, and multiplied by the time
//! that the model takes per atom. Of large molecules and groups a part is tried: time and memory grow in proportion.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use md_core::{
    Batch, Configuration, Evaluation, Limits, Observer, Potential, PotentialError, Request, System, Vec3,
    neighbours,
};
use md_dynamics::{DESCENT_STEPS, RelaxOutcome, Relaxed, RunOptions, advance};
use md_io::extxyz::{FrameToWrite, write_frame};
use md_io::trajectory::Compression;
use md_model::Precision;
use md_results::Stage as StageId;

use super::blank::nothing_yet;
use super::inputs::Inputs;
use super::options::CampaignOptions;
use crate::config::{Config, ModelConfig, ModelSource, RunConfig};
use crate::frames::{VisitedFrame, VisitedRun};
use crate::interruptible::Interruptible;
use crate::measure::{Cost, Needs, Output, STAGES, Stage, Subject, View, speed};
use crate::models::{self, LoadedModel};
use crate::molecule::LoadedMolecule;
use crate::plan::{Group, PlannedRun, groups_of, in_shard, molecules_of};
use crate::progress::Progress;
use crate::record::Recorder;
use crate::start::{Minima, Moving, RelaxedMolecules, Start, at_minimum, dephasing_steps, integrator};

/// Usual number of calls for the minimum of a molecule and for lower ones nearby: some relaxations, and two rounds of
/// dynamics between them.
const CALLS_FOR_MINIMA: f64 = 400.0 + 2.0 * DESCENT_STEPS as f64;

/// Minimum duration of one measurement.
const MOMENT: Duration = Duration::from_millis(100);

/// Size of a run, and of a molecule of a model, in the results, the report and the state: for configs/m6.toml, MiB.
const MIB_PER_RUN: f64 = 0.06;
const MIB_PER_MOLECULE: f64 = 0.25;

/// Most atoms of the runs of a group that are tried together; the cost of the others is in proportion.
const TRIED_ATOMS: usize = 5_000;

/// Most atoms of a system that a call is timed with; the reference implementation is slow.
const CALLED_ATOMS: usize = 300;

/// Memory per run, MiB: a few thousand samples of its energies and of its thermostat.
const MEMORY_MIB_PER_RUN: f64 = 0.25;

/// Additional memory for judging and reports, MiB.
const MEMORY_MIB_OF_REPORTS: f64 = 20.0;

/// Size of a compressed trajectory relative to an uncompressed one.
const GZIP_RATIO: f64 = 0.7;

/// Size of the comment line of a frame, with times and energies, bytes.
const BYTES_OF_COMMENT: f64 = 220.0;

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

/// Estimated cost of a campaign.
pub struct Forecast {
    /// Estimates by model.
    pub models: Vec<ModelForecast>,
    /// Memory, MiB; `None` if it cannot be determined.
    pub memory_mib: Option<f64>,
    /// Trajectories on disk, MiB.
    pub trajectories_mib: f64,
    /// Results, report and state on disk, MiB.
    pub results_mib: f64,
    /// Simulated time that may be added while checks are undecided, ps per model.
    pub extra_ps: f64,
    /// Number of threads used for the estimate.
    pub threads: usize,
}

/// Estimated cost of one model.
pub struct ModelForecast {
    /// Name of the model.
    pub name: String,
    /// Number of runs.
    pub runs: usize,
    /// Total number of time steps.
    pub steps: u64,
    /// Total simulated time, ps.
    pub simulated_ps: f64,
    /// Wall time; `None` if the model has no checkpoint.
    pub seconds: Option<Seconds>,
}

/// Wall time of one model, s.
#[derive(Default)]
pub struct Seconds {
    /// Wall time of the runs.
    pub dynamics: f64,
    /// Wall time of the physics gates.
    pub gates: f64,
    /// Wall time of everything else.
    pub rest: f64,
}

/// Estimates the cost of `run` by trials.
///
/// # Errors
/// The input is invalid, or a potential failed.
pub(super) fn forecast(
    config: &Config,
    options: &CampaignOptions,
    progress: &dyn Progress,
) -> Result<Forecast> {
    let Inputs { config, molecules, models: mut loaded, labels, .. } = Inputs::read(config, options)?;
    let config = &config;
    let results = nothing_yet(config, options, &molecules);
    let atoms: Vec<usize> = molecules.iter().map(|m| m.record.atoms).collect();
    let (groups, own) = in_shard(config, &atoms, &options.only, options.shard)?;
    let planned = own.as_ref().unwrap_or(&groups);
    let mut rehearsals = Rehearsals::default();
    // Memory of the group with most atoms, beyond that of its trial.
    let mut more_mib = 0.0;
    let mut models = Vec::new();
    for (index, model) in loaded.iter_mut().enumerate() {
        let mine = groups_of(index, planned);
        if mine.is_empty() {
            continue;
        }
        let name = &config.models[index].name;
        let ticker = progress.stage(&format!("{name}: calibration"), mine.len() as u64);
        let steps = |g: &Group<'_>| g.runs.len() as u64 * (g.config.equilibration_steps + g.config.steps);
        let ps = |g: &Group<'_>| {
            let each = g.config.steps as f64 * g.config.timestep_fs / md_core::units::FS_PER_PS;
            g.runs.len() as f64 * each
        };
        let mut of_model = ModelForecast {
            name: name.clone(),
            runs: mine.iter().map(|g| g.runs.len()).sum(),
            steps: mine.iter().map(steps).sum(),
            simulated_ps: mine.iter().map(ps).sum(),
            seconds: None,
        };
        if let Some(model) = model {
            let mut seconds = Seconds::default();
            for group in &mine {
                let before_mib = md_bench::peak_memory_mib();
                let (tried_s, times) = dynamics_s(config, &molecules, group, model)?;
                seconds.dynamics += tried_s;
                if let Some((before, after)) = before_mib.zip(md_bench::peak_memory_mib()) {
                    more_mib = f64::max(more_mib, (after - before) * (times - 1.0));
                }
                ticker.tick();
            }
            let groups = groups_of(index, &groups);
            let (relaxed, visited) = as_planned(&molecules, &groups);
            let cx = View {
                config,
                molecules: &molecules,
                labels: &labels,
                model: index,
                groups: &groups,
                relaxed: &relaxed,
                visited: &visited,
                stopped_early: false,
                results: &results,
            };
            stages_s(&cx, model, &mut rehearsals, &mut seconds)?;
            of_model.seconds = Some(seconds);
        }
        models.push(of_model);
    }
    let runs = planned.iter().map(|g| g.runs.len()).sum::<usize>() as f64;
    let pairs: usize =
        (0..config.models.len()).map(|m| molecules_of(groups_of(m, planned).iter()).len()).sum();
    let frames_mib: f64 = planned
        .iter()
        .flat_map(|g| &g.runs)
        .map(|run| config.frames_per_run as f64 * frame_mib(&molecules[run.molecule].system))
        .sum();
    let written = planned.iter().flat_map(|g| g.runs.iter().map(|run| (g.config, run)));
    Ok(Forecast {
        models,
        memory_mib: md_bench::peak_memory_mib().map(|calibration| {
            calibration + more_mib + MEMORY_MIB_PER_RUN * runs + 2.0 * frames_mib + MEMORY_MIB_OF_REPORTS
        }),
        trajectories_mib: written.map(|(grid, run)| trajectory_mib(grid, run, &molecules)).sum(),
        // The frames are stored in a file, in the report and in the state.
        results_mib: MIB_PER_RUN * runs + MIB_PER_MOLECULE * pairs as f64 + 3.0 * frames_mib,
        extra_ps: if config.adaptive.max_extra_replicas > 0 { config.adaptive.budget_ps } else { 0.0 },
        threads: rayon::current_num_threads(),
    })
}

impl Forecast {
    /// Returns the total wall time, s.
    pub fn seconds(&self) -> f64 {
        let of = |s: &Seconds| s.dynamics + s.gates + s.rest;
        self.models.iter().filter_map(|m| m.seconds.as_ref()).map(of).sum()
    }

    /// Returns the required disk space, MiB.
    pub fn disk_mib(&self) -> f64 {
        self.trajectories_mib + self.results_mib
    }
}

/// Returns the wall time of the runs of a group, s, and how many times as many atoms it has as were tried.
fn dynamics_s(
    config: &Config,
    molecules: &[LoadedMolecule],
    group: &Group<'_>,
    model: &mut LoadedModel,
) -> Result<(f64, f64)> {
    let grid = group.config;
    let atoms_of = |run: &&PlannedRun| molecules[run.molecule].system.n_atoms();
    let all: usize = group.runs.iter().map(|run| atoms_of(&run)).sum();
    let mut tried = 0;
    // At least one run.
    let planned: Vec<&PlannedRun> = group
        .runs
        .iter()
        .take_while(|run| {
            let is_first = tried == 0;
            tried += atoms_of(run);
            is_first || tried <= TRIED_ATOMS
        })
        .collect();
    let mut small = BTreeMap::new();
    for run in &planned {
        let whole = &molecules[run.molecule].system;
        let few = excerpt(whole, TRIED_ATOMS);
        let is_known =
            model.potential.check(&Batch::new(std::slice::from_ref(&few)), Request::FORCES).is_ok();
        small.entry(run.molecule).or_insert(if is_known { few } else { whole.clone() });
    }
    let tried: usize = planned.iter().map(|run| small[&run.molecule].n_atoms()).sum();
    let starts: Vec<Start<'_>> = planned
        .iter()
        .map(|run| {
            let structure = &small[&run.molecule];
            Start { system: structure.clone(), minimum_ev: None, structure, limits: Limits::default() }
        })
        .collect();
    let starts: Vec<&Start<'_>> = starts.iter().collect();
    let potential = model.potential.as_mut();
    let Moving { mut state, mut course, .. } = at_minimum(grid, &planned, &starts, potential)?;
    let mut integrator = integrator(grid, &planned, &state)?;
    let structures: Vec<&System> = starts.iter().map(|s| s.structure).collect();
    let mut recorder = Recorder::new(&state, &structures, grid, &planned, config.limits.broken_bond_ratio)?;
    let options = RunOptions { steps: u64::MAX, limits: Vec::new() };
    let per_step_s = seconds_of_a_call(|| {
        let observers: &mut [&mut dyn Observer] = &mut [&mut recorder];
        advance(&mut state, integrator.get()?, potential, observers, &options, &mut course, 1)?;
        Ok(())
    })?;
    let steps = (dephasing_steps(grid) + grid.equilibration_steps + grid.steps) as f64;
    let times = all as f64 / tried.max(1) as f64;
    Ok((per_step_s * steps * times, times))
}

/// Returns relaxed molecules and visited frames as if the structures did not change.
fn as_planned(molecules: &[LoadedMolecule], groups: &[Group<'_>]) -> (RelaxedMolecules, Vec<VisitedRun>) {
    let relaxed = |m: usize| {
        let system = molecules[m].system.clone();
        let outcome = RelaxOutcome::Converged;
        let nearest = Relaxed { system, outcome, steps: 0, max_force_ev_per_angstrom: 0.0, energy_ev: 0.0 };
        (m, Minima { lowest: nearest.clone(), nearest })
    };
    let visited = |run: &PlannedRun| {
        let LoadedMolecule { record, system, .. } = &molecules[run.molecule];
        VisitedRun {
            run: run.id.clone(),
            molecule: record.name.clone(),
            temperature_k: run.temperature_k,
            frames: vec![VisitedFrame {
                time_ps: 0.0,
                system: system.clone(),
                energy_ev: 0.0,
                forces: Vec::new(),
            }],
        }
    };
    let runs = groups.iter().flat_map(|g| &g.runs);
    (molecules_of(groups.iter()).into_iter().map(relaxed).collect(), runs.map(visited).collect())
}

/// Adds the wall time of everything but the runs.
fn stages_s(
    cx: &View<'_>,
    model: &mut LoadedModel,
    rehearsals: &mut Rehearsals,
    seconds: &mut Seconds,
) -> Result<()> {
    let mut per_atom: BTreeMap<String, [f64; 3]> = BTreeMap::new();
    let role = model.record.role;
    for m in molecules_of(cx.groups.iter()) {
        let LoadedMolecule { record, system, .. } = &cx.molecules[m];
        let of_molecule = seconds_per_atom(model, system)?;
        seconds.rest += CALLS_FOR_MINIMA * of_molecule[0] * system.n_atoms() as f64;
        per_atom.insert(record.name.clone(), of_molecule);
    }
    for stage in STAGES.iter().filter(|stage| stage.about().applies_to(role)) {
        for subject in stage.subjects(cx, model) {
            let Some(system) = subject.system()? else { continue };
            let place = subject.place().to_owned();
            let [potential_s, oracle_s, reference_s] = match per_atom.get(&place) {
                Some(known) => *known,
                None => *per_atom.entry(place).or_insert(seconds_per_atom(model, &system)?),
            };
            let cost = match stage.cost(cx, &subject)? {
                Some(cost) => cost,
                None => rehearsals.cost(*stage, cx, &subject, system.n_atoms())?,
            };
            let mut cost_s =
                cost.potential * potential_s + cost.oracle * oracle_s + cost.reference * reference_s;
            if cost.timed_calls {
                cost_s += speed::seconds(potential_s * system.n_atoms() as f64);
            }
            match stage.about().id {
                StageId::Gates | StageId::Minimum => seconds.gates += cost_s,
                _ => seconds.rest += cost_s,
            }
        }
    }
    Ok(())
}

/// Returns the time of energy and forces per atom of a system, s: for the potential of the runs, the one in f64, and
/// the reference implementation.
fn seconds_per_atom(model: &mut LoadedModel, system: &System) -> Result<[f64; 3]> {
    let atoms = system.n_atoms() as f64;
    let potential_s = call_s(model.potential.as_mut(), system)?;
    let oracle_s = call_s(model.oracle.as_mut(), system)?;
    let reference_s =
        model.reference.as_mut().map_or(Ok(0.0), |reference| call_s(reference.as_mut(), system))?;
    Ok([potential_s, oracle_s, reference_s].map(|s| s / atoms))
}

/// Most atoms of a molecule of which a stage is rehearsed. Of a larger one it is rehearsed with an excerpt of these and
/// with half of them, and its cost is taken to grow on as between the two.
const REHEARSED_ATOMS: usize = 40;

/// Returns the molecules, each of at most `most` atoms: those nearest to its middle.
fn excerpts(molecules: &[LoadedMolecule], most: usize) -> Vec<LoadedMolecule> {
    let one = |molecule: &LoadedMolecule| LoadedMolecule {
        record: molecule.record.clone(),
        system: excerpt(&molecule.system, most),
        references: Vec::new(),
        samples: Vec::new(),
        trajectories: Vec::new(),
        frequencies_per_cm: molecule.frequencies_per_cm.clone(),
        trained_on: Vec::new(),
    };
    molecules.iter().map(one).collect()
}

/// Returns the `most` atoms of a system that are nearest to its middle.
fn excerpt(system: &System, most: usize) -> System {
    if system.n_atoms() <= most {
        return system.clone();
    }
    let positions = system.positions();
    let middle = positions.iter().sum::<Vec3>() / positions.len() as f64;
    let mut atoms: Vec<usize> = (0..positions.len()).collect();
    atoms.sort_by(|&a, &b| (positions[a] - middle).norm().total_cmp(&(positions[b] - middle).norm()));
    atoms.truncate(most);
    let of = |atom: &usize| (system.elements()[*atom], positions[*atom]);
    let (elements, positions) = atoms.iter().map(of).unzip();
    // Some of the atoms of a valid system are a valid system.
    System::new(elements, positions).unwrap_or_else(|_| system.clone())
}

/// Costs of stages by subject, shared by all models.
#[derive(Default)]
struct Rehearsals(BTreeMap<(&'static str, String, usize), Cost>);

impl Rehearsals {
    /// Returns the cost of a stage on a molecule of so many atoms, counted with potentials that cost nothing.
    fn cost(
        &mut self,
        stage: &dyn Stage,
        cx: &View<'_>,
        subject: &Subject<'_>,
        atoms: usize,
    ) -> Result<Cost> {
        if atoms <= REHEARSED_ATOMS {
            return self.rehearsed(stage, subject, atoms, |model| {
                stage.measure(cx, subject, model, &mut Output::new("a rehearsal"))
            });
        }
        let whole = self.of_excerpt(stage, cx, subject, REHEARSED_ATOMS)?;
        let half = self.of_excerpt(stage, cx, subject, REHEARSED_ATOMS / 2)?;
        let times = atoms as f64 / REHEARSED_ATOMS as f64;
        let grown = |whole: f64, half: f64| {
            let power = if half > 0.0 { (whole / half).log2().clamp(0.0, 3.0) } else { 1.0 };
            whole * times.powf(power)
        };
        Ok(Cost {
            potential: grown(whole.potential, half.potential),
            oracle: grown(whole.oracle, half.oracle),
            reference: grown(whole.reference, half.reference),
            ..whole
        })
    }

    fn of_excerpt(
        &mut self,
        stage: &dyn Stage,
        cx: &View<'_>,
        subject: &Subject<'_>,
        most: usize,
    ) -> Result<Cost> {
        let molecules = excerpts(cx.molecules, most);
        let (relaxed, visited) = as_planned(&molecules, cx.groups);
        let small = View { molecules: &molecules, relaxed: &relaxed, visited: &visited, ..*cx };
        self.rehearsed(stage, subject, most, |model| {
            let subjects = stage.subjects(&small, model);
            match subjects.iter().find(|other| other.key() == subject.key()) {
                Some(subject) => stage.measure(&small, subject, model, &mut Output::new("a rehearsal")),
                None => stage.measure(cx, subject, model, &mut Output::new("a rehearsal")),
            }
        })
    }

    fn rehearsed(
        &mut self,
        stage: &dyn Stage,
        subject: &Subject<'_>,
        atoms: usize,
        measure: impl FnOnce(&mut LoadedModel) -> Result<()>,
    ) -> Result<Cost> {
        // Frames of one molecule cost the same.
        let key = match stage.about().needs {
            Needs::Runs => subject.place().to_owned(),
            _ => subject.key(),
        };
        let key = (stage.about().title, key, atoms);
        if let Some(known) = self.0.get(&key) {
            return Ok(*known);
        }
        let cost = rehearse(measure)?;
        self.0.insert(key, cost);
        Ok(cost)
    }
}

/// Returns the cost of a measurement, counted with potentials that cost nothing.
fn rehearse(measure: impl FnOnce(&mut LoadedModel) -> Result<()>) -> Result<Cost> {
    let [potential, oracle, plain] = [(); 3].map(|()| Stand::default());
    let mut model = LoadedModel {
        record: models::unloaded(&ModelConfig {
            precision: Precision::F64,
            ..ModelConfig::new("a rehearsal", ModelSource::NotGiven)
        }),
        potential: Interruptible::new(potential.clone()),
        oracle: Interruptible::new(oracle.clone()),
        one_format: false,
        reference: Some(Interruptible::new(plain.clone())),
        reference_path: String::new(),
        path: String::new(),
        elements: Vec::new(),
        architecture: None,
        load_s: 0.0,
        training: OnceLock::new(),
    };
    measure(&mut model)?;
    let [potential, oracle, reference] =
        [potential, oracle, plain].map(|stand| stand.atoms.load(Ordering::Relaxed) as f64);
    Ok(Cost { potential, oracle, reference, timed_calls: false })
}

/// Replaces a potential and counts the atoms that it is evaluated for.
#[derive(Clone, Default)]
struct Stand {
    atoms: Arc<AtomicU64>,
}

impl Potential for Stand {
    fn name(&self) -> &str {
        "a stand-in"
    }

    fn check(&self, _: &Batch, _: Request) -> Result<(), PotentialError> {
        Ok(())
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.atoms.fetch_add(c.positions.len() as u64, Ordering::Relaxed);
        out.reset(c.batch, request);
        for (system, atoms) in c.batch.ranges().enumerate() {
            let mut energy_ev = 0.0;
            let first = atoms.start;
            neighbours::for_each_pair(&c.positions[atoms], STAND_CUTOFF_ANGSTROM, |pair| {
                let sixth = pair.distance.powi(-6);
                energy_ev += 4.0 * STAND_DEPTH_EV * sixth * (sixth - 1.0);
                if request.forces {
                    let slope = -24.0 * STAND_DEPTH_EV * sixth * (2.0 * sixth - 1.0) / pair.distance;
                    let force = pair.displacement * (slope / pair.distance);
                    out.forces[first + pair.i] += force;
                    out.forces[first + pair.j] -= force;
                }
            });
            out.energies[system] = energy_ev;
        }
        Ok(())
    }
}

/// Depth of the well of the pairs of a [`Stand`], eV, with σ = 1 Å, and where it is cut off, Å.
const STAND_DEPTH_EV: f64 = 0.01;
const STAND_CUTOFF_ANGSTROM: f64 = 4.0;

/// Returns the time of energy and forces of a system, s.
fn call_s(potential: &mut dyn Potential, system: &System) -> Result<f64> {
    let few = excerpt(system, CALLED_ATOMS);
    let is_known = potential.check(&Batch::new(std::slice::from_ref(&few)), Request::FORCES).is_ok();
    // A closed form may know whole molecules alone, and costs little.
    let tried = if is_known { &few } else { system };
    let batch = Batch::new(std::slice::from_ref(tried));
    let share = system.n_atoms() as f64 / tried.n_atoms() as f64;
    let system = tried;
    let configuration = Configuration { batch: &batch, positions: system.positions() };
    let mut out = Evaluation::default();
    Ok(share * seconds_of_a_call(|| Ok(potential.evaluate(configuration, Request::FORCES, &mut out)?))?)
}

/// Returns the time of a call, s: the mean over a moment, without the first call.
#[expect(clippy::disallowed_methods, reason = "a forecast of time rests on a measurement of time")]
fn seconds_of_a_call(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let begin = Instant::now();
    let mut calls = 0;
    loop {
        call()?;
        calls += 1;
        let elapsed = begin.elapsed();
        if elapsed >= MOMENT {
            return Ok(elapsed.as_secs_f64() / f64::from(calls));
        }
    }
}

/// Returns the size of a frame in a file, MiB.
fn frame_mib(system: &System) -> f64 {
    let zeros = vec![Vec3::repeat(-1.0 / 3.0); system.n_atoms()];
    let frame = FrameToWrite { forces: Some(&zeros), velocities: Some(&zeros), ..FrameToWrite::from(system) };
    let mut bytes = Vec::new();
    // A frame that cannot be written takes no space.
    let _ = write_frame(&mut bytes, &frame);
    bytes.len() as f64 / BYTES_PER_MIB
}

fn trajectory_mib(grid: &RunConfig, run: &PlannedRun, molecules: &[LoadedMolecule]) -> f64 {
    let Some(stride) = grid.trajectory_stride else { return 0.0 };
    let ratio = match grid.trajectory_compression {
        Compression::None => 1.0,
        Compression::Gzip => GZIP_RATIO,
    };
    let frame_mib = frame_mib(&molecules[run.molecule].system) + BYTES_OF_COMMENT / BYTES_PER_MIB;
    (grid.steps / stride + 1) as f64 * frame_mib * ratio
}
