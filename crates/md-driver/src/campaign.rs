//! Runs a campaign: every stage of every model, written to the output folder as it is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use md_core::{Observer, State, System, bonds};
use md_dynamics::{Limits, RelaxOptions, RelaxOutcome, Relaxed, RunOptions, VelocityOptions, VelocityVerlet};
use md_io::extxyz::LabelKeys;
use md_io::results::{
    self, Failure, Molecule, Relaxation, Results, Role, Run, RunFate, SCHEMA_VERSION, Stage,
};
use md_io::trajectory::TrajectoryWriter;

use crate::config::{Config, MoleculeConfig};
use crate::models::{self, LoadedModel};
use crate::plan::{Filter, Group, PlannedRun, only, plan};
use crate::progress::Progress;
use crate::record::Recorder;
use crate::{evaluate, gates, provenance, speed, verdict};

/// Runs `config` and writes what it measures to `out`: `results.json`, `md_performance_results.json` and, where the
/// campaign asks for them, `trajectories/`.
///
/// # Errors
/// Bad input is found before anything runs. A model that fails in one run does not stop the others.
pub fn run(config: &Config, filters: &[Filter], out: &Path, progress: &Progress) -> Result<Results> {
    let started = provenance::now();
    let whole_plan = plan(config)?;
    let groups = only(config, whole_plan.clone(), filters)?;
    let molecules = load_molecules(config)?;
    let asked: Vec<Vec<usize>> = (0..config.models.len())
        .map(|model| molecules_of(whole_plan.iter().filter(|g| g.model == model)))
        .collect();
    let mut loaded = Vec::new();
    for (model, asked) in config.models.iter().zip(&asked) {
        let named: Vec<(&str, &System)> =
            asked.iter().map(|&m| (molecules[m].record.name.as_str(), &molecules[m].system)).collect();
        loaded.push(models::load(model, &named)?);
    }
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        campaign: results::Campaign {
            name: config.name.clone(),
            config_sha256: config.sha256.clone(),
            seed: config.seed,
            finished: started.clone(),
            started,
            only: filters.iter().map(Filter::to_string).collect(),
        },
        provenance: provenance::provenance(),
        criteria: config.criteria.clone(),
        molecules: molecules.iter().map(|m| m.record.clone()).collect(),
        models: Vec::new(),
        relaxations: Vec::new(),
        gates: Vec::new(),
        runs: Vec::new(),
        evaluations: Vec::new(),
        speed: Vec::new(),
        failures: Vec::new(),
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot create the folder {}", out.display()))?;
    for (index, (model, slot)) in config.models.iter().zip(&mut loaded).enumerate() {
        let of_model: Vec<&Group<'_>> = groups.iter().filter(|g| g.model == index).collect();
        if of_model.is_empty() {
            continue; // left out by --only
        }
        results.models.push(results::Model {
            molecules: asked[index].iter().map(|&m| config.molecules[m].name.clone()).collect(),
            ..slot.as_ref().map_or_else(|| models::unloaded(model), |m| m.record.clone())
        });
        if slot.is_none() {
            let reason = format!("no checkpoint: give --model {}=CHECKPOINT", model.name);
            results.failures.push(Failure {
                model: model.name.clone(),
                molecule: None,
                stage: Stage::Load,
                reason,
            });
        }
        if let Some(loaded) = slot {
            let mut stage = ModelStage { config, molecules: &molecules, model: loaded, out, progress };
            stage.measure(&of_model, &mut results);
        }
        finish(&mut results, out)?;
    }
    Ok(results)
}

/// The molecules that these groups run, in the order of the campaign.
fn molecules_of<'g, 'c: 'g>(groups: impl Iterator<Item = &'g Group<'c>>) -> Vec<usize> {
    let molecules: BTreeSet<usize> = groups.flat_map(|g| &g.runs).map(|r| r.molecule).collect();
    molecules.into_iter().collect()
}

/// Judges what has been measured so far and writes it, so that a later failure loses nothing.
fn finish(results: &mut Results, out: &Path) -> Result<()> {
    results.campaign.finished = provenance::now();
    speed::relate_to_first(results);
    verdict::judge(results);
    results.write(&out.join("results.json"))?;
    results::write_json(&out.join("md_performance_results.json"), &results.speed)?;
    Ok(())
}

/// A molecule of the campaign with its structure.
struct LoadedMolecule {
    record: Molecule,
    system: System,
    references: Vec<PathBuf>,
}

fn load_molecules(config: &Config) -> Result<Vec<LoadedMolecule>> {
    config
        .molecules
        .iter()
        .map(|MoleculeConfig { name, structure, references }| {
            let system =
                md_io::extxyz::read_system(structure).with_context(|| format!("molecule '{name}'"))?;
            for reference in references {
                evaluate::check_reference(reference, &system)
                    .with_context(|| format!("molecule '{name}'"))?;
            }
            Ok(LoadedMolecule {
                record: Molecule {
                    name: name.clone(),
                    atoms: system.n_atoms(),
                    structure_sha256: md_io::files::sha256_file(structure)?,
                    bonds: bonds::find(&system, bonds::DEFAULT_SCALE).len(),
                },
                system,
                references: references.clone(),
            })
        })
        .collect()
}

/// One model going through the campaign.
struct ModelStage<'a> {
    config: &'a Config,
    molecules: &'a [LoadedMolecule],
    model: &'a mut LoadedModel,
    out: &'a Path,
    progress: &'a Progress,
}

impl ModelStage<'_> {
    /// Measures everything on the molecules of `groups`.
    fn measure(&mut self, groups: &[&Group<'_>], results: &mut Results) {
        let wanted = molecules_of(groups.iter().copied());
        let failures = &mut results.failures;

        let gates = self.each("physics gates", Stage::Gates, &wanted, failures, |model, molecule| {
            gates::measure(&model.record.name, &molecule.record.name, model.oracle.as_mut(), &molecule.system)
        });
        results.gates.extend(gates.into_iter().flatten());

        let to_relax = molecules_of(groups.iter().copied().filter(|g| g.config.relax));
        match self.relax(&to_relax, &mut results.relaxations) {
            Ok(relaxed) => {
                for group in groups {
                    results.runs.extend(self.dynamics(group, &relaxed));
                }
            }
            Err(error) => failures.push(self.failure(Stage::Relaxation, None, &error)),
        }

        let labelled: Vec<usize> = wanted
            .iter()
            .copied()
            .filter(|&m| {
                self.model.record.role == Role::Candidate && !self.molecules[m].references.is_empty()
            })
            .collect();
        let evaluations = self.each("forces", Stage::Evaluation, &labelled, failures, |model, molecule| {
            let on = |frames: &PathBuf| {
                let (name, molecule) = (&model.record.name, Some(molecule.record.name.as_str()));
                let source = evaluate::Source { model: name, molecule, frames };
                evaluate::evaluate(source, model.potential.as_mut(), &LabelKeys::default(), || ())
            };
            molecule.references.iter().map(on).collect::<Result<Vec<_>>>()
        });
        results.evaluations.extend(evaluations.into_iter().flatten());

        let speed = self.each("speed", Stage::Speed, &wanted, failures, |model, molecule| {
            speed::measure(model, &molecule.record.name, &molecule.system)
        });
        results.speed.extend(speed);
    }

    /// Measures something on each of the molecules `wanted`. What fails is recorded, and the rest goes on.
    fn each<T>(
        &mut self,
        title: &str,
        stage: Stage,
        wanted: &[usize],
        failures: &mut Vec<Failure>,
        measure: impl Fn(&mut LoadedModel, &LoadedMolecule) -> Result<T>,
    ) -> Vec<T> {
        let ticker =
            self.progress.stage(&format!("{}: {title}", self.model.record.name), wanted.len() as u64);
        let mut measured = Vec::new();
        for molecule in wanted.iter().map(|&m| &self.molecules[m]) {
            match measure(self.model, molecule) {
                Ok(value) => measured.push(value),
                Err(error) => failures.push(self.failure(stage, Some(molecule), &error)),
            }
            ticker.tick();
        }
        measured
    }

    fn failure(&self, stage: Stage, molecule: Option<&LoadedMolecule>, error: &anyhow::Error) -> Failure {
        let model = self.model.record.name.clone();
        let molecule = molecule.map(|m| m.record.name.clone());
        tracing::error!(model, molecule, ?stage, "{error:#}");
        Failure { model, molecule, stage, reason: format!("{error:#}") }
    }

    /// Relaxes the molecules `wanted`, all in one batch.
    fn relax(&mut self, wanted: &[usize], records: &mut Vec<Relaxation>) -> Result<BTreeMap<usize, Relaxed>> {
        let _ticker = self.progress.stage(&format!("{}: relaxation", self.model.record.name), 0);
        let systems: Vec<System> = wanted.iter().map(|&m| self.molecules[m].system.clone()).collect();
        let options =
            RelaxOptions { max_bond_ratio: self.config.limits.bond_ratio, ..RelaxOptions::default() };
        let relaxed = md_dynamics::relax(&systems, self.model.potential.as_mut(), &options)
            .with_context(|| format!("relaxation with the model '{}'", self.model.record.name))?;
        for (&molecule, relaxed) in wanted.iter().zip(&relaxed) {
            records.push(relaxation_record(&self.model.record.name, &self.molecules[molecule], relaxed)?);
        }
        Ok(wanted.iter().copied().zip(relaxed).collect())
    }

    /// Runs one group in lock step. `relaxed` holds every molecule that is to start relaxed.
    #[expect(clippy::disallowed_methods, reason = "the wall time per step is a result")]
    fn dynamics(&mut self, group: &Group<'_>, relaxed: &BTreeMap<usize, Relaxed>) -> Vec<Run> {
        let mut records: Vec<Run> = group.runs.iter().map(|r| self.blank_record(group, r)).collect();
        let mut started: Vec<usize> = Vec::new();
        let mut systems = Vec::new();
        for (k, planned) in group.runs.iter().enumerate() {
            let start = match relaxed.get(&planned.molecule).filter(|_| group.config.relax) {
                Some(Relaxed { outcome: RelaxOutcome::Diverged(reason), .. }) => {
                    records[k].fate = RunFate::Diverged;
                    records[k].fate_reason = Some(format!("during relaxation: {reason}"));
                    continue;
                }
                Some(relaxed) => &relaxed.system,
                None => &self.molecules[planned.molecule].system,
            };
            started.push(k);
            systems.push(start.clone());
        }
        if systems.is_empty() {
            return records;
        }
        let planned: Vec<&PlannedRun> = started.iter().map(|&k| &group.runs[k]).collect();
        let begin = Instant::now();
        let ran = self.run_batch(group, &planned, &systems);
        let wall_ms = begin.elapsed().as_secs_f64() * 1000.0;
        match ran {
            Ok(done) => {
                let system_steps: u64 = done.iter().map(|d| d.steps_done).sum();
                for (&k, done) in started.iter().zip(done) {
                    records[k] = Run { ms_per_step: Some(wall_ms / system_steps.max(1) as f64), ..done };
                }
            }
            Err(error) => {
                tracing::error!(model = self.model.record.name, "the runs could not be made: {error:#}");
                for k in started {
                    records[k].fate = RunFate::Failed;
                    records[k].fate_reason = Some(format!("{error:#}"));
                }
            }
        }
        records
    }

    fn run_batch(
        &mut self,
        group: &Group<'_>,
        planned: &[&PlannedRun],
        systems: &[System],
    ) -> Result<Vec<Run>> {
        let grid = group.config;
        let limits_config = &self.config.limits;
        let structures: Vec<&System> = planned.iter().map(|r| &self.molecules[r.molecule].system).collect();
        let limits = planned
            .iter()
            .zip(&structures)
            .map(|(run, structure)| {
                let max_temperature_k = limits_config.max_temperature_k(run.temperature_k);
                Limits::for_molecule(structure, limits_config.bond_ratio, max_temperature_k)
            })
            .collect();

        let mut trajectories = self.trajectories(grid.trajectory_stride, planned)?;
        let potential = self.model.potential.as_mut();
        let mut state = State::at_rest(systems, potential)?;
        let temperatures: Vec<f64> = planned.iter().map(|r| r.temperature_k).collect();
        let seeds: Vec<u64> = planned.iter().map(|r| r.seed).collect();
        let options = VelocityOptions { exact_temperature: grid.exact_temperature };
        md_dynamics::thermalise(&mut state, &temperatures, &seeds, &options)?;

        let mut recorder =
            Recorder::new(&state, &structures, grid.timestep_fs, limits_config.broken_bond_ratio)?;
        let mut ticker =
            self.progress.steps(&format!("{}: {} runs", self.model.record.name, planned.len()), grid.steps);
        let mut observers: Vec<&mut dyn Observer> = vec![&mut recorder, &mut ticker];
        observers.extend(trajectories.as_mut().map(|t| t as &mut dyn Observer));

        let mut verlet = VelocityVerlet::new(grid.timestep_fs)?;
        let options = RunOptions { steps: grid.steps, limits };
        let fates = md_dynamics::run(&mut state, &mut verlet, potential, &mut observers, &options)?;
        if let Some(trajectories) = trajectories {
            trajectories.finish()?;
        }
        let mut records = Vec::new();
        for ((record, planned), fate) in recorder.into_records().iter().zip(planned).zip(&fates) {
            let mut run = self.blank_record(group, planned);
            record.fill(&mut run, fate)?;
            records.push(run);
        }
        Ok(records)
    }

    fn trajectories(&self, stride: Option<u64>, planned: &[&PlannedRun]) -> Result<Option<TrajectoryWriter>> {
        let Some(stride) = stride else { return Ok(None) };
        let files: Vec<(usize, String)> =
            planned.iter().enumerate().map(|(k, run)| (k, run.id.replace('/', "_"))).collect();
        Ok(Some(TrajectoryWriter::create(&self.out.join("trajectories"), &files, stride)?))
    }

    /// The record of a run before its first step.
    fn blank_record(&self, group: &Group<'_>, planned: &PlannedRun) -> Run {
        Run {
            id: planned.id.clone(),
            model: self.model.record.name.clone(),
            molecule: self.molecules[planned.molecule].record.name.clone(),
            ensemble: "nve".to_owned(),
            temperature_k: planned.temperature_k,
            timestep_fs: group.config.timestep_fs,
            replica: planned.replica,
            seed: planned.seed,
            steps_planned: group.config.steps,
            steps_done: 0,
            fate: RunFate::Failed,
            fate_reason: None,
            energy: None,
            temperature: None,
            angular_momentum: None,
            stability: None,
            anomalies: Vec::new(),
            ms_per_step: None,
        }
    }
}

fn relaxation_record(model: &str, molecule: &LoadedMolecule, relaxed: &Relaxed) -> Result<Relaxation> {
    let given = &molecule.system;
    let (outcome, reason) = match &relaxed.outcome {
        RelaxOutcome::Converged => ("converged", None),
        RelaxOutcome::NotConverged => ("not_converged", Some("the steps ran out".to_owned())),
        RelaxOutcome::Diverged(reason) => ("diverged", Some(reason.to_string())),
    };
    let found_minimum = !matches!(relaxed.outcome, RelaxOutcome::Diverged(_));
    let now = relaxed.system.positions();
    let rmsd = md_metrics::rmsd_aligned_angstrom(now, given.positions())?;
    let max_bond_ratio = bonds::find(given, bonds::DEFAULT_SCALE)
        .iter()
        .map(|b| (now[b.j] - now[b.i]).norm() / b.length_angstrom)
        .max_by(f64::total_cmp);
    Ok(Relaxation {
        model: model.to_owned(),
        molecule: molecule.record.name.clone(),
        outcome: outcome.to_owned(),
        reason,
        steps: relaxed.steps,
        max_force_ev_per_angstrom: Some(relaxed.max_force_ev_per_angstrom).filter(|f| f.is_finite()),
        rmsd_angstrom: Some(rmsd).filter(|_| found_minimum),
        max_bond_ratio: max_bond_ratio.filter(|_| found_minimum),
    })
}
